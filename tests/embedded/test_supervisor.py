"""Keepers and groups: what dies is restarted, what is stopped is gone, and a killed parent leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gashub.embedded import readiness
from gashub.embedded.keeper import Backoff
from gashub.embedded.supervisor import Event, EventKind, ProcessGroup, StartFailed
from gashub.errors import Conflict

from .conftest import ROOT, Other, alive, children, eventually

READY = "from gashub.embedded.readiness import announce; announce()\n"
SERVE = READY + "import signal; signal.pause()\n"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "while True: signal.pause()\n"
WITH_CHILD = "import subprocess; subprocess.Popen(['sleep', '600'])\n" + SERVE

GROUP = f"""
import sys
from pathlib import Path
from gashub.embedded.supervisor import ProcessGroup
group = ProcessGroup(Path(sys.argv[1]))
for name, code in (("a", {SERVE!r}), ("b", {WITH_CHILD!r})):
    group.add(name, [sys.executable, "-c", code], environment={{"PYTHONPATH": sys.argv[2]}})
group.start()
say = group["a"].pid
"""

WAIT = """
import sys, os, json
os.write(1, (chr(10) + "SAID " + json.dumps(say) + chr(10)).encode())
reason = group.wait()
group.close()
os.write(1, (chr(10) + "SAID " + json.dumps(reason) + chr(10)).encode())
sys.exit(0)
"""


def add(group: ProcessGroup, name: str, code: str, **options: object) -> None:
    group.add(name, [sys.executable, "-c", code], environment={"PYTHONPATH": str(ROOT)}, **options)  # type: ignore[arg-type]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def group(tmp_path: Path, events: list[Event]) -> Iterator[ProcessGroup]:
    with ProcessGroup(tmp_path / "logs", on_event=events.append) as running:
        yield running


# --- back-off ------------------------------------------------------------------------------------


def test_each_failure_in_a_row_doubles_the_wait_up_to_a_limit() -> None:
    backoff = Backoff(first_s=0.2, limit_s=1.0, failures_allowed=5, stable_after_s=30)
    assert [backoff.after_run(1) for _ in range(6)] == [0.2, 0.4, 0.8, 1.0, 1.0, None]


def test_a_long_run_forgives_what_was_before() -> None:
    backoff = Backoff(first_s=0.2, limit_s=1.0, failures_allowed=2, stable_after_s=30)
    assert [backoff.after_run(run_s) for run_s in (1, 1, 31, 1, 1)] == [0.2, 0.4, 0.2, 0.4, None]


# --- groups ----------------------------------------------------------------------------------------


def test_a_group_is_started_when_each_has_said_that_it_is_ready(group: ProcessGroup, events: list[Event]) -> None:
    add(group, "a", SERVE)
    add(group, "b", SERVE)
    group.start()
    eventually(lambda: {event.name for event in events if event.kind is EventKind.READY} == {"a", "b"})
    assert alive(group["a"].pid or 0)
    assert group["a"].pid != group["b"].pid


def test_what_dies_is_restarted_and_ready_again(group: ProcessGroup, events: list[Event]) -> None:
    add(group, "a", SERVE)
    group.start()
    group["a"].signal(signal.SIGKILL)
    eventually(lambda: [event.kind for event in events].count(EventKind.READY) == 2)
    assert [event.returncode for event in events if event.kind is EventKind.EXITED] == [-signal.SIGKILL]


def test_one_that_dies_before_it_is_ready_fails_the_start_with_its_last_words(group: ProcessGroup) -> None:
    add(group, "good", SERVE)
    add(group, "bad", "import sys; sys.exit('no such register map')")
    with pytest.raises(StartFailed, match="no such register map") as failed:
        group.start()
    assert failed.value.name == "bad"
    assert group["good"].pid is None


def test_one_that_is_not_ready_in_time_fails_the_start(group: ProcessGroup) -> None:
    add(group, "slow", "import signal; signal.pause()")
    with pytest.raises(StartFailed, match=r"not ready after 0\.5 s"):
        group.start(0.5)
    assert group["slow"].pid is None


def test_a_command_that_does_not_exist_fails_the_start(group: ProcessGroup) -> None:
    group.add("missing", ["/nonexistent/program"])
    with pytest.raises(StartFailed, match="No such file"):
        group.start()


def test_a_name_is_taken_once(group: ProcessGroup) -> None:
    add(group, "a", SERVE)
    with pytest.raises(Conflict):
        add(group, "a", SERVE)


def test_stop_ends_all_with_what_they_started(group: ProcessGroup) -> None:
    add(group, "a", WITH_CHILD)
    group.start()
    pid = group["a"].pid or 0
    processes = [pid, *children(pid)]
    assert len(processes) == 2
    group.stop()
    assert not any(map(alive, processes))


def test_one_that_does_not_listen_is_killed(group: ProcessGroup) -> None:
    add(group, "deaf", DEAF, stop_patience_s=0.3)
    group.start()
    pid = group["deaf"].pid or 0
    group.stop()
    assert not alive(pid)


def test_a_stopped_group_can_be_started_again(group: ProcessGroup) -> None:
    add(group, "a", SERVE)
    group.start()
    before = group["a"].pid
    group.stop()
    group.start()
    assert group["a"].pid not in {None, before}


def test_output_goes_to_a_file_of_its_own(group: ProcessGroup, tmp_path: Path) -> None:
    add(group, "a", "import os; os.write(2, b'hello'); os.write(1, b' there')\n" + SERVE)
    group.start()
    log = tmp_path / "logs" / "a.log"
    assert log.read_text() == "hello there"
    assert log.stat().st_mode & 0o077 == 0


def test_start_from_a_thread_that_ends_leaves_the_group_running(group: ProcessGroup) -> None:
    """The kernel's parent-death signal follows the thread that forked; a group must not."""
    add(group, "a", SERVE)
    starter = threading.Thread(target=group.start)
    starter.start()
    starter.join()
    pid = group["a"].pid or 0
    assert alive(pid)
    group["a"].signal(signal.SIGKILL)
    eventually(lambda: group["a"].pid not in {pid, None})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
