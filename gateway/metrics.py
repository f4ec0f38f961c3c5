"""A gateway's counters for Prometheus, read from its tally when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .tally import Tally

_COUNTERS: Final = {
    "requests": "Modbus requests sent",
    "answered": "requests answered with values",
    "timeouts": "requests that were not answered in time",
    "exceptions": "requests answered with a Modbus exception",
    "line_down": "scans that found their line down",
    "round_trip_s": "real seconds waited for answers",
    "packets": "packets closed",
    "frames": "frames in them",
    "readings": "readings in them",
    "published": "packets handed to the broker, resends included",
    "resent": "packets sent again because the historian did not confirm them",
    "dropped_packets": "packets given up at the spool's bound",
    "dropped_frames": "frames in them",
    "unspooled_packets": "packets sent without a copy on disk, because the disk failed",
    "scans": "scans of a device",
    "missed": "scans left out because the line was late",
    "connects": "sessions with the broker",
}
_GAUGES: Final = {"spool_packets": "packets not yet committed", "spool_bytes": "what they count against the bound"}


class TallyCollector(Collector):
    """Shows each gateway's tally under its id."""

    def __init__(self, tallies: Mapping[str, Tally]) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """The counters as they stand."""
        families: list[tuple[str, CounterMetricFamily | GaugeMetricFamily]] = [
            *(
                (name, CounterMetricFamily(f"gateway_{name}", text, labels=["gateway"]))
                for name, text in _COUNTERS.items()
            ),
            *((name, GaugeMetricFamily(f"gateway_{name}", text, labels=["gateway"])) for name, text in _GAUGES.items()),
        ]
        for name, family in families:
            for gateway, tally in self._tallies.items():
                family.add_metric([gateway], getattr(tally, name))
            yield family


@contextmanager
def serve(port: int | None, tallies: Mapping[str, Tally]) -> Iterator[None]:
    """Show the tallies on a loopback port while the context lasts; without a port, nowhere."""
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(TallyCollector(tallies))
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
