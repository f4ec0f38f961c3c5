"""The wire format: agreed bytes, and laws for any message."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gashub import wire
from gashub.errors import InvalidValue
from gashub.frames import SLOTS, FrameBatch
from gashub.quality import BAD_NOT_A_NUMBER, GOOD, HISTORICAL, NOT_SAMPLED
from gashub.wire import Fault, Header, Lane, Message, Rejection

from .golden_messages import FOLDER, meaning, messages, others

HEADER = Header(gateway="gw", boot="b", lane=Lane.LIVE, seq=1)
NAMES = sorted(messages())

qualities = st.sampled_from([NOT_SAMPLED, GOOD, 0x41, 0x85, 0x88])
numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def batches(draw: st.DrawFn) -> FrameBatch:
    n = draw(st.integers(1, 6))
    quality = np.array(draw(st.lists(qualities, min_size=n * SLOTS, max_size=n * SLOTS)), np.uint8).reshape(n, SLOTS)
    values = np.array(draw(st.lists(numbers, min_size=n * SLOTS, max_size=n * SLOTS))).reshape(n, SLOTS)
    ids = draw(st.lists(st.integers(1, 2**28 - 1), min_size=n, max_size=n))
    times = draw(st.lists(st.integers(0, 2**31 - 1), min_size=n, max_size=n))
    return FrameBatch(
        block_id=np.array(ids, np.int32),
        measured_at_ms=np.array(times, np.int64) + 1_700_000_000_000,
        values=np.where(quality == NOT_SAMPLED, np.nan, values),
        quality=quality,
    )


headers = st.builds(
    Header,
    gateway=st.text(max_size=20),
    boot=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64),
    lane=st.sampled_from(Lane),
    seq=st.integers(1, 2**63 - 1),
)


def assert_same(first: FrameBatch, second: FrameBatch) -> None:
    for column in ("block_id", "measured_at_ms", "values", "quality"):
        assert np.array_equal(getattr(first, column), getattr(second, column), equal_nan=column == "values")


@pytest.mark.parametrize("name", NAMES)
def test_the_agreed_bytes_are_read_as_agreed(name: str) -> None:
    decoded = wire.decode((FOLDER / f"{name}.bin").read_bytes())
    assert isinstance(decoded, Message)
    assert meaning(decoded.header, decoded.frames) == json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_the_agreed_bytes_are_written_as_agreed(name: str) -> None:
    assert wire.encode(*messages()[name]) == (FOLDER / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", sorted(others()))
def test_the_agreed_bytes_of_messages_without_frames(name: str) -> None:
    payload, said = others()[name]
    assert payload == (FOLDER / f"{name}.bin").read_bytes()
    assert said == json.loads((FOLDER / f"{name}.json").read_text())
    decoded = wire.decode_committed(payload) if name == "committed" else wire.decode_state(payload)
    assert decoded is not None
    assert {key: getattr(decoded, key) for key in said} == said


@given(headers, batches())
def test_what_is_written_is_read(header: Header, batch: FrameBatch) -> None:
    decoded = wire.decode(wire.encode(header, batch))
    assert isinstance(decoded, Message)
    assert decoded.header == header
    marked = np.where((batch.quality != NOT_SAMPLED) & (header.lane == Lane.HISTORICAL), batch.quality | HISTORICAL, 0)
    expected = marked if header.lane is Lane.HISTORICAL else batch.quality
    assert_same(
        decoded.frames,
        FrameBatch(
            block_id=batch.block_id,
            measured_at_ms=batch.measured_at_ms,
            values=batch.values,
            quality=expected.astype(np.uint8),
        ),
    )


damage = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 400)),
    st.tuples(st.just("flip"), st.integers(0, 400)),
    st.tuples(st.just("field"), st.integers(0, 10)),
)


def damaged(payload: bytes, how: str, where: int) -> bytes:
    if how == "cut":
        return payload[: where % len(payload)]
    if how == "flip":
        where %= len(payload)
        return payload[:where] + bytes([payload[where] ^ 0x55]) + payload[where + 1 :]
    fields = msgspec.msgpack.decode(payload)
    fields[where] = b"\x01\x02\x03" if isinstance(fields[where], bytes) else -5
    return msgspec.msgpack.encode(fields)


@given(st.lists(st.tuples(headers, batches(), st.none() | damage), min_size=1, max_size=6))
def test_many_messages_are_read_as_each_alone_would_be(
    said: list[tuple[Header, FrameBatch, tuple[str, int] | None]],
) -> None:
    payloads = [
        wire.encode(header, batch) if harm is None else damaged(wire.encode(header, batch), *harm)
        for header, batch, harm in said
    ]
    together = wire.decode_many(payloads)
    alone = [wire.decode(payload) for payload in payloads]
    assert together.rejections == [(i, one) for i, one in enumerate(alone) if isinstance(one, Rejection)]
    readable = [one for one in alone if isinstance(one, Message)]
    assert together.headers == [one.header for one in readable]
    assert together.payload == [i for i, one in enumerate(alone) if isinstance(one, Message)]
    for k, one in enumerate(readable):
        rows = slice(int(together.first_row[k]), int(together.first_row[k + 1]))
        assert_same(together.frames.take(rows), one.frames)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_rejected_and_never_raise(payload: bytes) -> None:
    assert isinstance(wire.decode(payload), Message | Rejection)


def altered(place: int, value: object) -> bytes:
    fields = msgspec.msgpack.decode(wire.encode(HEADER, messages()["full_frames"][1]))
    fields[place] = value
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("payload", "fault", "settled"),
    [
        pytest.param(b"", Fault.UNDECODABLE, False, id="nothing"),
        pytest.param(altered(0, 2), Fault.WRONG_VERSION, False, id="another version"),
        pytest.param(msgspec.msgpack.encode([2, "anything"]), Fault.WRONG_VERSION, False, id="another version's shape"),
        pytest.param(altered(2, ""), Fault.UNDECODABLE, False, id="no boot"),
        pytest.param(altered(2, "a\0b"), Fault.UNDECODABLE, False, id="a boot with a control character"),
        pytest.param(altered(3, 2), Fault.UNDECODABLE, False, id="a lane that is none"),
        pytest.param(altered(4, 0), Fault.UNDECODABLE, False, id="sequence number 0"),
        pytest.param(altered(5, -1), Fault.BAD_TIME, True, id="before 1970"),
        pytest.param(altered(6, bytes(4)), Fault.BAD_COLUMNS, True, id="too few block ids"),
        pytest.param(altered(6, bytes(100)), Fault.BAD_COLUMNS, True, id="block id 0"),
        pytest.param(altered(7, b"\xff" * 100), Fault.BAD_COLUMNS, True, id="a negative time offset"),
        pytest.param(altered(8, b""), Fault.BAD_COLUMNS, True, id="no frames"),
        pytest.param(altered(10, bytes(200)), Fault.BAD_COLUMNS, True, id="a quality without severity"),
        pytest.param(altered(9, bytes(wire.MAX_MESSAGE_BYTES)), Fault.OVERSIZED, True, id="too large"),
    ],
)
def test_what_breaks_a_rule_is_rejected_by_its_name(payload: bytes, fault: Fault, settled: bool) -> None:
    rejection = wire.decode(payload)
    assert isinstance(rejection, Rejection)
    assert rejection.fault is fault
    assert (rejection.header == HEADER) is settled


def test_a_value_that_is_no_number_becomes_none_with_a_bad_quality() -> None:
    batch = messages()["full_frames"][1]
    batch.values[0, :3] = [np.nan, np.inf, -np.inf]
    batch.quality[0, 2] = 0x42
    decoded = wire.decode(wire.encode(HEADER, batch))
    assert isinstance(decoded, Message)
    assert np.isnan(decoded.frames.values[0, :3]).all()
    assert decoded.frames.quality[0, :4].tolist() == [BAD_NOT_A_NUMBER, BAD_NOT_A_NUMBER, 0x42, GOOD]


@pytest.mark.parametrize("count", [0, wire.MAX_FRAMES + 1])
def test_a_message_with_no_frames_or_too_many_is_not_written(count: int) -> None:
    whole = messages()["one_value"][1]
    with pytest.raises(InvalidValue):
        wire.encode(HEADER, whole.take(np.zeros(count, np.intp)))


def test_frames_too_far_apart_in_time_do_not_fit_one_message() -> None:
    late = messages()["historical"][1]
    late.measured_at_ms[1] += 1
    with pytest.raises(InvalidValue):
        wire.encode(HEADER, late)
