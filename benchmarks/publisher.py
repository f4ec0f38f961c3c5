"""A bare MQTT publisher for benchmarks: payloads encoded beforehand, QoS 1, a window of unacknowledged messages.

    python -m benchmarks.publisher HOST PORT USER TOPIC PAYLOADS WINDOW     (password in GASHUB_BENCH_PASSWORD)

PAYLOADS is a file of messages, each after its length as 4 bytes, big-endian. It says "ready" on stdout when all is in
memory, begins at the first line on stdin, and says "done" once everything is acknowledged.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path


def messages(path: Path) -> Iterator[bytes]:
    """The payloads in a file."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def publish_packet(topic: bytes, packet_id: int, payload: bytes) -> bytes:
    """MQTT 3.1.1 PUBLISH, QoS 1."""
    body = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + payload
    return b"\x32" + remaining_length(len(body)) + body


def remaining_length(n: int) -> bytes:
    """MQTT's variable-length integer."""
    parts = bytearray()
    while True:
        n, part = divmod(n, 128)
        parts.append(part | (0x80 if n else 0))
        if not n:
            return bytes(parts)


def connect(host: str, port: int, client_id: str, user: str, password: str) -> socket.socket:
    """A clean session."""
    link = socket.create_connection((host, port), timeout=60)
    texts = [client_id.encode(), user.encode(), password.encode()]
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + b"".join(len(text).to_bytes(2, "big") + text for text in texts)
    link.sendall(b"\x10" + remaining_length(len(body)) + body)
    if link.recv(4) != b"\x20\x02\x00\x00":
        raise SystemExit("the broker refused the publisher")
    return link


def main() -> None:
    host, port, user, topic, path, window = sys.argv[1:]
    packets = [
        publish_packet(topic.encode(), number % 65_535 + 1, payload)
        for number, payload in enumerate(messages(Path(path)))
    ]
    link = connect(host, int(port), "bench-publisher", user, os.environ["GASHUB_BENCH_PASSWORD"])
    print("ready", flush=True)
    sys.stdin.readline()
    sent = acknowledged = 0
    while acknowledged < 4 * len(packets):
        burst = min(len(packets), acknowledged // 4 + int(window))
        if burst > sent:
            link.sendall(b"".join(packets[sent:burst]))
            sent = burst
        acknowledged += len(link.recv(65_536))
    print("done", flush=True)
    link.close()


if __name__ == "__main__":
    main()
