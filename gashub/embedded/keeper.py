"""The keeper: one small process that owns one server and outlives its parent just long enough to stop it cleanly.

    hub ──stdin: program, commands──►  keeper  ──fork, exec──►  server (or one of the hub's services)
        ◄──stdout: events──────────             ◄──ready line──

A server must not survive the hub, however the hub dies, and a SIGKILL leaves the hub no chance to say so. Hence a
process between the two: it sees the end of its standard input (and, on Linux, of the parent itself) and stops the
server as its program says. Should the keeper be the one that is killed, the kernel signals the server
(PR_SET_PDEATHSIG). That signal follows the *thread* that forked, which is why it is armed here, where there is one
thread, and not in the hub. Should both be killed at once on a system without that call, the next keeper for the same
directory finds what was left by its executable and working directory and ends it before it starts anew.

The keeper restarts a server that dies, with back-off, and gives up after a stated number of failures in a row.
It runs as `python -I -S keeper.py`, uses the standard library alone, and costs some 8 MB and 15 ms to start.

Input: the program as one line of JSON (the fields of `Program`), then lines: `stop` ends the server cleanly, `kill`
with SIGKILL; both end the keeper. Output: one JSON object a line: {"event": "started", "pid": 7}, "ready", "exited"
(with "returncode"), "gave_up", "stopped", "failed" (with "reason").
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

NOBODY = 65534
READY_FD = "GASHUB_READY_FD"
"""Environment variable: the number of a descriptor on which a service writes one line when it is ready to serve."""

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_HOUSEKEEPING_S = 30.0
_LINUX = sys.platform == "linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run and how to end it.

    stop: pairs of signal number and the seconds to wait after it; SIGKILL follows the last.
    privilege: `same`, `namespace` (mapped to nobody in a user namespace) or `nobody` (setuid).
    owned_dir: working directory that belongs to this server alone: what still runs there at a start is ended.
    stale_files: removed before each start, once nothing runs in that directory any more.
    orphan_signal: what the server gets from the kernel when its keeper is killed.
    """

    name: str
    command: list[str]
    log_path: str
    stop: list[list[float]]
    orphan_signal: int
    cwd: str
    owned_dir: bool = False
    stale_files: list[str] = field(default_factory=list)
    privilege: str = "same"
    announces_ready: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    failures_allowed: int = 20
    backoff_first_s: float = 0.2
    backoff_limit_s: float = 15.0
    stable_after_s: float = 30.0
    log_limit_bytes: int = 32 * 1024 * 1024
    parent_pid: int = 0

    def to_json(self) -> str:
        """As the keeper reads it: one line."""
        return json.dumps(asdict(self))


class Backoff:
    """The wait before the next start: doubles with each failure in a row; None after the number allowed."""

    def __init__(self, first_s: float, limit_s: float, failures_allowed: int, stable_after_s: float) -> None:
        self._first_s, self._limit_s = first_s, limit_s
        self._failures_allowed, self._stable_after_s = failures_allowed, stable_after_s
        self._failures = 0

    def after_run(self, run_s: float) -> float | None:
        """run_s: how long the server ran before it died [s]. A long run forgives what was before."""
        self._failures = 1 if run_s >= self._stable_after_s else self._failures + 1
        if self._failures > self._failures_allowed:
            return None
        return min(self._limit_s, self._first_s * 2.0 ** min(self._failures - 1, 32))


# --- what a child does between fork and exec ----------------------------------------------------------------


def become_unprivileged(privilege: str) -> None:
    """Give up root for good. Call in a process with one thread."""
    if privilege == "namespace":
        _enter_user_namespace()
    elif privilege == "nobody":
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def _enter_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")


def _die_with(parent_pid: int, signal_number: int) -> None:
    """Ask the kernel for a signal when the parent is gone. After any change of user, because that disarms it."""
    if not _LINUX:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _before_exec(privilege: str, orphan_signal: int) -> Callable[[], None]:
    parent_pid = os.getpid()

    def prepare() -> None:
        os.umask(0o077)
        become_unprivileged(privilege)
        _die_with(parent_pid, orphan_signal)

    return prepare


# --- what an earlier life left behind -----------------------------------------------------------------------


