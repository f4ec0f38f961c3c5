"""What the alarm service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

REGISTRY = CollectorRegistry()

MESSAGES = Counter("gashub_alarms_messages", "Messages taken from the bus", ["outcome"], registry=REGISTRY)
READINGS = Counter("gashub_alarms_readings", "Readings judged", registry=REGISTRY)
TRANSITIONS = Counter("gashub_alarms_transitions", "Conditions that came or went", ["rule"], registry=REGISTRY)
UNRECORDED = Gauge("gashub_alarms_unrecorded", "Transitions that wait for the database", registry=REGISTRY)
DROPPED = Counter("gashub_alarms_unrecorded_dropped", "Transitions dropped from the full queue", registry=REGISTRY)
ZONES = Gauge("gashub_alarms_zones_held", "Zones this worker records for", registry=REGISTRY)
RECORD_S = Histogram(
    "gashub_alarms_record_seconds",
    "Time to record a batch of transitions",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 3),
    registry=REGISTRY,
)


def serve(port: int) -> None:
    """Show the figures on a loopback port."""
    start_http_server(port, addr="127.0.0.1", registry=REGISTRY)