def test_nothing_is_left_however_the_parent_ends(tmp_path: Path, other: Callable[..., Other], number: int) -> None:
    parent = other(GROUP, str(tmp_path), str(ROOT))
    parent.said()
    processes = children(parent.process.pid)
    assert len(processes) == 5, "two keepers, two services and a child"
    parent.process.send_signal(number)
    eventually(lambda: not any(map(alive, processes)))


def test_nothing_is_left_when_parent_and_keepers_are_killed(tmp_path: Path, other: Callable[..., Other]) -> None:
    parent = other(GROUP, str(tmp_path), str(ROOT))
    service = parent.said()
    processes = children(parent.process.pid)
    for pid in [parent.process.pid, *_direct(parent.process.pid)]:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(service))
    # What a service has started itself is beyond the kernel's signal when its keeper dies, too.
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _direct(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_waiting_ends_with_a_signal_and_then_all_stop(tmp_path: Path, other: Callable[..., Other], number: int) -> None:
    parent = other(GROUP + WAIT, str(tmp_path), str(ROOT))
    parent.said()
    processes = children(parent.process.pid)
    eventually(lambda: catches(parent.process.pid, signal.SIGHUP))  # the last it prepares for, once it waits
    parent.process.send_signal(number)
    assert parent.said() == signal.Signals(number).name
    assert parent.process.wait(20) == 0
    assert not any(map(alive, processes))


# --- readiness ---------------------------------------------------------------------------------------


def test_a_service_started_by_hand_announces_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GASHUB_READY_FD", raising=False)
    readiness.announce()


def test_readiness_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv("GASHUB_READY_FD", str(writing))
    readiness.announce()
    readiness.announce()
    assert os.read(reading, 100) == b"ready\n"
    assert os.read(reading, 100) == b"", "it was closed"
    os.close(reading)
