"""What really happens in the town: the ground truth by which detectors are judged."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from .places import Place
from .scenario import Event, Happening

_KEPT: Final = 10_000


class TruthLog:
    """What happens now, and every beginning and end so far, the newest `_KEPT` of them.

    Written by the physics thread and read by the event loop, hence the lock. With a file, each beginning and end is
    one JSON line of it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._now: dict[int, Happening] = {}
        self._log: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._last = 0

    def begin(self, event: Event, place: Place, zone: str, *, at: datetime) -> Happening:
        """An event begins; returns it with its number."""
        with self._lock:
            self._last += 1
            happening = Happening(number=self._last, event=event, place=place, zone=zone, since=at)
            self._now[happening.number] = happening
            self._note({"at": at.isoformat(), "what": "began", **happening.to_json()})
            return happening

    def end(self, number: int, *, at: datetime) -> None:
        """An event ends; nothing if it has."""
        with self._lock:
            if self._now.pop(number, None) is not None:
                self._note({"at": at.isoformat(), "what": "ended", "number": number})

    def end_all(self, *, at: datetime) -> None:
        """Everything ends."""
        for happening in self.now():
            self.end(happening.number, at=at)

    def set_flows(self, flows: Mapping[int, float | None]) -> None:
        """How much gas each event loses now [m³/h std]."""
        with self._lock:
            for number, flow in flows.items():
                if number in self._now:
                    self._now[number] = replace(self._now[number], flow_m3h_std=flow)

    def now(self) -> list[Happening]:
        """What happens now, oldest first."""
        with self._lock:
            return list(self._now.values())

    def log(self) -> list[dict[str, Any]]:
        """Beginnings and ends, oldest first."""
        with self._lock:
            return list(self._log)

    def _note(self, entry: dict[str, Any]) -> None:
        self._log.append(entry)
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
