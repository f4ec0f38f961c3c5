"""A bare MQTT reader for benchmarks: acknowledges at once, keeps nothing. What the broker alone can deliver.

    python -m benchmarks.bare_reader HOST PORT USER TOPIC COUNT     (password in GASHUB_BENCH_PASSWORD)

It says "ready" on stdout once subscribed, and "done" after COUNT messages.
"""

from __future__ import annotations

import os
import socket
import sys

from .publisher import connect, remaining_length


def main() -> None:
    host, port, user, topic, count = sys.argv[1:]
    link = connect(host, int(port), "bench-reader", user, os.environ["GASHUB_BENCH_PASSWORD"])
    name = topic.encode()
    body = b"\x00\x01" + len(name).to_bytes(2, "big") + name + b"\x01"
    link.sendall(b"\x82" + remaining_length(len(body)) + body)
    assert link.recv(5) == b"\x90\x03\x00\x01\x01"
    print("ready", flush=True)
    _read(link, int(count))
    print("done", flush=True)
    link.close()


def _read(link: socket.socket, count: int) -> None:
    buffer = b""
    while count > 0:
        buffer += link.recv(262_144)
        acknowledgements, buffer = _acknowledge(buffer)
        count -= len(acknowledgements)
        link.sendall(b"".join(acknowledgements))


def _acknowledge(buffer: bytes) -> tuple[list[bytes], bytes]:
    """PUBACK of every whole QoS 1 publication, and what is left over."""
    found: list[bytes] = []
    at = 0
    while at + 5 <= len(buffer):
        size, shift, place = 0, 0, at + 1
        while True:
            byte = buffer[place]
            size |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if byte < 0x80:
                break
        if place + size > len(buffer):
            break
        topic_end = place + 2 + int.from_bytes(buffer[place : place + 2], "big")
        found.append(b"\x40\x02" + buffer[topic_end : topic_end + 2])
        at = place + size
    return found, buffer[at:]


if __name__ == "__main__":
    main()