def processes_in(directory: str, executable: str) -> list[int]:
    """Processes of this executable whose working directory is exactly this one; empty where there is no /proc."""
    wanted = (os.path.realpath(directory), os.path.realpath(executable))
    return [pid for pid in _all_pids() if _home_of(pid) == wanted]


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()] if _LINUX else []


def _home_of(pid: int) -> tuple[str, str] | None:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink()), str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return None


def _parent_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(status.rpartition(")")[2].split()[1])


def end_processes_in(directory: str, executable: str, first_signal: int, patience_s: float) -> int:
    """End what still runs there, politely and then not; how many there were.

    They are not our children, so nothing tells of their end: this has to look again and again.
    """
    found = processes_in(directory, executable)
    heads = [pid for pid in found if _parent_of(pid) not in found]
    deadline = time.monotonic() + patience_s
    # Only a whole server is asked politely, and only its head: to its workers the same signal means something else.
    _signal_all(*((heads, first_signal) if len(heads) == 1 else (found, signal.SIGKILL)))
    for attempt in range(10_000):
        left = processes_in(directory, executable)
        if not left:
            break
        if time.monotonic() > deadline:
            _signal_all(left, signal.SIGKILL)
        time.sleep(0.01 if attempt < 100 else 0.05)
    return len(found)


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


# --- the keeper ---------------------------------------------------------------------------------------------


