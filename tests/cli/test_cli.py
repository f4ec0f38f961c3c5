"""The command line teaches, and refuses what is wrong in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from gashub.embedded.secrets import write_private


def gashub(*arguments: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


VERBS = [
    ["demo"],
    ["run"],
    ["gateway"],
    ["ingest"],
    ["alarms"],
    ["dispatch"],
    ["api"],
    ["simulate"],
    ["check"],
    ["scenario", "run"],
    ["scenario", "start"],
    ["scenario", "list"],
    ["db", "migrate"],
    ["network", "import"],
    ["user", "add"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself(verb: list[str]) -> None:
    from typer.testing import CliRunner

    from cli.app import app

    shown = CliRunner().invoke(app, [*verb, "--help"])
    assert shown.exit_code == 0
    assert len(shown.output.split()) > 30


def test_a_configuration_with_five_mistakes_is_told_all_five_at_once_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    config.write_text(
        """
        [hub]
        timezone = "Asia/Shangri-La"
        gas_day_hour = 25
        [database]
        dsn = "postgresql://here"
        [broker]
        port = 70000
        password_file = "secret"
        """
    )
    for verb in (["check", config], ["ingest", "-c", config], ["run", "-c", config]):
        told = gashub(*verb)
        assert told.returncode == 2
        for mistake in ("hub.timezone", "hub.gas_day_hour", "database.dsn_file", "database.dsn", "broker.port"):
            assert mistake in told.stderr, told.stderr
        assert "5 problems" in told.stderr
        assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    ("text", "says"), [("[hub", "not TOML"), ("[hub]\nname = 3\n", "hub.name")], ids=["not TOML", "wrong type"]
)
def test_a_file_that_cannot_be_read_says_where(text: str, says: str, tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    config.write_text(text)
    told = gashub("check", config)
    assert told.returncode == 2
    assert says in told.stderr
    assert "Traceback" not in told.stderr


def test_a_configuration_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    told = gashub("check", tmp_path / "none.toml")
    assert told.returncode == 2
    assert "No such file" in told.stderr


@pytest.fixture
def hub_toml(tmp_path: Path, database_dsn: str) -> Path:
    write_private(tmp_path / "dsn", database_dsn)
    write_private(tmp_path / "broker", "unused")
    config = tmp_path / "hub.toml"
    config.write_text('[database]\ndsn_file = "dsn"\n[broker]\npassword_file = "broker"\n')
    return config


def test_users_are_added_listed_and_refused_by_the_command_line(hub_toml: Path, database_dsn: str) -> None:
    added = gashub("user", "add", "li.wei", "--role", "operator", "-c", hub_toml)
    assert added.returncode == 0, added.stderr
    assert "password" in added.stdout
    again = gashub("user", "add", "li.wei", "-c", hub_toml)
    assert again.returncode == 2
    assert "the name is taken" in again.stderr
    wrong = gashub("user", "add", "wang", "--role", "king", "-c", hub_toml)
    assert "viewer, operator, supervisor, administrator" in wrong.stderr
    listed = gashub("user", "list", "-c", hub_toml)
    assert "li.wei" in listed.stdout
    with psycopg.connect(database_dsn) as connection:
        audited = connection.execute("SELECT action, subject FROM audit ORDER BY id").fetchall()
    assert audited == [("user_added", "li.wei")]


def test_a_plant_with_mistakes_is_refused_whole_and_a_right_one_taken_in(
    hub_toml: Path, database_dsn: str, tmp_path: Path
) -> None:
    from gashub.config import BrokerSection
    from simulators.town import write_plant

    plant = tmp_path / "plant"
    plant.mkdir()
    write_plant(plant, broker=BrokerSection(password_file=Path("p")), clock=None, first_port=20_000, seed=1)
    registry = plant / "registry.json"
    right = registry.read_text()
    registry.write_text(right.replace('"station": "drs-east-1"', '"station": "drs-nowhere"', 1))
    told = gashub("network", "import", plant, "-c", hub_toml)
    assert told.returncode == 2
    assert "drs-nowhere" in told.stderr
    registry.write_text(right)
    assert gashub("network", "import", plant, "--check", "-c", hub_toml).returncode == 0
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM pipe").fetchone() == (0,)
    taken = gashub("network", "import", plant, "-c", hub_toml)
    assert taken.returncode == 0, taken.stderr
    with psycopg.connect(database_dsn) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM pipe) > 2000, (SELECT count(*) FROM account) > 0")
        assert row.fetchone() == (True, True)
