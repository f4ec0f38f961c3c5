"""`gashub scenario`: play a scenario and see what the hub makes of it.

`run` starts a hub of its own at the scenario's time and speed, plays it, and prints when each link of the chain came:

    onset ─► alarm ─► incident ─► ticket ─► notice

in simulated seconds after the onset, and in real seconds from the moment the town showed the fault to the moment the
row was committed. `start` plays a scenario in a hub that is already running.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gashub.clock import Clock
from gashub.network.trace import supply_lost
from gashub.plant import load_network
from simulators.scenario import Scenario, find, names

from .bus import publish_once
from .services import CONFIG, checked
from .stack import ExerciseTime, Stack, StackOptions

app = typer.Typer(
    no_args_is_help=True, help="Play leaks, ruptures and regulator faults, and see what the hub makes of them."
)
_console = Console()
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of the chain: what came, when in hub time, and how long after the onset.

    after_onset_s: simulated seconds from the onset to the time the row carries.
    real_s: real seconds from the onset to when the row was seen committed.
    """

    what: str
    name: str
    at: datetime
    after_onset_s: float
    real_s: float


@dataclass(slots=True)
class Outcome:
    """What a scenario led to, against what it expects."""

    scenario: str
    onset: datetime
    links: list[Link]
    alarms: list[str]
    incidents: int
    tickets: int
    notices: int
    service_points_told: int
    problems: list[str]


@app.command("list")
def list_scenarios() -> None:
    """The scenarios that come with the simulator, and what happens in each.

    Play one with `scenario run NAME`, or in a demo that is running with `scenario start NAME`.
    """
    table = Table("name", "what happens")
    for name in names():
        table.add_row(name, find(name).title_en)
    _console.print(table)


