"""A few devices on real ports, with values set by hand: what a test of a gateway needs.

async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a")]) as farm:
    farm.set("a", outlet_pressure=2.3)
    await farm.fault("a", Fault.SILENT)
    master = AsyncModbusTcpClient("127.0.0.1", port=farm.port("a"))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from gashub.clock import Clock, SystemClock
from gashub.errors import NotFound

from .maps import RegisterMap, register_map
from .modbus import Fault, Line, Unit, find

__all__ = ["DeviceFarm", "FarmUnit", "Fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmUnit:
    """One device of a farm. Units of the same `line` share a port; `values` are canonical, by slot name."""

    name: str
    profile: str
    unit: int = 1
    line: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    map: RegisterMap | None = None


class DeviceFarm:
    """Devices on free loopback ports, from `async with` until its end."""

    def __init__(self, units: list[FarmUnit], *, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._units: dict[str, Unit] = {}
        self._values: dict[str, dict[str, float]] = {}
        self._line_of: dict[str, str] = {}
        grouped: dict[str, list[Unit]] = {}
        for spec in units:
            self._units[spec.name] = Unit(spec.unit, spec.map or register_map(spec.profile), clock)
            self._values[spec.name] = {}
            self._line_of[spec.name] = spec.line or spec.name
            grouped.setdefault(spec.line or spec.name, []).append(self._units[spec.name])
            self.set(spec.name, **spec.values)
        self._lines = {name: Line(members) for name, members in grouped.items()}

    async def __aenter__(self) -> DeviceFarm:
        for line in self._lines.values():
            await line.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._lines.values():
            await line.close()

    def port(self, name: str) -> int:
        """The port on which that device is reached."""
        find(self._units, name)
        return self._lines[self._line_of[name]].port

    def set(self, name: str, **values: float) -> None:
        """Show these values from now on, all at once. Raises NotFound for a name the device does not have."""
        unit = find(self._units, name)
        for key in values:
            if key not in unit.map.names:
                raise NotFound(f"value of {unit.map.profile}", key)
        self._values[name].update(values)
        unit.clock_offset_s = self._values[name].get("clock_offset", 0.0)
        unit.image = unit.map.image(self._values[name])

    async def fault(self, name: str, fault: Fault, *, late_s: float = 0.0) -> None:
        """Misbehave from now on; Fault.NONE ends it. `late_s` is in real seconds."""
        unit = find(self._units, name)
        unit.fault = fault
        unit.late_s = late_s
        await self._lines[self._line_of[name]].settle()

    async def hang_up(self, name: str) -> None:
        """Drop every connection of the device's line once; masters may come back."""
        line = self._lines[self._line_of[name]]
        await line.close()
        await line.open()

    def requests(self, name: str) -> int:
        """How many requests the device was sent, answered or not."""
        return find(self._units, name).requests