class Keeper:
    """Runs one program until told to stop; `run` is the whole life."""

    def __init__(self, program: Program, commands: IO[bytes], events: IO[bytes]) -> None:
        self._program = program
        self._commands, self._events = commands, events
        self._backoff = Backoff(
            program.backoff_first_s, program.backoff_limit_s, program.failures_allowed, program.stable_after_s
        )
        self._selector = selectors.DefaultSelector()
        self._child: subprocess.Popen[bytes] | None = None
        self._ready_fd: int | None = None
        self._order: str | None = None
        self._parent: int | None = None
        self._watch_parent()
        self._watch_children()

    def run(self) -> None:
        """Start, watch, restart, and in the end stop."""
        while self._order is None:
            started = time.monotonic()
            if not self._spawn():
                return
            self._until(lambda: self._order is not None or self._child_ended())
            if self._order is None and not self._await_restart(time.monotonic() - started):
                return
        self._end_child()
        self._emit("stopped")

    # What the keeper waits for.

    def _watch_parent(self) -> None:
        os.set_blocking(self._commands.fileno(), False)
        self._selector.register(self._commands, selectors.EVENT_READ, self._on_command)
        parent = self._program.parent_pid
        if parent and hasattr(os, "pidfd_open"):
            try:
                self._parent = os.pidfd_open(parent)
            except ProcessLookupError:
                self._order = "stop"
                return
            self._selector.register(self._parent, selectors.EVENT_READ, self._on_parent_gone)

    def _watch_children(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._on_parent_gone())
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._selector.register(reading, selectors.EVENT_READ, lambda: self._drain(reading))

    @staticmethod
    def _drain(descriptor: int) -> None:
        try:
            os.read(descriptor, 4096)
        except BlockingIOError:
            return

    def _until(self, done: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait for the condition while serving what arrives; False if time ran out first."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not done():
            left = _HOUSEKEEPING_S if deadline is None else min(_HOUSEKEEPING_S, deadline - time.monotonic())
            if left <= 0:
                return False
            ready = self._selector.select(left)
            for key, _ in ready:
                key.data()
            if not ready:
                _bound_log(self._program.log_path, self._program.log_limit_bytes)
        return True

    def _on_command(self) -> None:
        try:
            line = self._commands.read()
        except BlockingIOError:
            return
        if line is None:
            return
        if b"kill" in line:
            self._order = "kill"
        self._order = self._order or "stop"
        if not line:
            self._selector.unregister(self._commands)

    def _on_parent_gone(self) -> None:
        self._order = self._order or "stop"
        if self._parent is not None:
            self._selector.unregister(self._parent)
            os.close(self._parent)
            self._parent = None

    # The child.

    def _spawn(self) -> bool:
        program = self._program
        if program.owned_dir:
            end_processes_in(program.cwd, program.command[0], int(program.stop[0][0]), 10.0)
            for stale in program.stale_files:
                Path(stale).unlink(missing_ok=True)
        environment = os.environ | program.environment
        passed: tuple[int, ...] = ()
        if program.announces_ready:
            passed, environment = self._open_ready_pipe(environment)
        try:
            with Path(program.log_path).open("ab") as log:
                self._child = subprocess.Popen(
                    program.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=program.cwd,
                    env=environment,
                    start_new_session=True,
                    pass_fds=passed,
                    # Safe here: the keeper has one thread.
                    preexec_fn=_before_exec(program.privilege, program.orphan_signal),
                )
        except (OSError, subprocess.SubprocessError) as error:
            self._emit("failed", reason=str(error))
            return False
        finally:
            for descriptor in passed:
                os.close(descriptor)
        self._emit("started", pid=self._child.pid)
        return True

    def _open_ready_pipe(self, environment: Mapping[str, str]) -> tuple[tuple[int, ...], dict[str, str]]:
        self._close_ready_pipe()
        reading, writing = os.pipe()
        self._ready_fd = reading
        self._selector.register(reading, selectors.EVENT_READ, self._on_ready)
        return (writing,), {**environment, READY_FD: str(writing)}

    def _on_ready(self) -> None:
        assert self._ready_fd is not None
        said = os.read(self._ready_fd, 64)
        self._close_ready_pipe()
        if said:
            self._emit("ready")

    def _close_ready_pipe(self) -> None:
        if self._ready_fd is not None:
            self._selector.unregister(self._ready_fd)
            os.close(self._ready_fd)
            self._ready_fd = None

    def _child_ended(self) -> bool:
        return self._child is None or self._child.poll() is not None

    def _await_restart(self, run_s: float) -> bool:
        """Tell of the death, wait out the back-off; False if the program is given up."""
        assert self._child is not None
        self._end_group(self._child.pid)
        self._end_leftovers()
        self._emit("exited", returncode=self._child.returncode)
        self._child = None
        delay = self._backoff.after_run(run_s)
        if delay is None:
            self._emit("gave_up")
            return False
        self._until(lambda: self._order is not None, delay)
        return True

    def _end_child(self) -> None:
        child = self._child
        if child is None:
            return
        if self._order != "kill":
            for number, patience_s in self._program.stop:
                if child.poll() is None:
                    child.send_signal(int(number))
                if self._until(lambda: self._child_ended() or self._order == "kill", patience_s):
                    break
        if child.poll() is None:
            child.kill()
            child.wait()
        self._end_group(child.pid)
        self._end_leftovers()

    def _end_leftovers(self) -> None:
        """PostgreSQL's processes lead sessions of their own, so its group is not all of it."""
        if self._program.owned_dir:
            end_processes_in(self._program.cwd, self._program.command[0], signal.SIGKILL, 0.0)

    @staticmethod
    def _end_group(leader: int) -> None:
        """What the dead leader's own session still holds."""
        try:
            os.killpg(leader, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def _emit(self, event: str, **facts: Any) -> None:
        try:
            self._events.write(json.dumps({"event": event, **facts}).encode() + b"\n")
            self._events.flush()
        except BrokenPipeError:
            # The parent is gone; its end of the pipe was the only listener.
            self._order = self._order or "stop"


def _bound_log(path: str, limit_bytes: int) -> None:
    """Keep one earlier log. The writer appends, so truncating under it is safe; lines written meanwhile are lost."""
    try:
        if Path(path).stat().st_size > limit_bytes:
            shutil.copyfile(path, path + ".1")
            os.truncate(path, 0)
    except FileNotFoundError:
        return


def _run_once(arguments: list[str]) -> None:
    """`keeper.py exec PRIVILEGE DIRECTORY COMMAND...`: give up root, then become the command."""
    privilege, directory, *command = arguments
    os.chdir(directory)
    os.umask(0o077)
    become_unprivileged(privilege)
    os.execv(command[0], command)


def main() -> None:
    """Read the program, then keep it."""
    if sys.argv[1:2] == ["exec"]:
        _run_once(sys.argv[2:])
    commands = os.fdopen(sys.stdin.fileno(), "rb", buffering=0)
    events = os.fdopen(sys.stdout.fileno(), "wb", buffering=0)
    line = b""
    while not line.endswith(b"\n"):
        piece = commands.read(1)
        if not piece:
            return
        line += piece
    Keeper(Program(**json.loads(line)), commands, events).run()


if __name__ == "__main__":
    main()
