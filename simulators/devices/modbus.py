"""Modbus TCP from the server's side: listeners that answer for many units, rightly or wrongly.

    master ── TCP ── Line (one port) ── unit id ── Unit ── image (bytes)

pymodbus's server answers well, but cannot be made to answer badly: a reply that comes late carries the transaction of
the request after it, and nothing can be left unsaid. Devices fail in just these ways, so the few lines of framing that
reading needs stand here; the gateway's pymodbus client checks them.

A unit's registers are one immutable bytes object that is replaced whole, so that no read ever sees half of a change.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from gashub.clock import Clock
from gashub.errors import Conflict, InvalidValue, NotFound

from .maps import RegisterMap

_HEADER: Final = struct.Struct(">HHHB")
_READ: Final = struct.Struct(">BHH")
_MAX_LENGTH: Final = 254
_MAX_READ: Final = 125
_MAX_BUFFER: Final = 64 * 1024
_CLOSE_S: Final = 1.0
_READS: Final = frozenset({3, 4})

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
DEVICE_FAILURE: Final = 4
NO_TARGET: Final = 11


class Fault(StrEnum):
    """How a unit misbehaves on the line."""

    NONE = "none"
    SILENT = "silent"  # the connection stands, nothing is answered
    REFUSES = "refuses"  # its whole line refuses connections
    LATE = "late"  # answers rightly, but `late_s` later
    EXCEPTION = "exception"  # answers every read with "device failure"
    GARBAGE = "garbage"  # answers with bytes that are no Modbus frame
    DROPS = "drops"  # hangs up when asked


@dataclass(slots=True, eq=False)
class Unit:
    """One device on a line: its registers as they are now, and how it misbehaves.

    `image` holds `map.count` registers from `map.first` on; `clock_offset_s` is how far the device's own clock is
    ahead of true time; `requests` counts what it was asked, answered or not.
    """

    number: int
    map: RegisterMap
    clock: Clock
    image: bytes = b""
    clock_offset_s: float = 0.0
    fault: Fault = Fault.NONE
    late_s: float = 0.0
    requests: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 247:
            raise InvalidValue(f"unit {self.number} is outside 1..247")
        self.image = self.image or self.map.image({})

    def read(self, function: int, address: int, count: int) -> bytes:
        """The answer's data unit to a read, or the exception a real device gives."""
        if function not in _READS or function != self.map.function:
            return _exception(function, ILLEGAL_FUNCTION)
        if not 1 <= count <= _MAX_READ:
            return _exception(function, ILLEGAL_VALUE)
        start = address - self.map.first
        if start < 0 or start + count > self.map.count:
            return _exception(function, ILLEGAL_ADDRESS)
        image = self._image_now()
        return bytes((function, 2 * count)) + image[2 * start : 2 * (start + count)]

    def _image_now(self) -> bytes:
        if self.map.clock_address is None:
            return self.image
        return self.map.with_time(self.image, self.clock.now().timestamp() + self.clock_offset_s)


def _exception(function: int, code: int) -> bytes:
    return bytes((function & 0x7F | 0x80, code))


class Line:
    """One listening port and the units behind it."""

    def __init__(self, units: list[Unit], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._units = {unit.number: unit for unit in units}
        if len(self._units) != len(units):
            raise Conflict("two units with one number", "sharing a line", ["numbers of their own"])
        self._host = host
        self._port = port
        self._wanted = False
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    @property
    def port(self) -> int:
        """The port it listens on, or did."""
        return self._port

    @property
    def units(self) -> list[Unit]:
        """The units behind this port."""
        return list(self._units.values())

    def unit(self, number: int) -> Unit | None:
        """The unit of that number, if there is one."""
        return self._units.get(number)

    @property
    def listening(self) -> bool:
        """Whether masters can connect."""
        return self._server is not None

    async def open(self) -> None:
        """Listen; a port of 0 becomes a free one, which is kept from then on."""
        self._wanted = True
        await self.settle()

    async def close(self) -> None:
        """Stop listening and hang up on everyone."""
        self._wanted = False
        await self.settle()

    async def settle(self) -> None:
        """Listen or not, as the units' faults ask: one that refuses takes its whole line with it."""
        refused = any(unit.fault is Fault.REFUSES for unit in self._units.values())
        if self._wanted and not refused:
            await self._listen()
        else:
            await self._hang_up()

    async def _listen(self) -> None:
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self._host, self._port, reuse_address=True)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            connection.hang_up()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _CLOSE_S)

    def attach(self, connection: _Connection) -> None:
        """Remember a connection, to hang up on it later."""
        self._connections.add(connection)

    def detach(self, connection: _Connection) -> None:
        """Forget a connection that ended."""
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    """One master's connection: cuts the stream into requests and answers each."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._later: set[asyncio.TimerHandle] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports behave like asyncio's but do not descend from them.
        self._transport = cast("asyncio.Transport", transport)
        self._line.attach(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        self._line.detach(self)

    def hang_up(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MAX_BUFFER:
            self.hang_up()
            return
        while len(self._buffer) >= _HEADER.size:
            transaction, protocol, length, number = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 2 <= length <= _MAX_LENGTH:
                self.hang_up()
                return
            end = 6 + length
            if len(self._buffer) < end:
                return
            request, self._buffer = self._buffer[_HEADER.size : end], self._buffer[end:]
            self._serve(transaction, number, request)

    def _serve(self, transaction: int, number: int, request: bytes) -> None:
        unit = self._line.unit(number)
        if unit is None:
            self._answer(transaction, number, _exception(request[0], NO_TARGET))
            return
        unit.requests += 1
        match unit.fault:
            case Fault.SILENT:
                return
            case Fault.DROPS | Fault.REFUSES:
                self.hang_up()
            case Fault.EXCEPTION:
                self._answer(transaction, number, _exception(request[0], DEVICE_FAILURE))
            case Fault.GARBAGE:
                self._send(bytes((7 * i + transaction) & 0xFF for i in range(31)))
            case Fault.LATE:
                self._answer_later(unit.late_s, transaction, number, _reply(unit, request))
            case Fault.NONE:
                self._answer(transaction, number, _reply(unit, request))

    def _answer_later(self, delay_s: float, transaction: int, number: int, reply: bytes) -> None:
        def fire() -> None:
            self._later.discard(handle)
            self._answer(transaction, number, reply)

        handle = asyncio.get_running_loop().call_later(delay_s, fire)
        self._later.add(handle)

    def _answer(self, transaction: int, number: int, reply: bytes) -> None:
        self._send(_HEADER.pack(transaction, 0, len(reply) + 1, number) + reply)

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _reply(unit: Unit, request: bytes) -> bytes:
    if len(request) != _READ.size:
        return _exception(request[0], ILLEGAL_FUNCTION if request[0] not in _READS else ILLEGAL_VALUE)
    return unit.read(*_READ.unpack(request))


def find(units: dict[str, Unit], name: str) -> Unit:
    """The unit of that name. Raises NotFound."""
    try:
        return units[name]
    except KeyError:
        raise NotFound("device", name) from None
