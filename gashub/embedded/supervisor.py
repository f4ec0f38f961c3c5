"""Our side of a keeper (`keeper.py` says why there is one), and a group of programs that live and die together.

    Supervised      one program: start, await ready, pid, events, stop, kill
    ProcessGroup    the hub's own services (`python -m ingest --config FILE`), each under a keeper, logs in files

**Readiness of a service.** A service finds a descriptor's number in the environment variable GASHUB_READY_FD and
writes one line to it once it serves: `readiness.announce()`. Started by hand there is no such variable and the call
does nothing.

A thread per program reads the keeper's events. Callbacks run in that thread and must be short.
"""

from __future__ import annotations

import functools
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

import structlog

from ..errors import Conflict, Unavailable
from . import keeper
from .keeper import Program

_KEEPER: Final = str(Path(keeper.__file__).resolve())
_KEEPERS_ALLOWED: Final = 5
_LOG_TAIL_BYTES: Final = 2_000
_PROBE_EVERY_S: Final = 0.01

_log = structlog.get_logger(__name__)


class EventKind(StrEnum):
    """What can happen to a supervised program."""

    STARTED = "started"
    READY = "ready"
    EXITED = "exited"
    GAVE_UP = "gave_up"
    STOPPED = "stopped"
    FAILED = "failed"
    KEEPER_LOST = "keeper_lost"


