"""What an embedded server is: a private directory, a lock on it, a loopback port that stays, a life under a keeper.

    start:  lock ─► prepare (first time: initialise) ─► keeper ─► server ─► ready? ─► finish (roles, database)

The lock is handed to the keeper, so it is held until the server is down, even after a SIGKILL of this process: a
second start waits for the clean stop of the first, and two hubs can never share a directory. The port is chosen once,
below the range from which the system takes ports for outgoing connections, and kept in a file so that clients find
the server again; if another program has taken it, a new one is chosen.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import shutil
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from ..errors import Conflict, NotFound
from .keeper import NOBODY, Program
from .secrets import make_private_dir, write_private
from .supervisor import OnEvent, StartFailed, Supervised, privilege_here

HOST: Final = "127.0.0.1"
_PORTS: Final = range(15_000, 32_000)
_PORT_ATTEMPTS: Final = 200
_START_ATTEMPTS: Final = 3
_LOCK_POLL_S: Final = 0.05


class DirectoryInUse(Conflict):
    """Another process runs a server in this directory."""

    code = "directory_in_use"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(f"starting a server in {directory}", "another process runs one there", ["stop that one"])


class EmbeddedServer(ABC):
    """A server of our own; start and stop block, `async with` does both in a thread.

    data_dir: belongs to this server alone (mode 0700).
    on_event: told of starts, deaths and restarts, in a thread of its own.
    privilege: `same`, `namespace` or `nobody`; found out where not given.
    """

    name: ClassVar[str]

    def __init__(
        self,
        data_dir: Path,
        *,
        on_event: OnEvent | None = None,
        start_timeout_s: float = 60.0,
        lock_timeout_s: float = 30.0,
        privilege: str | None = None,
    ) -> None:
        self.data_dir = make_private_dir(data_dir)
        self._on_event = on_event
        self._start_timeout_s = start_timeout_s
        self._lock_timeout_s = lock_timeout_s
        self._privilege = privilege or privilege_here()
        self._supervised: Supervised | None = None

    # What each server says of itself.

    @abstractmethod
    def _prepare(self, lock: int) -> None:
        """Bring the directory into the state the server starts from; what runs for that holds the lock, too."""

    @abstractmethod
    def _program(self) -> Program:
        """The program, for the port chosen."""

    @abstractmethod
    def _answers(self, pid: int) -> bool:
        """Whether the server with this pid takes clients now."""

    @abstractmethod
    def _finish(self) -> None:
        """What is left to do once the server answers."""

    # Its life.

    def start(self) -> None:
        """Return when clients can connect; harmless when it runs. Raises StartFailed or DirectoryInUse."""
        if self._supervised is not None and self._supervised.running:
            return
        self._forget()
        with self._locked() as lock:
            self._check_reach()
            self._prepare(lock)
            self._start_on_some_port(lock)
        try:
            self._finish()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop cleanly; harmless when it does not run."""
        if self._supervised is not None:
            self._supervised.stop()
        self._supervised = None

    def kill(self) -> None:
        """End all of it with SIGKILL, as a crash would, and leave it down until `start`."""
        if self._supervised is not None:
            self._supervised.kill()
        self._supervised = None

    def crash(self) -> None:
        """SIGKILL the server only; its keeper restarts it."""
        if self._supervised is not None:
            self._supervised.signal(9)

    def restart(self) -> None:
        """Stop cleanly and start again, on the same port if it is still free."""
        self.stop()
        self.start()

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while it is down."""
        return None if self._supervised is None else self._supervised.pid

    @property
    def host(self) -> str:
        """Address it listens on: loopback, always."""
        return HOST

    @property
    def port(self) -> int:
        """Port it listens on; known from the first start on, also to a process that did not start it."""
        try:
            return int(self._port_file.read_text(encoding="ascii"))
        except FileNotFoundError:
            raise NotFound("port of a server that was never started in", str(self.data_dir)) from None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # How it is done.

    @property
    def log_path(self) -> Path:
        """Where the server's own output goes."""
        return self.data_dir / f"{self.name}.log"

    @property
    def _port_file(self) -> Path:
        return self.data_dir / "port"

    def _start_on_some_port(self, lock: int) -> None:
        """Between choosing a port and the server's taking it another program may be faster: then choose again."""
        self._settle_port(fresh=False)
        for attempt in range(_START_ATTEMPTS):
            self._supervised = Supervised(self._program(), self._on_event)
            self._supervised.start(inherit=[lock])
            try:
                self._supervised.await_ready(self._start_timeout_s, self._answers)
                return
            except StartFailed:
                if attempt + 1 == _START_ATTEMPTS or _is_free(self.port):
                    raise
                self._settle_port(fresh=True)

    def _settle_port(self, *, fresh: bool) -> None:
        if not fresh and self._port_file.exists() and _is_free(self.port):
            return
        write_private(self._port_file, f"{_free_port()}\n")

    def _forget(self) -> None:
        if self._supervised is not None:
            self._supervised.stop()
            self._supervised = None

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self.data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._await_lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _await_lock(self, descriptor: int) -> None:
        """The keeper of an earlier hub that was killed needs a moment to stop its server: wait for that."""
        pause = threading.Event()
        for _ in range(max(1, round(self._lock_timeout_s / _LOCK_POLL_S))):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pause.wait(_LOCK_POLL_S)
            else:
                return
        raise DirectoryInUse(self.data_dir)

    def _check_reach(self) -> None:
        """Where root can only become nobody, nobody must be able to come here."""
        if self._privilege != "nobody":
            return
        closed = [parent for parent in self.data_dir.parents if not parent.stat().st_mode & 0o001]
        if closed:
            raise StartFailed(
                self.name, f"{closed[0]} is closed to the unprivileged user it runs as; choose another directory"
            )
        self._hand_over(self.data_dir)

    def _hand_over(self, path: Path) -> None:
        """Make a file or directory the server's own, where the server is another user."""
        if self._privilege == "nobody":
            shutil.chown(path, NOBODY, NOBODY)


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
            candidate.listen(1)
        except OSError:
            return False
    return True


def _free_port() -> int:
    for port in random.SystemRandom().sample(_PORTS, _PORT_ATTEMPTS):
        if _is_free(port):
            return port
    raise StartFailed("embedded server", f"no free port found in {_PORT_ATTEMPTS} attempts")
