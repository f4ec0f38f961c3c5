"""The live feed: one WebSocket per console.

    client → server   {"resume": N}  first, if it has seen the journal up to N
    server → client   {"type": "hello", ...}, then
                      {"type": "event", ...}      journal entries by number, none left out
                      {"type": "heartbeat", ...}  each second: hub's time, server's time, what is away
                      binary snapshot             each second, the latest wins

A client that does not keep up is cut off with code 4008 and comes back with its number.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import psycopg
import structlog
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from psycopg_pool import PoolTimeout

from gashub import journal
from gashub.errors import HubError
from gashub.frames import to_ms
from gashub.journal import Entry

from . import sessions
from .hub import Hub, session_of
from .tail import Follower, JournalTail

_EVERY_S: Final = 1.0
_RESUME_WAIT_S: Final = 0.25
_SEND_PATIENCE_S: Final = 5.0
_RESUME_MOST: Final = 10_000
CLOSE_UNAUTHORISED: Final = 4001
CLOSE_FORBIDDEN: Final = 4003
CLOSE_TOO_SLOW: Final = 4008

_encoder = msgspec.json.Encoder()
_log = structlog.get_logger()


class Pulse:
    """Makes one snapshot a second, which all clients share."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.snapshot = b""
        self._next: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.snapshot = self._hub.live.values.snapshot(to_ms(self._hub.clock.now()))
            beat, self._next = self._next, asyncio.get_running_loop().create_future()
            beat.set_result(None)

    async def next(self) -> bytes:
        """The next snapshot."""
        await asyncio.shield(self._next)
        return self.snapshot


def install(app: FastAPI, *, path: str) -> None:
    """Serve the feed at `path`."""

    @app.websocket(path)
    async def live(socket: WebSocket) -> None:
        hub: Hub = app.state.hub
        if not _same_origin(socket):
            await socket.close(CLOSE_FORBIDDEN, "wrong origin")
            return
        try:
            session = await session_of(hub, socket.cookies.get(sessions.COOKIE))
        except HubError:
            await socket.accept()
            await socket.close(CLOSE_UNAUTHORISED, "log in first")
            return
        except (psycopg.OperationalError, PoolTimeout):
            await socket.close(1013, "the database is away")
            return
        if session.must_change_password:
            await socket.close(CLOSE_FORBIDDEN, "change the password first")
            return
        await socket.accept()
        await _serve(socket, hub, app.state.tail, app.state.pulse)


def _same_origin(socket: WebSocket) -> bool:
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")


async def _serve(socket: WebSocket, hub: Hub, tail: JournalTail, pulse: Pulse) -> None:
    follower = tail.follow()
    sending = asyncio.Lock()
    try:
        sent = await _greet(socket, hub, tail)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_events(socket, follower, sent, sending), name="events")
            tasks.create_task(_telemetry(socket, hub, tail, pulse, sending), name="telemetry")
            tasks.create_task(_until_gone(socket), name="listen")
    except* (WebSocketDisconnect, RuntimeError):
        _log.debug("client_gone")
    except* TimeoutError:
        _log.info("client_too_slow")
        await socket.close(CLOSE_TOO_SLOW, "too slow; come back with the last number")
    finally:
        tail.leave(follower)


async def _greet(socket: WebSocket, hub: Hub, tail: JournalTail) -> int:
    """Send hello and whatever the client missed; returns the number up to which it has everything."""
    after = await _resume_number(socket)
    await tail.started()
    number = tail.number
    await socket.send_text(
        _text(
            {
                "type": "hello",
                "server_time": hub.wall.now(),
                "hub_time": hub.clock.now(),
                "speed": hub.clock.speed,
                "journal": number,
            }
        )
    )
    if after is None or after >= number:
        return number
    async with hub.pool.connection(timeout=5.0) as connection:
        missed = await journal.read(connection, after=max(after, number - _RESUME_MOST), limit=_RESUME_MOST)
    for entry in missed:
        await socket.send_text(_event(entry))
    return missed[-1].number if missed else number


async def _resume_number(socket: WebSocket) -> int | None:
    try:
        said = await asyncio.wait_for(socket.receive_text(), _RESUME_WAIT_S)
        resume = msgspec.json.decode(said, type=dict[str, int]).get("resume")
    except (TimeoutError, KeyError, msgspec.DecodeError):
        return None
    return resume


async def _events(socket: WebSocket, follower: Follower, sent: int, sending: asyncio.Lock) -> None:
    while True:
        entry = await follower.entries.get()
        if follower.overrun.is_set():
            raise TimeoutError
        if entry.number > sent:
            await _send(socket, sending, _event(entry))


async def _telemetry(socket: WebSocket, hub: Hub, tail: JournalTail, pulse: Pulse, sending: asyncio.Lock) -> None:
    while True:
        snapshot = await pulse.next()
        heartbeat = {
            "type": "heartbeat",
            "hub_time": hub.clock.now(),
            "server_time": hub.wall.now(),
            "database": "up" if tail.database_up.is_set() else "down",
            "broker": "up" if hub.live.connected.is_set() else "down",
        }
        await _send(socket, sending, _text(heartbeat))
        await _send(socket, sending, snapshot)


async def _send(socket: WebSocket, sending: asyncio.Lock, message: str | bytes) -> None:
    async with sending, asyncio.timeout(_SEND_PATIENCE_S):
        await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))


async def _until_gone(socket: WebSocket) -> None:
    """Read until the client leaves: what it says after its first message means nothing."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))


def _event(entry: Entry) -> str:
    return _text({"type": "event"} | msgspec.to_builtins(entry))


def _text(body: dict[str, Any]) -> str:
    return _encoder.encode(body).decode()
