"""What polling costs beside the bare protocol, and what silent devices cost the others.

The devices are real Modbus TCP servers in a process of their own, so that processor time here is the master's alone.
`gateway.vs_pymodbus` compares the gateway's whole way from a turn of the schedule to the bytes of a packet with a loop
that does nothing but send the same requests by pymodbus and throw the answers away; rounds alternate.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import statistics
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from random import Random
from typing import Any

import structlog
import uvloop
from pymodbus.client import AsyncModbusTcpClient

from gashub.clock import SystemClock, cpu_s
from gashub.wire import Header, Lane, encode
from gateway.line import Line
from gateway.packets import PACKET_SCANS, Packer, Reader, Scan
from gateway.polling import Poller, Unit
from gateway.profile import load
from gateway.tally import Tally

TIMEOUT_S = 1.0
_FARM = """
import asyncio, sys
import uvloop
from simulators.devices.farm import DeviceFarm, FarmUnit, Fault

async def main(lines, units, silent):
    names = [f"{line}/{unit}" for line in range(lines) for unit in range(1, units + 1)]
    farm = DeviceFarm([
        FarmUnit(name=name, profile="rtu-regulator-a", line=name.split("/")[0], unit=int(name.split("/")[1]))
        for name in names
    ])
    async with farm:
        for name in names[:: len(names) // silent] if silent else []:
            await farm.fault(name, Fault.SILENT)
        sys.stdout.write(" ".join(str(farm.port(f"{line}/1")) for line in range(lines)) + "\\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

uvloop.run(main(*map(int, sys.argv[1:])))
"""


@contextmanager
def devices(lines: int, units: int, silent: int = 0) -> Any:
    """The ports of `lines` lines of `units` devices each, `silent` of all of which do not answer."""
    command = [sys.executable, "-c", _FARM, str(lines), str(units), str(silent)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield [int(port) for port in process.stdout.readline().split()]
    finally:
        process.communicate()


async def bare(ports: list[int], units: int, requests: int) -> float:
    """Processor seconds per request of pymodbus alone."""
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port, timeout=TIMEOUT_S, retries=0) for port in ports]
    for client in clients:
        await client.connect()

    async def ask(client: AsyncModbusTcpClient) -> None:
        for number in range(requests // len(ports)):
            await client.read_holding_registers(0, count=12, device_id=1 + number % units)

    used = await _cpu(lambda: asyncio.gather(*map(ask, clients)))
    for client in clients:
        client.close()
    return used / (requests // len(ports) * len(ports))


async def _cpu(work: Callable[[], Any]) -> float:
    gc.collect()
    before = cpu_s()
    await work()
    return cpu_s() - before


class Sink:
    """Where pollers deliver: packets are closed and encoded, and `requests` scans are waited for."""

    def __init__(self, requests: int) -> None:
        self.done = asyncio.Event()
        self.stamps: dict[int, list[int]] = {}
        self._left = requests
        self._packer = Packer()
        self._seq = 0

    def deliver(self, scan: Scan) -> None:
        self._packer.add(scan)
        if not scan.failures[0]:
            self.stamps.setdefault(scan.block_ids[0], []).append(scan.measured_at_ms)
        self._left -= 1
        if len(self._packer) >= PACKET_SCANS or not self._left:
            self._seq += 1
            encode(Header(gateway="gw", boot="b", lane=Lane.LIVE, seq=self._seq), self._packer.take())
        if self._left <= 0:
            self.done.set()


async def polled(ports: list[int], units: int, requests: int, scan_s: float) -> tuple[float, Sink]:
    """Processor seconds per request of the gateway's way to a packet, and what came."""
    sink, reader, rng = Sink(requests), Reader(load("rtu-regulator-a"), ["main"], {}), Random(1)
    lines = [
        Line(str(number), "127.0.0.1", port, timeout_s=TIMEOUT_S, units=units, rng=rng)
        for number, port in enumerate(ports)
    ]
    pollers = [
        Poller(
            line,
            [
                Unit(device="", number=unit, scan_s=scan_s, reader=reader, block_ids=(1 + number * units + unit,))
                for unit in range(1, units + 1)
            ],
            clock=SystemClock(),
            rng=rng,
            tally=Tally(),
            deliver=sink.deliver,
        )
        for number, line in enumerate(lines)
    ]

    async def poll() -> None:
        tasks = [asyncio.create_task(poller.run()) for poller in pollers]
        await sink.done.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    used = await _cpu(poll)
    for line in lines:
        line.close()
    return used / requests, sink


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return uvloop.run(work)


def _quiet() -> None:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def cost(quick: bool) -> dict[str, Any]:
    """Processor time per request against bare pymodbus; rounds alternate, medians."""
    requests, rounds = (500, 1) if quick else (6000, 5)
    bare_s, gateway_s = [], []
    with devices(20, 5) as ports:
        for _ in range(rounds):
            bare_s.append(_run(bare(ports, 5, requests)))
            # A period so short that every turn is due: as in the bare loop, nobody waits for a timer.
            gateway_s.append(_run(polled(ports, 5, requests, 0.001))[0])
    value, reference = statistics.median(gateway_s) * 1e6, statistics.median(bare_s) * 1e6
    return {
        "name": "gateway.vs_pymodbus",
        "value": value,
        "unit": "µs CPU/request",
        "reference": reference,
        "ratio": value / reference,
    }


def periods(quick: bool) -> dict[str, Any]:
    """The 99th percentile of the answering devices' period, with one device of ten silent against with none."""
    lines, units, scans = (20, 1, 60) if quick else (100, 1, 1500)
    p99 = []
    for silent in (lines * units // 10, 0):
        with devices(lines, units, silent) as ports:
            sink = _run(polled(ports, units, scans, 1.0))[1]
        steps = [b - a for at in sink.stamps.values() for a, b in itertools.pairwise(at)]
        p99.append(statistics.quantiles(steps, n=100)[98] / 1000)
    return {
        "name": "gateway.period_p99_one_in_ten_silent",
        "value": p99[0],
        "unit": "s (scan 1 s)",
        "reference": p99[1],
        "ratio": p99[0] / p99[1],
    }


def rows(quick: bool) -> list[dict[str, Any]]:
    """The gateway's rows of the table."""
    _quiet()
    return [cost(quick), periods(quick)]
