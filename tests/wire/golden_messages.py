"""The messages whose bytes are agreed: `golden/<name>.bin`, and what they say in `golden/<name>.json`.

Any reader or writer of the format, in any language, is held to these files. They are made once, by
`python -m tests.wire.golden_messages`, and change only with a new version of the format.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from gashub import wire
from gashub.frames import SLOTS, FrameBatch
from gashub.quality import BAD_COMM_FAILURE, GOOD, NOT_SAMPLED, Reason, Severity, quality
from gashub.wire import GatewayState, Header, Lane

FOLDER: Final = Path(__file__).parent / "golden"
_T0: Final = 1_790_000_000_123


def _frames(*frames: tuple[int, int, dict[int, tuple[float, int]]]) -> FrameBatch:
    """Frames from (block, ms after _T0, {slot: (value, quality)})."""
    values = np.full((len(frames), SLOTS), np.nan)
    codes = np.full((len(frames), SLOTS), NOT_SAMPLED, np.uint8)
    for row, (_, _, samples) in enumerate(frames):
        for slot, (value, code) in samples.items():
            values[row, slot], codes[row, slot] = value, code
    return FrameBatch(
        block_id=np.array([block for block, _, _ in frames], np.int32),
        measured_at_ms=_T0 + np.array([dt for _, dt, _ in frames], np.int64),
        values=values,
        quality=codes,
    )


def messages() -> dict[str, tuple[Header, FrameBatch]]:
    """What is agreed."""
    stuck = quality(Severity.UNCERTAIN, Reason.STUCK)
    live = Header(gateway="gw-east", boot="0f3a-7", lane=Lane.LIVE, seq=1)
    late = Header(gateway="gw-1", boot="b", lane=Lane.HISTORICAL, seq=2**40)
    extremes = [0.0, -0.0, 1e308, -1e-308, 5e-324, 9_999_999_999.99, math.pi, -101.325]
    return {
        "one_value": (live, _frames((1, 0, {0: (4.2, GOOD)}))),
        "full_frames": (
            live,
            _frames(*[(12 + i, 250 * i, {s: (i + s / 8, GOOD) for s in range(SLOTS)}) for i in range(25)]),
        ),
        "every_other_slot": (
            live,
            _frames((7, 0, {0: (1.0, GOOD), 2: (2.0, stuck), 7: (3.0, GOOD)}), (8, 5, {1: (4.0, GOOD)})),
        ),
        "no_answer": (live, _frames((7, 0, dict.fromkeys(range(3), (math.nan, BAD_COMM_FAILURE))))),
        "historical": (late, _frames((2**28 - 1, 0, {3: (1.5, GOOD)}), (5, 2**31 - 1, {4: (2.5, stuck)}))),
        "extreme_values": (live, _frames((3, 0, {s: (value, GOOD) for s, value in enumerate(extremes)}))),
        "out_of_order": (live, _frames((9, 2_000, {0: (2.0, GOOD)}), (9, 0, {0: (1.0, GOOD)}))),
    }


def others() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """The messages without frames."""
    state = GatewayState(version=1, boot="0f3a-7", online=True, since_ms=_T0, spool_bytes=4_096, spool_dropped=3)
    return {
        "committed": (
            wire.encode_committed("0f3a-7", Lane.HISTORICAL, 12_345_678_901),
            {"version": 1, "boot": "0f3a-7", "lane": 1, "seq": 12_345_678_901},
        ),
        "state": (
            wire.encode_state(state),
            {name: getattr(state, name) for name in GatewayState.__struct_fields__},
        ),
    }


def meaning(header: Header, frames: FrameBatch) -> dict[str, Any]:
    """A decoded message as JSON; null where a value is no number. Doubles survive it: JSON here has the shortest
    decimal form that reads back to the same bits."""
    return {
        "gateway": header.gateway,
        "boot": header.boot,
        "lane": int(header.lane),
        "seq": header.seq,
        "block_id": frames.block_id.tolist(),
        "measured_at_ms": frames.measured_at_ms.tolist(),
        "values": [[None if math.isnan(value) else value for value in row] for row in frames.values.tolist()],
        "quality": frames.quality.tolist(),
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, (header, frames) in messages().items():
        payload = wire.encode(header, frames)
        decoded = wire.decode(payload)
        assert isinstance(decoded, wire.Message)
        _write(name, payload, meaning(decoded.header, decoded.frames))
    for name, (payload, said) in others().items():
        _write(name, payload, said)


def _write(name: str, payload: bytes, said: dict[str, Any]) -> None:
    (FOLDER / f"{name}.bin").write_bytes(payload)
    (FOLDER / f"{name}.json").write_text(json.dumps(said) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
