"""Every device of a town: its instruments, its registers, and the ports it answers on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from gashub.clock import Clock

from ..equipment import SimulatedDevice
from .indexes import Indexes
from .instruments import DeviceClock, Instruments, device_clock
from .maps import RegisterMap, pressure_logger, register_map, resolution_meter
from .modbus import Fault, Line, Unit, find

F64 = NDArray[np.float64]


def map_of(device: SimulatedDevice) -> RegisterMap:
    """The register map of a device with its own parameters. Raises NotFound for an unknown profile."""
    parameters = device.parameters
    if device.profile == "pressure-logger-b" and "atmospheric_kpa" in parameters:
        return pressure_logger(parameters["atmospheric_kpa"])
    if device.profile == "meter-resolution-e" and "resolution_exponent" in parameters:
        return resolution_meter(int(parameters["resolution_exponent"]))
    return register_map(device.profile)


class Fleet:
    """All devices, from `open` to `close`; `refresh` gives them what to show."""

    def __init__(
        self,
        devices: Sequence[SimulatedDevice],
        *,
        seed: int,
        clock: Clock,
        counted_m3: Mapping[str, float] | None = None,
    ) -> None:
        self._seed = seed
        self.instruments = Instruments(devices, seed=seed, counted_m3=counted_m3)
        self._shown: F64 = np.zeros(len(self.instruments.channels))
        self._units = {d.id: Unit(d.unit, map_of(d), clock) for d in devices}
        self._clocks: dict[str, DeviceClock] = {d.id: device_clock(d.id, seed=seed) for d in devices}
        self._fields = _slices(self.instruments.channels)
        grouped: dict[int, list[Unit]] = {}
        for device in devices:
            grouped.setdefault(device.port, []).append(self._units[device.id])
        self._lines = {port: Line(units, port=port) for port, units in grouped.items()}
        self._line_of = {d.id: self._lines[d.port] for d in devices}

    async def open(self) -> None:
        """Listen on every port. Raises OSError if one is taken; nothing is left open then."""
        try:
            for line in self._lines.values():
                await line.open()
        except OSError:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop answering."""
        for line in self._lines.values():
            await line.close()

    def refresh(self, truth: F64, *, second: int, elapsed_s: float) -> None:
        """Show what the instruments make of the truth; each unit's registers change all at once."""
        self._shown = self.instruments.show(truth, second=second, elapsed_s=elapsed_s)
        shown = self._shown.tolist()
        for device, (first, slots) in self._fields.items():
            unit = self._units[device]
            unit.image = unit.map.image(dict(zip(slots, shown[first : first + len(slots)], strict=True)))
            unit.clock_offset_s = self._clocks[device].ahead_s(elapsed_s)

    async def fault(self, device: str, fault: Fault, *, late_s: float = 0.0) -> None:
        """Misbehave from now on; Fault.NONE ends it. Raises NotFound."""
        unit = find(self._units, device)
        unit.fault = fault
        unit.late_s = late_s
        await self._line_of[device].settle()

    async def heal(self) -> None:
        """Every device answers and measures again."""
        for unit in self._units.values():
            unit.fault = Fault.NONE
        self.instruments.release_all()
        for line in self._lines.values():
            await line.settle()

    def stick(self, device: str, slot: str) -> None:
        """That instrument goes on showing what it shows now. Raises NotFound."""
        self.instruments.stick(device, slot, float(self._shown[self.instruments.channel(device, slot)]))

    def indexes(self, at: datetime) -> Indexes:
        """What the counters show now, `at` being the moment they were last refreshed for."""
        counters = self.instruments.counters
        return Indexes(
            seed=self._seed,
            at=at,
            volume_m3={tag: float(self._shown[volume]) for tag, volume, _ in counters},
            flow_m3h={tag: float(self._shown[flow]) for tag, _, flow in counters if flow is not None},
        )

    def images(self) -> dict[str, bytes]:
        """Every unit's registers as they are now."""
        return {name: unit.image for name, unit in self._units.items()}

    @property
    def requests(self) -> int:
        """How many requests all units were sent."""
        return sum(unit.requests for unit in self._units.values())

    @property
    def ports(self) -> list[int]:
        """The ports that units are reached on."""
        return [line.port for line in self._lines.values()]


def _slices(channels: Sequence[tuple[str, str]]) -> dict[str, tuple[int, list[str]]]:
    """Per device, where its channels begin and which slots they fill; a device's channels stand together."""
    found: dict[str, tuple[int, list[str]]] = {}
    for i, (device, slot) in enumerate(channels):
        found.setdefault(device, (i, []))[1].append(slot)
    return found
