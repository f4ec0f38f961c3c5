"""One Modbus TCP line: a connection, and one request on it at a time.

pymodbus keeps the connection but not our rules, so three things are ours: a connection that could not be made is
tried again, not more often than `RECONNECT` says; a line on which nobody has answered for a while is opened anew, for
it may be half open; and a read always ends in an `Answer`, never in an exception. A time-out is pymodbus's own: to
cut a read short from outside would leave its answer to be taken for the next one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

import structlog
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from gashub.clock import stopwatch_s

from .plan import Request

_RECONNECT_FIRST_S: Final = 0.5
_RECONNECT_LIMIT_S: Final = 15.0
_MUTE_MAX: Final = 8

log = structlog.get_logger()


class Outcome(Enum):
    """How one request ended."""

    ANSWERED = "answered"
    SILENT = "silent"
    REFUSED = "refused"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a request ended; `words` if it was answered, one per register or bit; `round_trip_s` in real seconds."""

    outcome: Outcome
    words: Sequence[int] = ()
    exception_code: int = 0
    round_trip_s: float = 0.0


_DOWN: Final = Answer(outcome=Outcome.DOWN)


class Line:
    """A line to `host`:`port`. Not to be shared by two tasks.

    timeout_s: real seconds within which an answer must come. units: how many are asked on it; when so many requests
    in a row were not answered, nobody is there, and the connection is opened anew.
    """

    def __init__(self, name: str, host: str, port: int, *, timeout_s: float, units: int, rng: Random) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.opened = 0
        self._client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0, name=name)
        self._client.set_max_no_responses(min(units, _MUTE_MAX))
        self._rng = rng
        self._failed_connects = 0
        self._retry_at_s = 0.0

    async def read(self, unit: int, request: Request) -> Answer:
        """Ask one unit once."""
        if not self._client.connected and not await self._open():
            return _DOWN
        started = stopwatch_s()
        try:
            response = await self._send(unit, request)
        except ConnectionException:
            return _DOWN
        except ModbusException:
            return Answer(outcome=Outcome.SILENT, round_trip_s=stopwatch_s() - started)
        return _answer(response, request, stopwatch_s() - started)

    async def _send(self, unit: int, request: Request) -> ModbusPDU:
        client = self._client
        match request.function:
            case 1:
                return await client.read_coils(request.address, count=request.count, device_id=unit)
            case 2:
                return await client.read_discrete_inputs(request.address, count=request.count, device_id=unit)
            case 3:
                return await client.read_holding_registers(request.address, count=request.count, device_id=unit)
            case _:
                return await client.read_input_registers(request.address, count=request.count, device_id=unit)

    async def _open(self) -> bool:
        """Connect if it is time to; True if the line is open."""
        if stopwatch_s() < self._retry_at_s:
            return False
        if await self._client.connect():
            log.info("line_open", line=self.name, failed_before=self._failed_connects)
            self._failed_connects, self._retry_at_s = 0, 0.0
            self.opened += 1
            return True
        if not self._failed_connects:
            log.warning("line_down", line=self.name)
        wait_s = min(_RECONNECT_FIRST_S * 2.0 ** min(self._failed_connects, 16), _RECONNECT_LIMIT_S)
        self._failed_connects += 1
        self._retry_at_s = stopwatch_s() + wait_s * (1 + 0.2 * self._rng.random())
        return False

    def close(self) -> None:
        """Close the connection; a later read opens it again."""
        self._client.close()


def _answer(response: ModbusPDU, request: Request, round_trip_s: float) -> Answer:
    if response.isError():
        return Answer(
            outcome=Outcome.REFUSED, exception_code=getattr(response, "exception_code", 0), round_trip_s=round_trip_s
        )
    words: Sequence[int] = response.registers if request.function in (3, 4) else [int(bit) for bit in response.bits]
    if len(words) < request.count:
        return Answer(outcome=Outcome.REFUSED, round_trip_s=round_trip_s)
    return Answer(outcome=Outcome.ANSWERED, words=words[: request.count], round_trip_s=round_trip_s)
