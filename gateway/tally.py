"""What a gateway has done so far, as plain counters; `metrics` shows them."""

from __future__ import annotations

from dataclasses import dataclass

from .line import Answer, Outcome


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts since the start. Times are real seconds."""

    requests: int = 0
    timeouts: int = 0
    exceptions: int = 0
    line_down: int = 0
    round_trip_s: float = 0.0
    answered: int = 0
    scans: int = 0
    missed: int = 0
    packets: int = 0
    frames: int = 0
    readings: int = 0
    published: int = 0
    resent: int = 0
    spool_packets: int = 0
    spool_bytes: int = 0
    dropped_packets: int = 0
    dropped_frames: int = 0
    unspooled_packets: int = 0
    connects: int = 0

    def count(self, answer: Answer) -> None:
        """Add one request."""
        self.requests += 1
        match answer.outcome:
            case Outcome.SILENT:
                self.timeouts += 1
            case Outcome.DOWN:
                self.line_down += 1
            case Outcome.REFUSED:
                self.exceptions += 1
            case Outcome.ANSWERED:
                self.answered += 1
                self.round_trip_s += answer.round_trip_s
