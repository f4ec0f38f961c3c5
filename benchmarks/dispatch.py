"""From a value on the bus to a ticket, and what a valve's closing cuts off.

    bare publisher ─► embedded broker ─► alarms (own process) ─► journal ─► dispatch (own process) ─► ticket ─► notice

A plant of many small zones: in each, one after the other, the slam-shut closes, which makes one incident, one ticket,
and one notice to twenty service points.

dispatch.publish_to_ticket_p99_ms   from handing the frame to the publisher until a listening client hears that the
                                    ticket is committed; reference: the same rows written and committed by one bare
                                    transaction, 99th percentile
dispatch.publish_to_ticket_p50_ms   likewise the median of both
dispatch.publish_to_notice_p99_ms   until the notice is committed, with its trace, its texts and its service points
isolation.trace_ms                  the trace of a pipe of the town, median; reference: networkx asked the same
isolation.cutoff_ms                 the trace with the area and the customers by class, as a notice needs it
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import networkx as nx
import numpy as np
import paho.mqtt.client as mqtt
import psycopg
from psycopg.types.json import Jsonb

from dispatch.isolation import Isolator, Place
from gashub import plant, wire
from gashub.clock import stopwatch_s
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.frames import SLOTS, FrameBatch, to_ms
from gashub.journal import CHANNEL
from gashub.network.model import (
    CustomerClass,
    GateInlet,
    Junction,
    Network,
    Pipe,
    Regulator,
    ServicePoint,
    Zone,
)
from gashub.network.trace import Element, ElementKind, Trace
from gashub.quality import GOOD
from gashub.registry import Block, Device, Gateway, Point, Quantity, Registry, Role, Station, StationKind
from gashub.schema import migrate
from simulators import town

CUSTOMERS: Final = 20
GATEWAY: Final = "gw-bench"
_TIMEOUT_S: Final = 60.0
_ROOT: Final = Path(__file__).resolve().parents[1]


def rows(quick: bool) -> list[dict[str, Any]]:
    """The rows of this benchmark."""
    zones = 5 if quick else 200
    with tempfile.TemporaryDirectory(prefix="gashub-") as name:
        directory = Path(name)
        with EmbeddedPostgres(directory / "postgres") as postgres, EmbeddedBroker(directory / "broker") as broker:
            migrate(postgres.dsn)
            network, registry = _plant(zones)
            with psycopg.connect(postgres.dsn) as connection:
                plant.store(connection, network, registry, at=datetime.now(UTC))
            config = _configure(directory, postgres, broker)
            with _service("alarms", config), _service("dispatch", config):
                tickets, notices = _measure(registry, postgres, broker)
            reference = _reference(postgres.dsn, len(tickets))
    return [
        _row("dispatch.publish_to_ticket_p99_ms", "ms", _p99(tickets), _p99(reference)),
        _row("dispatch.publish_to_ticket_p50_ms", "ms", statistics.median(tickets), statistics.median(reference)),
        _row("dispatch.publish_to_notice_p99_ms", "ms", _p99(notices), None),
        *_traces(10 if quick else 100),
    ]


def _row(name: str, unit: str, value: float, reference: float | None) -> dict[str, Any]:
    ratio = None if reference is None else value / reference
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio}


def _p99(values: Sequence[float]) -> float:
    return float(np.percentile(values, 99))


def _plant(count: int) -> tuple[Network, Registry]:
    """`count` zones behind one gate, each with one station and CUSTOMERS service points."""
    names = [f"zone-{n}" for n in range(1, count + 1)]
    network = Network(
        name="bench",
        zones=[Zone(id=name, name_en=name, name_zh=name) for name in ["feeder", *names]],
        junctions=[
            Junction(id="gate", zone="feeder", x_m=0, y_m=0),
            *(Junction(id=f"{z}-{end}", zone=z, x_m=100 * n, y_m=y) for n, z in enumerate(names) for end, y in _ENDS),
        ],
        pipes=[
            Pipe(
                id=f"{z}-pipe",
                zone=z,
                from_junction=f"{z}-out",
                to_junction=f"{z}-end",
                length_m=80,
                inner_diameter_mm=150,
                roughness_mm=0.1,
            )
            for z in names
        ],
        regulators=[
            Regulator(
                id=f"{z}-reg",
                zone=z,
                station=f"{z}-drs",
                from_junction="gate",
                to_junction=f"{z}-out",
                set_point_kpa_gauge=3,
                slam_shut_kpa_gauge=5,
                capacity_m3h_std=1000,
            )
            for z in names
        ],
        gate_inlets=[GateInlet(id="gate", junction="gate", pressure_kpa_gauge=300)],
        service_points=[
            ServicePoint(
                id=f"{z}-sp{n}",
                zone=z,
                junction=f"{z}-end",
                customer_class=CustomerClass.RESIDENT,
                annual_m3_std=300,
            )
            for z in names
            for n in range(CUSTOMERS)
        ],
    )
    return network, _registry(names)


_ENDS: Final = (("out", 100.0), ("end", 180.0))


def _registry(names: Sequence[str]) -> Registry:
    return Registry(
        gateways=[Gateway(id=GATEWAY, zone="feeder")],
        stations=[
            Station(id=f"{z}-drs", zone=z, kind=StationKind.REGULATOR, name_en=z, name_zh=z, junction=f"{z}-out")
            for z in names
        ],
        devices=[
            Device(id=f"{z}-rtu", gateway=GATEWAY, station=f"{z}-drs", profile="", regulator=f"{z}-reg") for z in names
        ],
        blocks=[Block(id=n, device=f"{z}-rtu", name="main", scan_s=60) for n, z in enumerate(names, 1)],
        points=[
            Point(id=n * SLOTS, tag=f"{z}-rtu/slam_shut", quantity=Quantity.STATE, role=Role.SLAM_SHUT)
            for n, z in enumerate(names, 1)
        ],
    )


def _configure(directory: Path, postgres: EmbeddedPostgres, broker: EmbeddedBroker) -> Path:
    (directory / "dsn").write_text(postgres.dsn, encoding="utf-8")
    path = directory / "hub.toml"
    path.write_text(
        f'[database]\ndsn_file = "dsn"\n[broker]\nhost = "{broker.host}"\nport = {broker.port}\n'
        f'username = "hub"\npassword_file = "{broker.password_file("hub")}"\n',
        encoding="utf-8",
    )
    return path


@contextmanager
def _service(name: str, config: Path) -> Iterator[None]:
    """A service as a process of its own, from when it says that it is ready."""
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", name, "--config", str(config)],
        cwd=_ROOT,
        pass_fds=[write],
        env={**os.environ, "GASHUB_READY_FD": str(write)},
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        if os.read(read, 16) != b"ready\n":
            raise SystemExit(f"{name} did not start")
        yield
    finally:
        os.close(read)
        process.terminate()
        process.wait(30)


def _measure(registry: Registry, postgres: EmbeddedPostgres, broker: EmbeddedBroker) -> tuple[list[float], list[float]]:
    """Milliseconds from each frame to its ticket, and to its notice."""
    tickets, notices = [], []
    with ExitStack() as stack:
        listener = stack.enter_context(psycopg.connect(postgres.dsn, autocommit=True))
        listener.execute(f"LISTEN {CHANNEL}".encode())
        publish = stack.enter_context(_publisher(broker))
        for block in registry.blocks:
            publish(block.id, 0.0)
        for block in registry.blocks:
            began = stopwatch_s()
            publish(block.id, 1.0)
            _await(listener, "ticket_opened", len(tickets) + 1)
            tickets.append((stopwatch_s() - began) * 1e3)
            _await(listener, "notice_issued", len(notices) + 1)
            notices.append((stopwatch_s() - began) * 1e3)
        found = listener.execute("SELECT (SELECT count(*) FROM ticket), (SELECT count(*) FROM notice)").fetchone()
    if found != (len(registry.blocks), len(registry.blocks)):
        raise SystemExit(f"{len(registry.blocks)} slam-shuts closed and made (tickets, notices) {found}")
    return tickets, notices


@contextmanager
def _publisher(broker: EmbeddedBroker) -> Iterator[Any]:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench-publisher")
    client.username_pw_set("field", broker.users["field"])
    client.connect(broker.host, broker.port)
    client.loop_start()
    numbers = iter(range(1, 1_000_000))

    def publish(block: int, value: float) -> None:
        """Publish one frame of one block, measured now, and wait until the broker has it."""
        values, quality = np.full((1, SLOTS), np.nan), np.zeros((1, SLOTS), np.uint8)
        values[0, 0], quality[0, 0] = value, GOOD
        frames = FrameBatch(
            block_id=np.array([block], np.int32),
            measured_at_ms=np.array([to_ms(datetime.now(UTC))], np.int64),
            values=values,
            quality=quality,
        )
        header = wire.Header(gateway=GATEWAY, boot="bench", lane=wire.Lane.LIVE, seq=next(numbers))
        client.publish(f"gas/v1/feeder/{GATEWAY}/data", wire.encode(header, frames), qos=1).wait_for_publish(10)

    try:
        yield publish
    finally:
        client.disconnect()
        client.loop_stop()


def _await(listener: psycopg.Connection[Any], kind: str, count: int) -> None:
    """Wait until the journal holds `count` entries of `kind`, looking whenever something is committed to it."""
    deadline = stopwatch_s() + _TIMEOUT_S
    while stopwatch_s() < deadline:
        row = listener.execute("SELECT count(*) FROM journal WHERE kind = %s", (kind,)).fetchone()
        if row is not None and row[0] >= count:
            return
        for _ in listener.notifies(timeout=1.0, stop_after=1):
            pass
    raise SystemExit(f"no {kind} within {_TIMEOUT_S} s")


def _reference(dsn: str, count: int) -> list[float]:
    """Milliseconds that one transaction takes which writes what an alarm, its incident and its ticket are."""
    found = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for n in range(count):
            began = stopwatch_s()
            with connection.transaction():
                _write(connection, n)
            found.append((stopwatch_s() - began) * 1e3)
    return found


def _write(connection: psycopg.Connection[Any], n: int) -> None:
    row = connection.execute(
        "INSERT INTO incident (group_key, zone, kind, priority, emergency, opened_at, place, evidence) "
        "VALUES (%s, 'feeder', 'slam_shut', 'emergency', true, now(), '[]', '{}') RETURNING id",
        (f"reference-{n}",),
    ).fetchone()
    assert row is not None
    connection.execute(
        "INSERT INTO alarm (condition, rule, zone, incident_id, first_out, priority, active, acknowledged, raised_at, "
        "evidence) VALUES (%s, 'reference', 'feeder', %s, true, 'emergency', true, false, now(), '{}')",
        (f"reference-{n}", row[0]),
    )
    ticket = connection.execute(
        "INSERT INTO ticket (number, incident_id, zone, kind, urgency, state, place, reported_at, opened_at) "
        "VALUES (%s, %s, 'feeder', 'slam_shut', 'emergency', 'opened', '[]', now(), now()) RETURNING id",
        (f"R{n}", row[0]),
    ).fetchone()
    assert ticket is not None
    connection.execute(
        "INSERT INTO ticket_step (ticket_id, step, to_state, at, actor, note, body) "
        "VALUES (%s, 'opened', 'opened', now(), 'reference', '', '{}')",
        (ticket[0],),
    )
    for kind in ("alarm_raised", "incident_opened", "ticket_opened"):
        connection.execute(
            "WITH n AS (UPDATE journal_counter SET number = number + 1 RETURNING number) "
            "INSERT INTO journal (number, at, kind, subject, actor, body) "
            "SELECT number, now(), %s, 'reference', 'reference', %s FROM n",
            (f"reference_{kind}", Jsonb({"n": n})),
        )


def _traces(count: int) -> list[dict[str, Any]]:
    """What a leak on each of `count` pipes of the town cuts off."""
    network = town.build(7).network
    low = [pipe for pipe in network.pipes if pipe.zone != "feeder"]
    chosen = low[:: max(1, len(low) // count)][:count]
    trace, isolator, graph = Trace(network), Isolator(network), _Graph(network)
    ours, theirs, cutoffs = [], [], []
    for pipe in chosen:
        began = stopwatch_s()
        found = trace.isolate(Element(kind=ElementKind.PIPE, id=pipe.id))
        ours.append((stopwatch_s() - began) * 1e3)
        began = stopwatch_s()
        lost = graph.lost(pipe)
        theirs.append((stopwatch_s() - began) * 1e3)
        if lost != set(found.service_points_lost):
            raise SystemExit(f"{pipe.id}: the trace and networkx disagree on who loses supply")
        began = stopwatch_s()
        isolator.cutoff("leak", [Place(element="pipe", id=pipe.id)])
        cutoffs.append((stopwatch_s() - began) * 1e3)
    return [
        _row("isolation.trace_ms", "ms", statistics.median(ours), statistics.median(theirs)),
        _row("isolation.cutoff_ms", "ms", statistics.median(cutoffs), statistics.median(theirs)),
    ]


class _Graph:
    """The network as a networkx user would hold it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._pipes = nx.Graph([(pipe.from_junction, pipe.to_junction) for pipe in network.pipes])
        self._pipes.add_nodes_from(junction.id for junction in network.junctions)
        self._whole = nx.DiGraph()
        valves = [valve for valve in network.valves if valve.normally_open]
        for edge in [*network.pipes, *valves]:
            self._whole.add_edge(edge.from_junction, edge.to_junction)
            self._whole.add_edge(edge.to_junction, edge.from_junction)
        self._whole.add_edges_from((each.from_junction, each.to_junction) for each in network.regulators)

    def lost(self, pipe: Pipe) -> set[str]:
        """Service points without a way from a gate inlet once the section of `pipe` is shut off."""
        inside = nx.node_connected_component(self._pipes, pipe.from_junction)
        rest = self._whole.subgraph([node for node in self._whole if node not in inside])
        fed: set[str] = set()
        for gate in self._network.gate_inlets:
            if gate.junction in rest:
                fed |= {gate.junction} | nx.descendants(rest, gate.junction)
        return {point.id for point in self._network.service_points if point.junction not in fed}
