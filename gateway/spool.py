"""Packets on disk, in order, until the historian has committed them.

SQLite in WAL mode with `synchronous=FULL`: a packet that `append` has returned for survives the loss of power, at the
cost of one flush per packet, of which there is about one a second. What may be forgotten is deleted in the next
append's transaction, so freeing costs no flush of its own; if that never comes, the packet is sent once more, which
changes nothing in the historian.

All calls block and belong to one thread at a time. How much may be kept is decided by `outbox`; the file itself may
be larger by what SQLite keeps for reuse.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from gashub.errors import Conflict, Unavailable

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS packet (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    frames INTEGER NOT NULL,
    size INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS dropped (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    packets INTEGER NOT NULL,
    frames INTEGER NOT NULL
);
INSERT OR IGNORE INTO dropped VALUES (1, 0, 0);
"""
ROW_OVERHEAD_BYTES: Final = 64
_WAL_LIMIT_BYTES: Final = 4 << 20
_BUSY_S: Final = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A packet in the spool. `size` is what it counts against the bound [bytes]."""

    id: int
    frames: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What was given up at the bound since the spool was made."""

    packets: int
    frames: int


def size_of(body: bytes) -> int:
    """What a packet counts against the bound [bytes]."""
    return len(body) + ROW_OVERHEAD_BYTES


class Spool:
    """The spool in the file at `path`. A file that SQLite cannot read is put aside, not lost, and a new one begun.

    Raises Conflict if another process has it, Unavailable if the disk does not let it be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = _open(path)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Conflict(f"opening the spool {path}", "another process has it open") from error
            raise Unavailable(f"the spool {path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = _put_aside(path)
            log.warning("spool_unreadable", path=str(path), kept_as=str(aside), reason=str(error))
            self._db = _open(path)

    def stored(self) -> list[Stored]:
        """Every packet, oldest first."""
        rows = self._db.execute("SELECT id, frames, size FROM packet ORDER BY id")
        return [Stored(id=key, frames=frames, size=size) for key, frames, size in rows]

    def dropped(self) -> Dropped:
        """What was given up so far."""
        packets, frames = self._db.execute("SELECT packets, frames FROM dropped").fetchone()
        return Dropped(packets=packets, frames=frames)

    def append(self, body: bytes, frames: int, *, freed: Sequence[int] = (), given_up: Sequence[Stored] = ()) -> Stored:
        """Keep a packet, and forget those that are committed (`freed`) or given up; on disk when this returns."""
        with self._db:
            self._forget([*freed, *(packet.id for packet in given_up)])
            if given_up:
                self._db.execute(
                    "UPDATE dropped SET packets = packets + ?, frames = frames + ?",
                    (len(given_up), sum(packet.frames for packet in given_up)),
                )
            cursor = self._db.execute(
                "INSERT INTO packet (frames, size, body) VALUES (?, ?, ?)", (frames, size_of(body), body)
            )
        assert cursor.lastrowid is not None
        return Stored(id=cursor.lastrowid, frames=frames, size=size_of(body))

    def free(self, ids: Sequence[int]) -> None:
        """Forget committed packets now."""
        with self._db:
            self._forget(ids)

    def read(self, key: int) -> bytes | None:
        """The body of a packet, None if it is no longer there."""
        row = self._db.execute("SELECT body FROM packet WHERE id = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _forget(self, ids: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM packet WHERE id = ?", [(key,) for key in ids])


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
        db.executescript(_SCHEMA)
        if (verdict := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(verdict)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _put_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.unreadable-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
