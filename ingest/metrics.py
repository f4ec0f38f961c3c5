"""What an operator's monitoring sees of ingest."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counters of one ingest process, in a registry of their own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    readings: Counter = field(init=False)
    frames: Counter = field(init=False)
    messages: Counter = field(init=False)
    duplicates: Counter = field(init=False)
    rejected: Counter = field(init=False)
    batches: Counter = field(init=False)
    merges: Counter = field(init=False)
    retries: Counter = field(init=False)
    commit_s: Histogram = field(init=False)
    window: Gauge = field(init=False)

    def __post_init__(self) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"gashub_ingest_{name}", what, labels, registry=self.registry)

        made = {
            "readings": counter("readings", "Readings committed"),
            "frames": counter("frames", "Frames committed"),
            "messages": counter("messages", "Messages settled, each counted once"),
            "duplicates": counter("duplicates", "Messages that came again after they were settled"),
            "rejected": counter("rejected", "Messages of which something was not taken", "fault"),
            "batches": counter("batches", "Transactions committed"),
            "merges": counter("merges", "Batches that met frames already stored"),
            "retries": counter("retries", "Batches tried again because the database was away"),
            "commit_s": Histogram(
                "gashub_ingest_commit_seconds",
                "From the first byte of a batch to its commit",
                buckets=_SECONDS,
                registry=self.registry,
            ),
            "window": Gauge("gashub_ingest_window_use", "Share of the window that is held", registry=self.registry),
        }
        for name, metric in made.items():
            object.__setattr__(self, name, metric)
