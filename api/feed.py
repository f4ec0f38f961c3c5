"""The live feed: one WebSocket per console.

    client → server   {"resume": N}  first, if it has seen the journal up to N
    server → client   {"type": "hello", ...}, then
                      {"type": "event", ...}      journal entries by number, none left out
                      {"type": "alarm", ...}      an alarm that cannot be recorded yet, because the database is away
                      {"type": "heartbeat", ...}  each second: hub's time, server's time, what is away
                      binary snapshot             each second, the latest wins

`hello` says in `events_after` behind which number the events go on. It is what the client asked for, unless that lies
too far back: then the client reads its lists anew. A client that does not keep up is cut off with code 4008 and comes
back with its number; one whose session ends is cut off with 4001.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import psycopg
import structlog
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from gashub import journal
from gashub.errors import HubError
from gashub.frames import to_ms
from gashub.journal import Entry

from . import sessions
from .followers import Follower, News
from .hub import Hub, same_origin, session_of
from .sessions import Session
from .tail import JournalTail

_EVERY_S: Final = 1.0
_RESUME_WAIT_S: Final = 0.25
_SEND_PATIENCE_S: Final = 5.0
_SESSION_LOOK_EVERY_S: Final = 5.0
_RESUME_MOST: Final = 10_000
CLOSE_UNAUTHORISED: Final = 4001
CLOSE_FORBIDDEN: Final = 4003
CLOSE_TOO_SLOW: Final = 4008
CLOSE_TRY_AGAIN: Final = 1013

_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError)
_encoder = msgspec.json.Encoder()
_log = structlog.get_logger()


class Pulse:
    """Makes one heartbeat and one snapshot a second, which all clients share."""

    def __init__(self, hub: Hub, tail: JournalTail) -> None:
        self._hub = hub
        self._tail = tail
        self._next: asyncio.Future[tuple[str, bytes]] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            beat, self._next = self._next, asyncio.get_running_loop().create_future()
            beat.set_result((self._heartbeat(), self._hub.live.values.snapshot(to_ms(self._hub.clock.now()))))

    async def next(self) -> tuple[str, bytes]:
        """The next heartbeat and snapshot."""
        return await asyncio.shield(self._next)

    def _heartbeat(self) -> str:
        return _text(
            {
                "type": "heartbeat",
                "hub_time": self._hub.clock.now(),
                "server_time": self._hub.wall.now(),
                "database": "up" if self._tail.database_up.is_set() else "down",
                "broker": "up" if self._hub.live.connected.is_set() else "down",
            }
        )


def install(app: FastAPI, *, path: str) -> None:
    """Serve the feed at `path`."""

    @app.websocket(path)
    async def live(socket: WebSocket) -> None:
        hub: Hub = app.state.hub
        session = await _admitted(socket, hub)
        if session is not None:
            await _Feed(socket, session, hub, app.state.tail, app.state.pulse).serve()


async def _admitted(socket: WebSocket, hub: Hub) -> Session | None:
    """Accept the connection if its session may have the feed; else close it, so that a browser sees the code."""
    try:
        session = await session_of(hub, socket.cookies.get(sessions.COOKIE)) if same_origin(socket) else None
    except HubError:
        refusal = (CLOSE_UNAUTHORISED, "log in first")
    except _AWAY:
        refusal = (CLOSE_TRY_AGAIN, "the database is away")
    else:
        if session is not None and not session.must_change_password:
            await socket.accept()
            return session
        refusal = (CLOSE_FORBIDDEN, "change the password first" if session else "wrong origin")
    if same_origin(socket):
        await socket.accept()
    await socket.close(*refusal)
    return None


class _Feed:
    """One client's connection."""

    def __init__(self, socket: WebSocket, session: Session, hub: Hub, tail: JournalTail, pulse: Pulse) -> None:
        self._socket = socket
        self._session = session
        self._hub = hub
        self._tail = tail
        self._pulse = pulse
        self._sending = asyncio.Lock()
        self._sent = 0

    async def serve(self) -> None:
        """Tell everything until the client leaves, is too slow, or its session ends."""
        try:
            await self._follow()
        except* (WebSocketDisconnect, RuntimeError):
            _log.debug("client_gone")
        except* TimeoutError:
            _log.info("client_too_slow")
            await self._close(CLOSE_TOO_SLOW, "too slow; come back with the last number")
        except* HubError:
            await self._close(CLOSE_UNAUTHORISED, "the session has ended")
        except* _AWAY:
            await self._close(CLOSE_TRY_AGAIN, "the database is away")

    async def _follow(self) -> None:
        follower = self._hub.followers.join()
        try:
            await self._greet()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell(follower), name="news")
                tasks.create_task(self._beat(), name="telemetry")
                tasks.create_task(self._until_gone(), name="listen")
                tasks.create_task(self._while_logged_in(), name="session")
        finally:
            self._hub.followers.leave(follower)

    async def _greet(self) -> None:
        """Send hello and whatever the client missed."""
        asked = await self._resume_number()
        await self._tail.started()
        number = self._tail.number
        after = number if asked is None else max(min(asked, number), number - _RESUME_MOST)
        await self._send(
            _text(
                {
                    "type": "hello",
                    "server_time": self._hub.wall.now(),
                    "hub_time": self._hub.clock.now(),
                    "speed": self._hub.clock.speed,
                    "journal": number,
                    "events_after": after,
                }
            )
        )
        self._sent = after
        if after < number:
            async with self._hub.pool.connection(timeout=5.0) as connection:
                missed = await journal.read(connection, after=after, limit=_RESUME_MOST)
            for entry in missed:
                await self._tell_entry(entry)

    async def _resume_number(self) -> int | None:
        try:
            said = await asyncio.wait_for(self._socket.receive_text(), _RESUME_WAIT_S)
            return msgspec.json.decode(said, type=dict[str, int]).get("resume")
        except (TimeoutError, KeyError, msgspec.DecodeError):
            return None

    async def _tell(self, follower: Follower) -> None:
        while True:
            news = await follower.news.get()
            if follower.overrun:
                raise TimeoutError
            await self._tell_one(news)

    async def _tell_one(self, news: News) -> None:
        if isinstance(news, Entry):
            await self._tell_entry(news)
        else:
            await self._send(_text({**news, "type": "alarm", "recorded": False}))

    async def _tell_entry(self, entry: Entry) -> None:
        if entry.number > self._sent:
            await self._send(_text({"type": "event"} | msgspec.to_builtins(entry)))
            self._sent = entry.number

    async def _beat(self) -> None:
        while True:
            for message in await self._pulse.next():
                await self._send(message)

    async def _until_gone(self) -> None:
        """Read until the client leaves: what it says after its first message means nothing."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))

    async def _while_logged_in(self) -> None:
        """Raise NotLoggedIn once the session has ended; while the database is away, it has not."""
        token = self._socket.cookies.get(sessions.COOKIE)
        while True:
            await asyncio.sleep(_SESSION_LOOK_EVERY_S)
            try:
                await session_of(self._hub, token)
            except _AWAY:
                if self._hub.wall.now() >= self._session.expires_at:
                    raise

    async def _send(self, message: str | bytes) -> None:
        async with self._sending, asyncio.timeout(_SEND_PATIENCE_S):
            await (self._socket.send_text(message) if isinstance(message, str) else self._socket.send_bytes(message))

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._socket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError):
            _log.debug("client_gone")


def _text(body: dict[str, Any]) -> str:
    return _encoder.encode(body).decode()
