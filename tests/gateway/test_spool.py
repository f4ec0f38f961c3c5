"""The spool keeps what it said it keeps, whoever is killed."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from pathlib import Path
from random import Random

import pytest

from gashub.errors import Conflict, Unavailable
from gateway.spool import Dropped, Spool, size_of


def test_packets_are_kept_in_order_with_their_bytes(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    kept = [spool.append(bytes([n]) * n, n) for n in (1, 2, 3)]
    spool.close()
    spool = Spool(tmp_path / "s.sqlite")
    assert spool.stored() == kept
    assert [spool.read(packet.id) for packet in kept] == [b"\1", b"\2\2", b"\3\3\3"]
    assert [packet.size for packet in kept] == [size_of(b"x" * n) for n in (1, 2, 3)]
    spool.close()


def test_what_is_freed_goes_with_the_next_packet(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    first, second = spool.append(b"a", 1), spool.append(b"b", 1)
    third = spool.append(b"c", 1, freed=[first.id])
    assert [packet.id for packet in spool.stored()] == [second.id, third.id]
    assert spool.read(first.id) is None
    spool.free([second.id])
    assert [packet.id for packet in spool.stored()] == [third.id]
    spool.close()


def test_what_is_given_up_is_counted_for_ever(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    first = spool.append(b"a", 7)
    spool.append(b"b", 1, given_up=[first])
    spool.close()
    spool = Spool(tmp_path / "s.sqlite")
    assert spool.dropped() == Dropped(packets=1, frames=7)
    spool.close()


def test_a_spool_belongs_to_one_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    with pytest.raises(Conflict, match="another process"):
        Spool(tmp_path / "s.sqlite")
    spool.close()


def test_a_file_that_is_no_spool_is_put_aside_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    spool = Spool(path)
    spool.append(b"a", 1)
    spool.close()
    assert (tmp_path / "s.sqlite.unreadable-1").read_bytes().startswith(b"this is no")


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nowhere"):
        Spool(tmp_path / "nowhere" / "s.sqlite")


def test_a_full_disk_is_an_error_and_the_packets_before_it_stay(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    kept = spool.append(b"a", 1)
    spool._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        spool.append(b"b" * 100_000, 1, freed=[kept.id])
    assert spool.stored() == [kept]
    spool.close()


_WRITER = """
import sys
from pathlib import Path
from gateway.spool import Spool
spool = Spool(Path(sys.argv[1]))
freed = []
for n in range(1_000_000):
    packet = spool.append(n.to_bytes(4, "big") * 500, 1, freed=freed)
    freed = [packet.id - 5]
    sys.stdout.write(f"{packet.id}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_killed_at_any_moment_every_packet_that_was_taken_is_there(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "s.sqlite"
    lines = Random(seed).randrange(20, 150)
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    taken = [int(await asyncio.wait_for(writer.stdout.readline(), 30)) for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    taken += [int(line) for line in (await writer.stdout.read()).splitlines() if line.isdigit()]
    await writer.wait()
    spool = Spool(path)
    there = [packet.id for packet in spool.stored()]
    assert set(taken[-5:]) <= set(there)
    assert there == list(range(there[0], there[-1] + 1)) and there[-1] in (taken[-1], taken[-1] + 1)
    assert len(there) <= 7
    spool.close()
