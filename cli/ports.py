"""Loopback ports for a hub on this machine, so that several side by side never take each other's."""

from __future__ import annotations

import socket
import sys
from typing import Final

from gashub.errors import Unavailable

_PORTS_NEEDED: Final = 200
_PORT_RANGE: Final = range(20_000, 31_000, _PORTS_NEEDED)


class PortRange:
    """A row of free loopback ports that no other hub on this machine takes while this one holds it.

    The last port is held open as the claim, so two hubs that start at once cannot both find the same row free.
    """

    def __init__(self) -> None:
        for first in _PORT_RANGE:
            claim = _bound(first + _PORTS_NEEDED - 1)
            if claim is None:
                continue
            if all(is_free(port) for port in range(first, first + _PORTS_NEEDED - 1)):
                self.first = first
                self.http = first + _PORTS_NEEDED - 2
                self._claim = claim
                return
            claim.close()
        raise Unavailable(f"no {_PORTS_NEEDED} free ports in a row between {_PORT_RANGE.start} and {_PORT_RANGE.stop}")

    def close(self) -> None:
        """Let others have them."""
        self._claim.close()


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    probe = _bound(port)
    if probe is None:
        return False
    probe.close()
    return True


def _bound(port: int) -> socket.socket | None:
    probe = socket.socket()
    if sys.platform != "win32":
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
        probe.listen(1)
    except OSError:
        probe.close()
        return None
    return probe