_FINAL: Final = frozenset({EventKind.GAVE_UP, EventKind.STOPPED, EventKind.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to the program called `name`."""

    name: str
    kind: EventKind
    pid: int | None = None
    returncode: int | None = None
    reason: str = ""


OnEvent = Callable[[Event], None]


class StartFailed(Unavailable):
    """A program did not come up; `log_tail` is the end of what it wrote."""

    code = "start_failed"

    def __init__(self, name: str, reason: str, log_tail: str = "") -> None:
        self.name = name
        self.reason = reason
        self.log_tail = log_tail
        super().__init__(f"{name} did not start: {reason}" + (f"\n{log_tail}" if log_tail else ""))


class Supervised:
    """One program under a keeper. A stopped one may be started again."""

    def __init__(self, program: Program, on_event: OnEvent | None = None) -> None:
        self.program = program
        self._on_event = on_event
        self._changed = threading.Condition()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._pid: int | None = None
        self._ready = False
        self._ended: Event | None = None
        self._last_exit: Event | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Process id of the program now, None while it is down."""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether a keeper looks after it; the program itself may just be between two lives."""
        return self._keeper is not None and self._ended is None

    def start(self, *, inherit: Sequence[int] = ()) -> None:
        """Spawn keeper and program; returns at once. `inherit`: descriptors (a lock) the keeper holds for life."""
        if self.running:
            raise Conflict(f"starting {self.program.name}", "running", ["stop"])
        self._join()
        self._ready, self._stopping, self._pid = False, False, None
        self._ended = self._last_exit = None
        self._spawn_keeper(tuple(inherit))
        self._listener = threading.Thread(
            target=self._listen, args=(tuple(inherit),), name=f"events of {self.program.name}", daemon=True
        )
        self._listener.start()

    def await_ready(self, timeout_s: float, probe: Callable[[int], bool] | None = None) -> None:
        """Return when the program has announced itself, or the probe (given its pid) is true.

        Raises StartFailed, after ending the program, if it dies first or takes too long.
        """
        reason = f"not ready after {timeout_s:g} s"
        with self._changed:
            for _ in range(max(1, round(timeout_s / _PROBE_EVERY_S))):
                if self._ready or (probe is not None and self._pid is not None and probe(self._pid)):
                    return
                if (end := self._ended or self._last_exit) is not None:
                    reason = _told(end)
                    break
                self._changed.wait(_PROBE_EVERY_S)
        self.kill()
        raise StartFailed(self.program.name, reason, self.log_tail())

    def request_stop(self) -> None:
        """Ask for a clean stop without waiting for it."""
        self._order(b"stop\n")

    def stop(self) -> None:
        """Stop cleanly and wait; harmless when it is not running."""
        self._order(b"stop\n")
        self._join()

    def kill(self) -> None:
        """End it with SIGKILL, without a restart."""
        self._order(b"kill\n")
        self._join()

    def signal(self, number: int) -> None:
        """Send the program a signal; what follows (a restart, say) is the keeper's business."""
        if self._pid is not None:
            os.kill(self._pid, number)

    def log_tail(self) -> str:
        """The last lines the program wrote."""
        try:
            with Path(self.program.log_path).open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
                return log.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _spawn_keeper(self, inherit: tuple[int, ...]) -> None:
        program = replace(self.program, parent_pid=os.getpid())
        with open(program.log_path, "ab", opener=_private) as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", _KEEPER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                start_new_session=True,
                pass_fds=inherit,
            )
        self._write(program.to_json().encode() + b"\n")

    def _order(self, line: bytes) -> None:
        with self._changed:
            self._stopping = True
        self._write(line)

    def _write(self, line: bytes) -> None:
        if self._keeper is None or self._keeper.stdin is None:
            return
        try:
            self._keeper.stdin.write(line)
            self._keeper.stdin.flush()
        except BrokenPipeError:
            # A keeper that is gone needs no order; the listener has seen, or will see, the end of its events.
            return

    def _join(self) -> None:
        """Wait for the keeper. It bounds each of its own steps, so this only guards against one that hangs."""
        process, listener = self._keeper, self._listener
        if process is None:
            return
        patience_s = sum(step[1] for step in self.program.stop) + 15.0
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            _log.error("keeper_hangs", program=self.program.name, keeper_pid=process.pid)
            process.kill()
            process.wait()
        if listener is not None and listener is not threading.current_thread():
            listener.join(5.0)
        self._close(process)
        self._keeper = self._listener = None
        if process.returncode != 0 and self.program.owned_dir:
            # A keeper that was killed could not see its server to the end; the kernel has told the server to stop.
            keeper.end_processes_in(self.program.cwd, self.program.command[0], self.program.orphan_signal, 10.0)

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    # The listening thread.

    def _listen(self, inherit: tuple[int, ...]) -> None:
        for _ in range(_KEEPERS_ALLOWED):
            process = self._keeper
            assert process is not None and process.stdout is not None
            for line in process.stdout:
                self._handle(_parse(self.program.name, line))
            if not self._keeper_was_lost(process):
                return
            with self._changed:
                if self._stopping:
                    return
                self._close(process)
                self._spawn_keeper(inherit)
        self._handle(Event(name=self.program.name, kind=EventKind.GAVE_UP, reason="its keeper died too often"))

    def _keeper_was_lost(self, process: subprocess.Popen[bytes]) -> bool:
        if self._ended is not None:
            return False
        process.wait()
        self._handle(Event(name=self.program.name, kind=EventKind.KEEPER_LOST, returncode=process.returncode))
        return True

    def _handle(self, event: Event) -> None:
        with self._changed:
            match event.kind:
                case EventKind.STARTED:
                    self._pid = event.pid
                case EventKind.READY:
                    self._ready = True
                case EventKind.EXITED:
                    self._pid, self._last_exit = None, event
                case EventKind.KEEPER_LOST:
                    self._pid = None
                case _:
                    self._pid, self._ended = None, event
            self._changed.notify_all()
        _tell(event)
        if self._on_event is not None:
            self._on_event(event)


def _parse(name: str, line: bytes) -> Event:
    facts = json.loads(line)
    return Event(name=name, kind=EventKind(facts.pop("event")), **facts)


def _told(event: Event) -> str:
    return event.reason or (f"exit status {event.returncode}" if event.returncode is not None else event.kind)


def _tell(event: Event) -> None:
    match event.kind:
        case EventKind.EXITED | EventKind.KEEPER_LOST:
            _log.warning("program_died", program=event.name, kind=event.kind, returncode=event.returncode)
        case EventKind.GAVE_UP | EventKind.FAILED:
            _log.error("program_given_up", program=event.name, kind=event.kind, reason=event.reason)
        case _:
            _log.debug("program", program=event.name, kind=event.kind, pid=event.pid)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


@functools.cache
def privilege_here() -> str:
    """How a server is to run: an ordinary user `same`; root `namespace` where the kernel grants it, else `nobody`."""
    if os.geteuid() != 0:
        return "same"
    probe = run_as("namespace", ["/bin/sh", "-c", ":"], Path("/"))
    return "namespace" if probe.returncode == 0 else "nobody"


def run_as(
    privilege: str, command: Sequence[str], directory: Path, *, inherit: Sequence[int] = (), timeout_s: float = 300.0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end without root's power, and return what it said; `inherit`: descriptors it holds."""
    return subprocess.run(
        [sys.executable, "-I", "-S", _KEEPER, "exec", privilege, str(directory), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=tuple(inherit),
        timeout=timeout_s,
    )


class ProcessGroup:
    """Programs of the hub that live and die together.

    Each is restarted when it dies; all are stopped by `stop`, by leaving the `with` block, and (through their
    keepers) when this process dies in whatever way. Logs go to `{log_dir}/{name}.log`.
    """

    def __init__(self, log_dir: Path, *, on_event: OnEvent | None = None) -> None:
        self._log_dir = log_dir
        self._on_event = on_event
        self._programs: dict[str, Supervised] = {}
        self._wake_reading, self._wake_writing = os.pipe()
        os.set_blocking(self._wake_writing, False)
        self._gave_up: str | None = None

    def add(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        announces_ready: bool = True,
        stop_patience_s: float = 10.0,
    ) -> Supervised:
        """Take a program into the group, not yet started; `directory` is its working directory."""
        if name in self._programs:
            raise Conflict(f"adding {name}", "already in the group")
        self._log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        program = Program(
            name=name,
            command=list(command),
            log_path=str(self._log_dir.resolve() / f"{name}.log"),
            stop=[[signal.SIGTERM, stop_patience_s]],
            orphan_signal=signal.SIGTERM,
            cwd=str((directory or Path.cwd()).resolve()),
            announces_ready=announces_ready,
            environment=dict(environment or {}),
        )
        self._programs[name] = Supervised(program, self._heard)
        return self._programs[name]

    def add_service(self, module: str, *arguments: str, name: str | None = None) -> Supervised:
        """Take `python -m MODULE ARGUMENTS` into the group."""
        return self.add(name or module, [sys.executable, "-m", module, *arguments])

    def __getitem__(self, name: str) -> Supervised:
        return self._programs[name]

    def start(self, timeout_s: float = 30.0) -> None:
        """Start all at once and wait until each is ready; if one is not, all are stopped and StartFailed is raised."""
        try:
            for program in self._programs.values():
                if not program.running:
                    program.start()
            for program in self._programs.values():
                if program.program.announces_ready:
                    program.await_ready(timeout_s)
        except StartFailed:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all, together; waits for the last."""
        for program in self._programs.values():
            program.request_stop()
        for program in self._programs.values():
            program.stop()

    def wait(self) -> str:
        """Sleep until SIGINT, SIGTERM or SIGHUP arrives or a program is given up; what it was. Main thread only."""
        with selectors.DefaultSelector() as selector, _SignalsTo(self._wake_writing):
            selector.register(self._wake_reading, selectors.EVENT_READ)
            selector.select()
            said = os.read(self._wake_reading, 1)
        return f"{self._gave_up} was given up" if said == b"\0" else signal.Signals(said[0]).name

    def close(self) -> None:
        """Stop all and let go of the pipe."""
        self.stop()
        for descriptor in (self._wake_reading, self._wake_writing):
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _heard(self, event: Event) -> None:
        if event.kind in _FINAL and event.kind is not EventKind.STOPPED:
            self._gave_up = event.name
            _write_byte(self._wake_writing, 0)
        if self._on_event is not None:
            self._on_event(event)


class _SignalsTo:
    """While entered, a signal that asks to end becomes a byte on a pipe instead."""

    _numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: dict[int, object] = {}

    def __enter__(self) -> None:
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._pass_on)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        _write_byte(self._descriptor, number)


def _write_byte(descriptor: int, value: int) -> None:
    try:
        os.write(descriptor, bytes([value]))
    except BlockingIOError:
        # The pipe is full of the same message.
        return
