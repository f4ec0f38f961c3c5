"""A running API, and the people who use it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg
import websockets.sync.client as websockets

from api import passwords, service
from api.app import PREFIX
from api.sessions import COOKIE, CSRF_HEADER
from gashub.config import ApiSection, BrokerSection, DatabaseSection, HubConfig, HubSection
from gashub.embedded.broker import EmbeddedBroker

PASSWORD = "correct horse battery"
_HASH = passwords.hashed(PASSWORD)


def configured(directory: Path, dsn: str, broker: EmbeddedBroker) -> HubConfig:
    """A hub's configuration on this database and broker, with a free port for the API."""
    (directory / "dsn").write_text(dsn)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return HubConfig(
        hub=HubSection(data_dir=directory),
        database=DatabaseSection(dsn_file=directory / "dsn"),
        broker=BrokerSection(port=broker.port, password_file=broker.password_file("hub")),
        api=ApiSection(port=port),
    )


def eventually(what: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait until `what` is true."""
    end = time.monotonic() + within_s
    while not what():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


@dataclass
class Person:
    """Somebody with a session."""

    name: str
    http: httpx.Client
    cookie: str

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(f"{PREFIX}{path}", params=query)

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.http.post(f"{PREFIX}{path}", json=body)

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/events", limit=5000).json()
        return found


class Api:
    """The service, in a thread with a loop of its own."""

    def __init__(self, config: HubConfig) -> None:
        self.config = config
        self.host = f"127.0.0.1:{config.api.port}"
        self.url = f"http://{self.host}"
        self._people: list[httpx.Client] = []
        self._numbers = iter(range(1, 10_000))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="api")
        self._thread.start()
        self.anybody = self.client()
        eventually(self._ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._people:
            client.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await service.run(self.config, self._stop)

    def _ready(self) -> bool:
        assert self._thread.is_alive()
        with suppress(httpx.TransportError):
            return self.anybody.get("/readyz").status_code == 200
        return False

    def consoles(self) -> int:
        """How many follow the live feed."""
        lines = self.anybody.get("/metrics").text.splitlines()
        return int(float(next(line.split()[1] for line in lines if line.startswith("gashub_api_consoles "))))

    def client(self, **headers: str) -> httpx.Client:
        """A browser without a session."""
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30)
        self._people.append(client)
        return client

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database, or change it, behind the API's back."""
        with psycopg.connect(self.config.dsn()) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def add(self, role: str, *, must_change: bool = False) -> str:
        """Let somebody in, with PASSWORD; returns their name."""
        name = f"{role}-{next(self._numbers)}"
        self.sql(
            "INSERT INTO app_user (name, role, password_hash, must_change_password, created_at) "
            "VALUES (%s, %s, %s, %s, now())",
            name,
            role,
            _HASH,
            must_change,
        )
        return name

    def log_in(self, name: str, password: str = PASSWORD) -> Person:
        """A session of that user."""
        client = self.client()
        answer = client.post(f"{PREFIX}/session", json={"username": name, "password": password})
        assert answer.status_code == 200, answer.text
        client.headers[CSRF_HEADER] = answer.json()["csrf_token"]
        return Person(name, client, client.cookies[COOKIE])

    def somebody(self, role: str, *, must_change: bool = False) -> Person:
        """A new user of that role, logged in."""
        return self.log_in(self.add(role, must_change=must_change))

    def live(self, person: Person | None, *, origin: str | None = None) -> websockets.ClientConnection:
        """The live feed as that person sees it."""
        headers = {"Cookie": f"{COOKIE}={person.cookie}"} if person else {}
        return websockets.connect(
            f"ws://{self.host}{PREFIX}/live",
            additional_headers=headers,
            origin=origin,  # type: ignore[arg-type]
            proxy=None,
            max_size=None,
            compression=None,
        )


def said(feed: websockets.ClientConnection, kind: str, *, within_s: float = 20.0) -> dict[str, Any]:
    """The next text message of that type; others are skipped."""
    end = time.monotonic() + within_s
    while True:
        message = feed.recv(timeout=max(0.01, end - time.monotonic()))
        if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
            return dict(found)


def telemetry(feed: websockets.ClientConnection, *, within_s: float = 20.0) -> bytes:
    """The next snapshot."""
    end = time.monotonic() + within_s
    while True:
        message = feed.recv(timeout=max(0.01, end - time.monotonic()))
        if isinstance(message, bytes):
            return message


def code(answer: httpx.Response) -> str:
    """The stable code of a refusal."""
    return str(answer.json()["error"]["code"])