@app.command()
def start(
    scenario: Annotated[str, typer.Argument(help="A scenario's name (see `scenario list`), or `heal` to end all.")],
    config: CONFIG = Path("var/demo/hub.toml"),
) -> None:
    """Play a scenario in the simulator of a hub that is running."""
    settings = checked(config)
    command = {"heal": "all"} if scenario == "heal" else {"scenario": find(scenario).name}
    publish_once(settings, "sim/v1/command", json.dumps(command).encode())
    _console.print(f"sent: {scenario}")


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A scenario's name (see `scenario list`) or a TOML file.")],
    speed: Annotated[float, typer.Option(help="Simulated seconds per second.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same town and the same noise.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the hub's files here; else they are removed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Start a hub of its own, play the scenario, print what came of it and when; exit code 1 if not as expected."""
    script = find(scenario)
    place = nullcontext(str(data_dir)) if data_dir else tempfile.TemporaryDirectory(prefix="gashub-")
    with place as directory:
        outcome = play(script, source=scenario, data_dir=Path(directory), speed=speed, seed=seed, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(asdict(outcome), default=str, ensure_ascii=False, indent=1))
    else:
        _show(outcome, speed)
    sys.exit(1 if outcome.problems else 0)


def play(script: Scenario, *, source: str, data_dir: Path, speed: float, seed: int, quiet: bool = False) -> Outcome:
    """Play one scenario on a hub of its own in `data_dir` and watch until its expectations are met or time is up."""
    say = (lambda what: None) if quiet else (lambda what: _console.print(f"[dim]· {what}[/dim]"))
    options = StackOptions(
        data_dir=data_dir, seed=seed, exercise=ExerciseTime(start=script.start, speed=speed), scenario=source
    )
    with Stack(options, say) as stack:
        clock = stack.config.make_clock()
        with psycopg.connect(stack.postgres.dsn, autocommit=True, row_factory=dict_row) as connection:
            return _watch(script, connection, clock, quiet=quiet)


def _watch(script: Scenario, connection: psycopg.Connection[dict[str, Any]], clock: Clock, *, quiet: bool) -> Outcome:
    onset = script.start + timedelta(seconds=script.onset_s)
    deadline = script.start + timedelta(seconds=script.duration_s)
    links: dict[str, Link] = {}
    bar = Progress(
        TextColumn("{task.description:<40}"), BarColumn(bar_width=30), TimeElapsedColumn(),
        console=_console, disable=quiet,
    )  # fmt: skip
    with bar:
        task = bar.add_task("waiting for the onset", total=script.duration_s)
        while (now := clock.now()) < deadline:
            bar.update(task, completed=(now - script.start).total_seconds())
            if now >= onset:
                _look(script, connection, onset, clock, links)
                bar.update(task, description=f"seen: {', '.join(links) or 'nothing yet'}")
                if _complete(script, links):
                    break
            time.sleep(_LOOK_EVERY_S)
    return _judge(script, connection, onset, list(links.values()))


_LINKS = {
    "alarm": "SELECT rule AS name, raised_at AS at FROM alarm WHERE rule = ANY(%(rules)s) AND raised_at >= %(onset)s "
    "ORDER BY raised_at LIMIT 1",
    "incident": "SELECT kind AS name, opened_at AS at FROM incident WHERE emergency AND opened_at >= %(onset)s "
    "ORDER BY opened_at LIMIT 1",
    "ticket": "SELECT number AS name, opened_at AS at FROM ticket WHERE opened_at >= %(onset)s ORDER BY id LIMIT 1",
    "notice": "SELECT number AS name, issued_at AS at FROM notice WHERE issued_at >= %(onset)s ORDER BY id LIMIT 1",
}


def _look(
    script: Scenario,
    connection: psycopg.Connection[dict[str, Any]],
    onset: datetime,
    clock: Clock,
    links: dict[str, Link],
) -> None:
    """Add the links that have come since the last look."""
    rules = [expectation.rule for expectation in script.expect]
    for what in [what for what in _LINKS if what not in links]:
        row = connection.execute(_LINKS[what], {"rules": rules, "onset": onset}).fetchone()
        if row is not None:
            links[what] = Link(
                what=what,
                name=row["name"],
                at=row["at"],
                after_onset_s=(row["at"] - onset).total_seconds(),
                real_s=clock.real_s((clock.now() - onset).total_seconds()),
            )


def _complete(script: Scenario, links: dict[str, Link]) -> bool:
    wanted = {"alarm", "incident"} if script.expect else {"never"}
    wanted |= {"ticket"} if any(expectation.ticket for expectation in script.expect) else set()
    wanted |= {"notice"} if any(expectation.notice for expectation in script.expect) else set()
    return wanted <= set(links)


def _judge(
    script: Scenario, connection: psycopg.Connection[dict[str, Any]], onset: datetime, links: list[Link]
) -> Outcome:
    def count(query: str) -> int:
        row = connection.execute(query, {"onset": onset}).fetchone()
        assert row is not None
        return int(row["n"])

    raised = connection.execute("SELECT DISTINCT rule FROM alarm ORDER BY rule").fetchall()
    outcome = Outcome(
        scenario=script.name,
        onset=onset,
        links=links,
        alarms=[row["rule"] for row in raised],
        incidents=count("SELECT count(*) AS n FROM incident WHERE emergency"),
        tickets=count("SELECT count(*) AS n FROM ticket"),
        notices=count("SELECT count(*) AS n FROM notice"),
        service_points_told=count("SELECT count(*) AS n FROM notice_service_point"),
        problems=[],
    )
    outcome.problems = _problems(script, outcome) + _untrue_notices(connection)
    return outcome


def _untrue_notices(connection: psycopg.Connection[dict[str, Any]]) -> list[str]:
    """Notices that name others than those who lose supply when what the notice says is shut is shut."""
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as plain:
        network = load_network(plain)
    problems = []
    query = (
        "SELECT n.id, number, n.kind, valves, regulators, i.place FROM notice n JOIN incident i ON i.id = incident_id"
    )
    for notice in connection.execute(query).fetchall():
        told = connection.execute(
            "SELECT service_point_id AS id FROM notice_service_point WHERE notice_id = %s", (notice["id"],)
        ).fetchall()
        shut = {item["id"] for item in notice["place"]} if notice["kind"] == "slam_shut" else set()
        regulators = {each.id for each in network.regulators if {each.id, each.station} & shut}
        lost = supply_lost(
            network,
            closed_regulators=frozenset(regulators | set(notice["regulators"])),
            closed_valves=frozenset(notice["valves"]),
        )
        if {row["id"] for row in told} != set(lost):
            problems.append(f"notice {notice['number']} tells {len(told)}, the trace finds {len(lost)} without supply")
    return problems


def _problems(script: Scenario, outcome: Outcome) -> list[str]:
    problems = [
        f"no alarm {expectation.rule}" for expectation in script.expect if expectation.rule not in outcome.alarms
    ]
    ticket = any(expectation.ticket for expectation in script.expect)
    notice = any(expectation.notice for expectation in script.expect)
    for what, wanted, found in (("ticket", ticket, outcome.tickets), ("notice", notice, outcome.notices)):
        if found != int(wanted):
            problems.append(f"{found} {what}s, expected {int(wanted)}")
    if outcome.incidents != int(ticket):
        problems.append(f"{outcome.incidents} emergency incidents, expected {int(ticket)}")
    if notice and not outcome.service_points_told:
        problems.append("the notice names no service point")
    late = {link.what: link.after_onset_s for link in outcome.links}.get("alarm", 0.0)
    problems += [
        f"alarm after {late:.0f} s, expected within {expectation.within_s:.0f} s"
        for expectation in script.expect
        if late > expectation.within_s
    ]
    return problems


def _show(outcome: Outcome, speed: float) -> None:
    table = Table("link", "what", "simulated s after onset", f"real s (speed {speed:g})", title=outcome.scenario)
    for link in outcome.links:
        table.add_row(link.what, link.name, f"{link.after_onset_s:.1f}", f"{link.real_s:.2f}")
    _console.print(table)
    _console.print(
        f"{outcome.incidents} emergency incident(s), {outcome.tickets} ticket(s), {outcome.notices} notice(s) "
        f"telling {outcome.service_points_told} service point(s); alarms: {', '.join(outcome.alarms) or 'none'}"
    )
    for problem in outcome.problems:
        _console.print(f"[red]not as expected: {problem}[/red]")
    if not outcome.problems:
        _console.print("[green]as expected[/green]")
