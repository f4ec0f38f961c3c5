"""Gateways in one process, each with its own lines, spool and session, from their files to their end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from random import Random

import structlog

from gashub.embedded.readiness import announce

from .config import DeviceSection, GatewayConfig
from .forwarding import Forwarder
from .line import Line
from .metrics import serve
from .packets import Reader
from .polling import Poller, Unit
from .tally import Tally

log = structlog.get_logger()


def new_boot() -> str:
    """A boot id that no other start has."""
    return secrets.token_hex(8)


class Gateway:
    """One gateway, ready to run."""

    def __init__(self, config: GatewayConfig, rng: Random) -> None:
        self.id = config.gateway.id
        self.tally = Tally()
        clock = config.make_clock()
        self._forwarder = Forwarder(config, clock, self.tally, new_boot)
        units = _units(config)
        self._lines = {
            line.id: Line(line.id, line.host, line.port, timeout_s=line.timeout_s, units=len(units[line.id]), rng=rng)
            for line in config.lines
        }
        self._pollers = {
            name: Poller(line, units[name], clock=clock, rng=rng, tally=self.tally, deliver=self._forwarder.deliver)
            for name, line in self._lines.items()
            if units[name]
        }

    async def run(self) -> None:
        """Poll and forward until cancelled, then keep what was gathered."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forwarder.run(), name=f"forwarder {self.id}")
                for name, poller in self._pollers.items():
                    tasks.create_task(poller.run(), name=f"line {self.id}/{name}")
        finally:
            for line in self._lines.values():
                line.close()
            await self._forwarder.stop()


def _units(config: GatewayConfig) -> dict[str, list[Unit]]:
    """The units of each line; devices that are read alike share one reader."""
    readers: dict[object, Reader] = {}
    units: dict[str, list[Unit]] = {line.id: [] for line in config.lines}
    for device in config.devices:
        key = _reader_key(device)
        if key not in readers:
            readers[key] = Reader(config.profiles[device.profile], list(device.blocks), device.parameters)
        units[device.line].append(
            Unit(
                device=device.id,
                number=device.unit,
                scan_s=device.scan_s,
                reader=readers[key],
                block_ids=tuple(device.blocks.values()),
            )
        )
    return units


def _reader_key(device: DeviceSection) -> object:
    return device.profile, tuple(device.blocks), tuple(sorted(device.parameters.items()))


async def run(configs: Sequence[GatewayConfig], stop: asyncio.Event, *, seed: int | None = None) -> None:
    """Run gateways until `stop` is set. seed: makes the spread of polls and retries repeatable."""
    rng = Random(seed)  # noqa: S311 - spreads load, guards nothing
    gateways = [Gateway(config, rng) for config in configs]
    port = next((config.gateway.metrics_port for config in configs if config.gateway.metrics_port), None)
    with serve(port, {gateway.id: gateway.tally for gateway in gateways}):
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(gateway.run(), name=f"gateway {gateway.id}") for gateway in gateways]
            announce()
            log.info("gateways_running", gateways=[gateway.id for gateway in gateways])
            await stop.wait()
            for task in running:
                task.cancel()
