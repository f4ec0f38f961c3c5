"""Bounding the stream in which the NATS server keeps MQTT messages, the one thing its configuration file cannot say.

Unbounded, that stream grows until the whole store is full; then the server refuses not only publications but every
session, the very reader's included that would empty it, and never recovers (measured, 2.15.1). Bounded below the
store, it drops its oldest message for a new one, live readers go on, and gateways send again what was dropped. The
server keeps the bound with the stream, so once is enough.

This speaks just enough of the NATS text protocol for two requests:

    ◄ INFO {...}    ► CONNECT {...}    ► SUB inbox 1    ► PUB subject inbox n    ◄ MSG inbox 1 n
"""

from __future__ import annotations

import json
import secrets
import socket
from pathlib import Path
from typing import Any, Final, Self

from ..errors import Unavailable

MESSAGES: Final = "$MQTT_msgs"
REQUESTS: Final = tuple(f"$JS.API.STREAM.{verb}.{MESSAGES}" for verb in ("INFO", "UPDATE"))
"""Subjects on which a user must be allowed to publish to do this; it must be allowed to subscribe to `_INBOX.>`."""
_TIMEOUT_S: Final = 10.0
_LINES_SKIPPED: Final = 20


class RequestFailed(Unavailable):
    """The server refused a request, or did not answer as the protocol says."""

    code = "broker_request_failed"


def native_address(directory: Path, pid: int) -> tuple[str, int] | None:
    """Where the server with this pid listens for its own protocol: it says so in a file, once it serves."""
    try:
        found = json.loads((directory / f"nats-server_{pid}.ports").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        # Not yet there, or not yet whole.
        return None
    host, _, port = str(found["nats"][0]).removeprefix("nats://").rpartition(":")
    return host, int(port)


def bound_messages(address: tuple[str, int], *, user: str, password: str, max_bytes: int) -> None:
    """Let the stream of MQTT messages hold at most this much, the newest. Raises RequestFailed or OSError."""
    with _Requests(address, user, password) as requests:
        configuration = requests.ask(REQUESTS[0], b"")["config"]
        if (configuration["max_bytes"], configuration["discard"]) == (max_bytes, "old"):
            return
        wanted = configuration | {"max_bytes": max_bytes, "discard": "old"}
        requests.ask(REQUESTS[1], json.dumps(wanted).encode())


class _Requests:
    """One connection on which requests are made one after the other."""

    def __init__(self, address: tuple[str, int], user: str, password: str) -> None:
        self._socket = socket.create_connection(address, timeout=_TIMEOUT_S)
        self._lines = self._socket.makefile("rb")
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        greeting = {
            "verbose": False,
            "pedantic": False,
            "user": user,
            "pass": password,
            "lang": "python",
            "version": "0",
        }
        self._send(f"CONNECT {json.dumps(greeting)}\r\nSUB {self._inbox} 1\r\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, subject: str, payload: bytes) -> dict[str, Any]:
        """What the server answers. Raises RequestFailed for an error."""
        self._send(f"PUB {subject} {self._inbox} {len(payload)}\r\n".encode() + payload + b"\r\n")
        answer: dict[str, Any] = json.loads(self._answer(subject))
        if "error" in answer:
            raise RequestFailed(f"{subject}: {answer['error']}")
        return answer

    def _answer(self, subject: str) -> bytes:
        for _ in range(_LINES_SKIPPED):
            line = self._lines.readline()
            if line.startswith(b"MSG "):
                return self._lines.read(int(line.split()[-1]) + 2)
            if line.startswith(b"PING"):
                self._send(b"PONG\r\n")
            elif not line or line.startswith(b"-ERR"):
                break
        raise RequestFailed(f"{subject}: {line.decode(errors='replace').strip() or 'connection closed'}")

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)
