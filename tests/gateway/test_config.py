"""A gateway's file is checked whole before anything starts."""

from __future__ import annotations

import asyncio
import socket
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from gashub.clock import ScaledClock, SystemClock
from gashub.errors import ConfigurationError
from gateway.config import load
from gateway.metrics import serve
from gateway.tally import Tally

GOOD = """
[gateway]
id = "gw-east"
zone = "east"
spool_file = "spool/gw-east.sqlite"

[broker]
password_file = "secret"

[[line]]
id = "l1"
kind = "tcp"
host = "127.0.0.1"
port = 15020
timeout_s = 0.5

[[device]]
id = "drs-east-1-rtu"
line = "l1"
unit = 1
profile = "rtu-regulator-a"
scan_s = 2.0
blocks = { main = 12 }

[[device]]
id = "logger-1"
line = "l1"
unit = 2
profile = "pressure-logger-b"
scan_s = 10.0
blocks = { main = 13 }
[device.parameters]
atmospheric_kpa = 98.5
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def written(directory: Path, text: str) -> Path:
    (directory / "secret").write_text("word\n", encoding="utf-8")
    path = directory / "gw.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(directory: Path, *changes: tuple[str, str]) -> list[str]:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(ConfigurationError) as caught:
        load(written(directory, text))
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_is_taken_with_paths_relative_to_it(tmp_path: Path) -> None:
    config = load(written(tmp_path, GOOD))
    assert config.gateway.spool_file == tmp_path / "spool" / "gw-east.sqlite"
    assert config.broker.password_file == tmp_path / "secret"
    assert [device.id for device in config.devices] == ["drs-east-1-rtu", "logger-1"]
    assert config.devices[1].parameters == {"atmospheric_kpa": 98.5}
    assert sorted(config.profiles) == ["pressure-logger-b", "rtu-regulator-a"]
    assert config.source.topic("data") == "gas/v1/east/gw-east/data"
    assert isinstance(config.make_clock(), SystemClock)


def test_an_exercise_runs_on_its_own_clock(tmp_path: Path) -> None:
    clock = "[clock]\nreal_start = 2026-11-01T00:00:00Z\nhub_start = 2026-01-01T00:00:00Z\nspeed = 30\n"
    made = load(written(tmp_path, GOOD + clock)).make_clock()
    assert isinstance(made, ScaledClock) and made.speed == 30


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('zone = "east"', 'zone = "East Side"', "gateway.zone"),
        ("port = 15020", "port = 0", "line[l1].port"),
        ('kind = "tcp"', 'kind = "carrier pigeon"', "line[l1].kind"),
        ("scan_s = 2.0", "scan_s = 0", "device[drs-east-1-rtu].scan_s"),
        ("unit = 2", "unit = 256", "device[logger-1].unit"),
        ('line = "l1"', 'line = "l9"', "device[drs-east-1-rtu].line: no line 'l9' (allowed: l1)"),
        ('"rtu-regulator-a"', '"rtu-z"', "device[drs-east-1-rtu].profile: no profile 'rtu-z' (allowed: evc-bcd-c"),
        (
            "main = 12",
            "second = 12",
            "device[drs-east-1-rtu].blocks: the profile has no block 'second' (allowed: main)",
        ),
        ("main = 12", "main = 13", "block id 13: stands more than once"),
        ('id = "logger-1"', 'id = "drs-east-1-rtu"', "device drs-east-1-rtu: stands more than once"),
        ("= 98.5", "= 985", "device[logger-1].parameters.atmospheric_kpa: 985.0 is out of range (allowed: 50.0 to 110"),
        (
            "atmospheric_kpa",
            "hectopascal",
            "device[logger-1].parameters.hectopascal: the profile has no such parameter",
        ),
        ('password_file = "secret"', 'password_file = "nowhere"', "broker.password_file: no file"),
        ("[[line]]", "[[lines]]", "lines: is not known here"),
        ("timeout_s = 0.5", "timeout = 0.5", "line[l1].timeout"),
    ],
)
def test_each_mistake_is_told_with_its_place_and_what_is_allowed(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert any(problem.startswith(said) for problem in problems(tmp_path, (old, new))), problems(tmp_path, (old, new))


def test_five_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        ('zone = "east"', 'zone = "EAST"'),
        ("port = 15020", "port = 99999"),
        ("scan_s = 2.0", "scan_s = -1"),
        ('"pressure-logger-b"', '"pressure-logger-x"'),
        ('password_file = "secret"', 'password_file = "nowhere"'),
    )
    assert len(told) == 5


def test_two_lines_to_one_address_are_refused_since_each_would_ask_at_once(tmp_path: Path) -> None:
    second = '[[line]]\nid = "l2"\nhost = "127.0.0.1"\nport = 15020\n\n[[device]]'
    assert problems(tmp_path, ("[[device]]", second)) == [
        "address of a line 127.0.0.1:15020: stands more than once (allowed: once)"
    ]


async def test_the_process_names_every_mistake_and_ends_with_two(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("port = 15020", "port = 0").replace("main = 12", "x = 12"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "--config", str(path), stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert b"2 problems" in said and b"line[l1].port" in said and b"no block 'x'" in said


def test_the_files_the_hub_brings_are_toml_with_a_source() -> None:
    for path in Path("gateway/profiles").glob("*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8"))["profile"]["source"]


def test_counters_are_shown_for_each_gateway() -> None:
    tally = Tally(requests=7, timeouts=2, spool_bytes=123)
    port = free_port()
    with serve(port, {"gw-east": tally}):
        tally.requests += 1
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert 'gateway_requests_total{gateway="gw-east"} 8.0' in text
    assert 'gateway_timeouts_total{gateway="gw-east"} 2.0' in text
    assert 'gateway_spool_bytes{gateway="gw-east"} 123.0' in text


def test_without_a_port_nothing_is_shown() -> None:
    with serve(None, {}):
        pass
