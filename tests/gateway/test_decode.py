"""What a device holds comes back, whatever its types, orders and scales."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gashub.quality import (
    BAD_COMM_FAILURE,
    BAD_NOT_A_NUMBER,
    GOOD,
    NOT_SAMPLED,
    Reason,
    Severity,
    quality,
    reason_of,
    severity_of,
)
from gateway.decode import BAD_OUT_OF_RANGE, UNCERTAIN_CLOCK, UNCERTAIN_FAULT, BlockDecoder, Decoded
from gateway.plan import plan
from gateway.profile import Profile, load, names, parse
from simulators.devices.maps import register_map

_FORMATS = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}
_INTEGERS = {"u16": (0, 2**16 - 1), "s16": (-(2**15), 2**15 - 1), "u32": (0, 2**32 - 1), "s32": (-(2**31), 2**31 - 1)}
_INTEGERS |= {"u64": (0, 2**64 - 1), "s64": (-(2**63), 2**63 - 1)}


def words_of(octets: bytes, order: str) -> list[int]:
    """The registers of a device that keeps these big-endian bytes in that order."""
    words = [octets[i : i + 2] for i in range(0, len(octets), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def profile_of(*slots: dict[str, Any], **parameters: dict[str, Any]) -> Profile:
    """A profile with one block of these slots; each says what differs from a plain u16 state."""
    plain = {"quantity": "state", "unit": "", "function": 3, "address": 0, "type": "u16"}
    block = [{**plain, "slot": number, "name": f"s{number}", **slot} for number, slot in enumerate(slots)]
    about = {"name": "test", "kind": "test", "source": "test", "date": "2026-01-01"}
    return parse({"profile": about, "parameters": parameters, "block": [{"name": "main", "slot": block}]}, "test")


def decode(
    profile: Profile, registers: dict[int, int], *, failures: int = 0, at_ms: int = 0, **settings: float
) -> Decoded:
    """One scan of a device with those registers; the others hold noise."""
    reads = plan(profile.block, profile.limits)
    row = [registers.get(r.address + i, 0xA5A5) for r in reads.requests for i in range(r.count)]
    decoder = BlockDecoder(profile.block[0], profile.block, reads, profile.settings(settings))
    return decoder.decode(
        np.array([row], np.uint16), np.full((1, len(reads.requests)), failures, np.uint8), np.array([at_ms])
    )


def at(address: int, words: list[int]) -> dict[int, int]:
    return {address + number: word for number, word in enumerate(words)}


@st.composite
def held(draw: st.DrawFn) -> tuple[str, str, int | float]:
    """A type, an order, and what a device holds in it."""
    kind = draw(st.sampled_from(sorted(_FORMATS)))
    order = draw(st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        return kind, order, draw(st.integers(low, high))
    width = 32 if kind == "f32" else 64
    return kind, order, draw(st.floats(width=width, allow_nan=False, allow_infinity=False))


@given(numbers=st.lists(held(), min_size=1, max_size=8), gaps=st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_any_type_in_any_order_gives_back_what_the_device_holds(
    numbers: list[tuple[str, str, int | float]], gaps: list[int]
) -> None:
    slots, registers, address = [], {}, 0
    for (kind, order, value), gap in zip(numbers, gaps, strict=False):
        address += gap
        words = words_of(struct.pack(">" + _FORMATS[kind], value), order)
        slots.append({"address": address, "type": kind, "order": order})
        registers |= at(address, words)
        address += len(words)
    decoded = decode(profile_of(*slots), registers)
    assert decoded.values[0, : len(numbers)].tolist() == [float(value) for _, _, value in numbers]
    assert decoded.quality[0].tolist() == [GOOD] * len(numbers) + [NOT_SAMPLED] * (8 - len(numbers))


@given(
    value=st.integers(0, 10**12 - 1),
    order=st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    decimals=st.integers(0, 4),
)
def test_a_bcd_counter_gives_the_number_nearest_to_its_decimals(value: int, order: str, decimals: int) -> None:
    slot = {"type": "bcd", "digits": 12, "order": order, "scale": 10.0**-decimals}
    decoded = decode(profile_of(slot), at(0, words_of(bytes.fromhex(f"{value:012d}"), order)))
    assert decoded.values[0, 0] == float(f"{value}e-{decimals}")


@given(whole=st.integers(0, 10**9 - 1), thousandths=st.integers(0, 999))
def test_whole_and_fraction_are_added(whole: int, thousandths: int) -> None:
    slot = {"type": "u32", "fraction": {"address": 2, "type": "u16", "scale": 0.001}}
    decoded = decode(profile_of(slot), at(0, words_of(struct.pack(">IH", whole, thousandths), "ABCD")))
    assert decoded.values[0, 0] == pytest.approx(whole + thousandths / 1000, abs=1e-6, rel=0)


@given(count=st.integers(0, 2**32 - 1), exponent=st.integers(0, 9))
def test_a_counter_is_divided_by_its_resolution(count: int, exponent: int) -> None:
    slot = {"type": "u32", "order": "CDAB", "resolution": {"address": 2, "type": "u16"}}
    decoded = decode(profile_of(slot), at(0, [*words_of(struct.pack(">I", count), "CDAB"), exponent]))
    assert decoded.values[0, 0] == float(f"{count}e-{exponent}")


@given(word=st.integers(0, 65_535), bit=st.integers(0, 15))
def test_a_bit_is_the_state(word: int, bit: int) -> None:
    assert decode(profile_of({"bit": bit}), {0: word}).values[0, 0] == (word >> bit) & 1


@given(value=st.floats(0, 1e4), n=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_many_scans_at_once_decode_as_each_alone(value: float, n: int, seed: int) -> None:
    profile = load("evc-bcd-c")
    reads = plan(profile.block, profile.limits)
    decoder = BlockDecoder(profile.block[0], profile.block, reads, profile.settings({}))
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 2**16, (n, reads.width)).astype(np.uint16)
    failures, times = np.zeros((n, 1), np.uint8), np.arange(n)
    together = decoder.decode(rows, failures, times)
    for i in range(n):
        alone = decoder.decode(rows[i : i + 1], failures[i : i + 1], times[i : i + 1])
        np.testing.assert_array_equal(together.values[i], alone.values[0])
        np.testing.assert_array_equal(together.quality[i], alone.quality[0])


@pytest.mark.parametrize(
    ("unit", "reference", "quantity", "shown", "expected"),
    [
        ("bar", "absolute", "pressure_kpa_gauge", 1.0, 0.0),
        ("MPa", "gauge", "pressure_kpa_gauge", 0.4, 400.0),
        ("mbar", "gauge", "pressure_kpa_gauge", 25.0, 2.5),
        ("kPa", "gauge", "pressure_kpa_absolute", 2.0, 102.0),
        ("K", "gauge", "temperature_c", 283.15, 10.0),
        ("°F", "gauge", "temperature_c", 50.0, 10.0),
        ("m³/s", "gauge", "flow_m3h_std", 0.5, 1800.0),
        ("L", "gauge", "volume_m3_std", 1500.0, 1.5),
    ],
)
def test_every_unit_becomes_the_canonical_one(
    unit: str, reference: str, quantity: str, shown: float, expected: float
) -> None:
    slot = {"type": "f64", "unit": unit, "reference": reference, "quantity": quantity}
    parameter = {"default": 101.325, "low": 50, "high": 110, "unit": "kPa"}
    profile = profile_of(slot, atmospheric_kpa=parameter)
    decoded = decode(profile, at(0, words_of(struct.pack(">d", shown), "ABCD")), atmospheric_kpa=100.0)
    assert decoded.values[0, 0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("slot", "octets", "code"),
    [
        pytest.param({"type": "f32"}, struct.pack(">f", math.nan), BAD_NOT_A_NUMBER, id="nan"),
        pytest.param({"type": "f32"}, b"\x7f\xa0\x00\x01", BAD_NOT_A_NUMBER, id="signalling nan"),
        pytest.param({"type": "f32"}, struct.pack(">f", math.inf), BAD_NOT_A_NUMBER, id="infinite"),
        pytest.param({"type": "bcd", "digits": 4}, b"\x12\x3a", BAD_NOT_A_NUMBER, id="a digit above nine"),
        pytest.param({"invalid": [0xFFFF]}, b"\xff\xff", BAD_NOT_A_NUMBER, id="the device says it has no value"),
        pytest.param({"valid": [0, 10]}, b"\x00\x0b", BAD_OUT_OF_RANGE, id="out of range"),
        pytest.param({"valid": [0, 10]}, b"\x00\x0a", GOOD, id="on the edge of the range"),
    ],
)
def test_what_cannot_be_true_is_bad_and_says_why(slot: dict[str, Any], octets: bytes, code: int) -> None:
    decoded = decode(profile_of(slot), at(0, words_of(octets, "ABCD")))
    assert decoded.quality[0, 0] == code
    assert math.isnan(decoded.values[0, 0]) == (code == BAD_NOT_A_NUMBER)


def test_a_failed_request_has_no_values_but_a_reason() -> None:
    decoded = decode(profile_of({}, {"address": 1}), {0: 7, 1: 8}, failures=BAD_COMM_FAILURE)
    assert np.isnan(decoded.values).all()
    assert decoded.quality[0, :3].tolist() == [BAD_COMM_FAILURE, BAD_COMM_FAILURE, NOT_SAMPLED]


def test_one_failed_request_of_two_leaves_the_others_values_good() -> None:
    profile = profile_of({"address": 0}, {"address": 1000})
    reads = plan(profile.block, profile.limits)
    decoder = BlockDecoder(profile.block[0], profile.block, reads, {})
    decoded = decoder.decode(np.array([[7, 0]], np.uint16), np.array([[0, BAD_COMM_FAILURE]], np.uint8), np.array([0]))
    assert decoded.values[0, 0] == 7 and math.isnan(decoded.values[0, 1])
    assert decoded.quality[0, :2].tolist() == [GOOD, BAD_COMM_FAILURE]


def test_a_device_that_reports_a_fault_is_not_trusted_but_its_status_is() -> None:
    profile = profile_of({"address": 0}, {"address": 1, "fault_bits": [0]})
    assert decode(profile, {0: 7, 1: 1}).quality[0, :2].tolist() == [UNCERTAIN_FAULT, GOOD]
    assert decode(profile, {0: 7, 1: 2}).quality[0, :2].tolist() == [GOOD, GOOD]


@pytest.mark.parametrize(
    ("ahead_s", "code"), [(0, GOOD), (60, GOOD), (-61, UNCERTAIN_CLOCK), (86_400, UNCERTAIN_CLOCK)]
)
def test_a_devices_clock_is_told_by_how_far_it_is_ahead(ahead_s: int, code: int) -> None:
    slot = {"type": "u32", "quantity": "clock_offset_s", "unit": "s", "device_time": True}
    now_s = 1_790_000_000
    words = words_of(struct.pack(">I", now_s + ahead_s), "ABCD")
    decoded = decode(profile_of(slot), at(0, words), at_ms=now_s * 1000)
    assert (decoded.values[0, 0], decoded.quality[0, 0]) == (ahead_s, code)


_SHOWN = {
    "inlet_pressure": 312.5,
    "outlet_pressure": 2.625,
    "filter_differential": 1.5,
    "temperature": 11.5,
    "slam_shut": 1.0,
    "position": 43.5,
    "gas": 0.5,
    "battery": 87.0,
    "pressure": 2.25,
    "volume": 1_234_567.25,
    "flow": 512.25,
    "pressure_absolute": 401.325,
    "volume_actual": 9_876_543.5,
    "status": 2.0,
    "clock_offset": 0.0,
}


@pytest.mark.parametrize("name", names())
def test_each_profile_reads_what_an_independent_device_of_that_make_shows(name: str) -> None:
    profile, device = load(name), register_map(name)
    image = device.image({key: value for key, value in _SHOWN.items() if key in device.names})
    image = device.with_time(image, 1_790_000_000)
    words = np.frombuffer(image, ">u2").astype(int).tolist()
    decoded = decode(profile, at(device.first, words), at_ms=1_790_000_000_000)
    slots = profile.block[0].slot
    assert {slot.name for slot in slots} == device.names
    for slot in slots:
        assert decoded.values[0, slot.slot] == pytest.approx(_SHOWN[slot.name], abs=1e-4), slot.name
        assert decoded.quality[0, slot.slot] == GOOD
        assert all(request.function == device.function for request in plan(profile.block, profile.limits).requests)


def test_quality_bytes_of_this_package_say_what_they_mean() -> None:
    assert quality(Severity.BAD, Reason.OUT_OF_RANGE) == BAD_OUT_OF_RANGE
    assert (severity_of(UNCERTAIN_CLOCK), reason_of(UNCERTAIN_CLOCK)) == (Severity.UNCERTAIN, Reason.CLOCK_SUSPECT)
