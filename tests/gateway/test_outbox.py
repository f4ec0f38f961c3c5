"""What is sent when, and forgotten when: laws over any story of link, historian and disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from gashub.wire import Lane
from gateway.outbox import HISTORICAL_WINDOW, RESEND_WINDOW, Outbox, Sending
from gateway.spool import Stored

KILO = 1000


def packet(key: int, size: int = KILO) -> Stored:
    return Stored(id=key, frames=10, size=size)


def outbox(leftovers: int = 0, *, max_bytes: int = 10**6, resend_s: float = 30.0) -> Outbox:
    boots = (f"boot-{n}" for n in itertools.count(1))
    stored = [packet(key) for key in range(1, leftovers + 1)]
    return Outbox("gw", stored, max_bytes=max_bytes, resend_s=resend_s, new_boot=lambda: next(boots))


def seqs(sendings: list[Sending]) -> list[tuple[Lane, int]]:
    return [(sending.header.lane, sending.header.seq) for sending in sendings]


def test_a_live_packet_is_numbered_at_once_and_from_one() -> None:
    box = outbox()
    assert box.next_header(Lane.LIVE).seq == 1
    box.add_live(packet(1), 0)
    assert box.next_header(Lane.LIVE).seq == 2
    assert box.next_header(Lane.HISTORICAL).seq == 1
    assert box.due(1, 64) == []


def test_what_an_earlier_start_left_goes_out_historical_and_in_order() -> None:
    box = outbox(3)
    sendings = box.due(0, 64)
    assert seqs(sendings) == [(Lane.HISTORICAL, 1), (Lane.HISTORICAL, 2), (Lane.HISTORICAL, 3)]
    assert [sending.packet.id for sending in sendings] == [1, 2, 3]


def test_the_historical_lane_has_a_window_and_the_live_lane_has_none() -> None:
    box = outbox(100)
    assert len(box.due(0, 1000)) == HISTORICAL_WINDOW
    assert box.due(1, 1000) == []
    for key in range(200, 300):
        box.add_live(packet(key), 1)
    assert box.next_header(Lane.LIVE).seq == 101
    box.committed("boot-1", Lane.HISTORICAL, 10, 2)
    assert seqs(box.due(2, 1000)) == [(Lane.HISTORICAL, seq) for seq in range(33, 43)]


def test_without_room_at_the_broker_nothing_is_sent() -> None:
    assert outbox(5).due(0, 0) == []


def test_committed_frees_up_to_the_watermark_of_that_lane_and_boot_only() -> None:
    box = outbox(2)
    box.due(0, 64)
    box.add_live(packet(10), 0)
    assert not box.committed("boot-0", Lane.LIVE, 5, 1)
    assert box.committed("boot-1", Lane.LIVE, 1, 1)
    assert not box.committed("boot-1", Lane.LIVE, 1, 1)
    assert box.committed("boot-1", Lane.HISTORICAL, 99, 1)
    assert sorted(box.take_freed()) == [1, 2, 10]
    assert box.take_freed() == [] and len(box) == 0 and box.bytes == 0


def test_what_stays_unconfirmed_is_sent_again_under_the_same_header() -> None:
    box = outbox()
    for key in (1, 2, 3):
        box.add_live(packet(key), 0)
    assert box.due(29, 64) == []
    again = box.due(30, 64)
    assert seqs(again) == [(Lane.LIVE, 1), (Lane.LIVE, 2), (Lane.LIVE, 3)]
    assert all(sending.again for sending in again)
    assert box.due(31, 64) == []


def test_resends_grow_rarer_while_nothing_moves_and_start_over_when_it_does() -> None:
    box = outbox()
    box.add_live(packet(1), 0)
    box.add_live(packet(2), 0)
    at = [now for now in range(2000) if box.due(now, 64)]
    assert at == [30, 90, 210, 450, 930, 1410, 1890]
    box.committed("boot-1", Lane.LIVE, 1, 2000)
    assert [now for now in range(2000, 2100) if box.due(now, 64)] == [2030, 2090]


def test_a_long_loss_is_sent_again_a_window_at_a_time_clocked_by_the_watermark() -> None:
    box = outbox()
    for key in range(1, 201):
        box.add_live(packet(key), 0)
    sent = [seq for _, seq in seqs(box.due(30, 1000))]
    assert sent == list(range(1, RESEND_WINDOW + 1))
    watermark = 0
    while watermark < 200:
        watermark = sent[-1]
        box.committed("boot-1", Lane.LIVE, watermark, 31)
        sent += [seq for _, seq in seqs(box.due(31, 1000))]
    assert sent == list(range(1, 201))


def test_at_the_bound_the_oldest_that_was_not_sent_is_given_up_first() -> None:
    box = outbox(5, max_bytes=5 * KILO)
    box.add_live(packet(9, 0), 0)
    assert [given.id for given in box.make_room(2 * KILO)] == [1, 2]
    assert box.boot == "boot-1"


def test_giving_up_a_numbered_packet_starts_the_numbering_anew() -> None:
    box = outbox(max_bytes=3 * KILO)
    for key in (1, 2, 3):
        box.add_live(packet(key), 0)
    assert [given.id for given in box.make_room(KILO)] == [1]
    assert box.boot == "boot-2"
    assert box.next_header(Lane.LIVE).seq == 1
    assert [s.packet.id for s in box.due(0, 64)] == [2, 3]


def test_a_packet_that_cannot_be_read_is_given_up_without_holding_the_others() -> None:
    box = outbox(3)
    (first, *_) = box.due(0, 64)
    box.give_up(first.packet)
    assert not box.holds(first)
    assert [s.packet.id for s in box.due(0, 64)] == [2, 3]


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, int]]:
    steps = st.tuples(
        st.sampled_from(["packet", "packet", "commit", "lose", "down", "up", "wait", "restart"]), st.integers(0, 40)
    )
    return draw(st.lists(steps, max_size=120))


class Historian:
    """The far end: takes messages, remembers packets, and commits what has no gap."""

    def __init__(self) -> None:
        self.stored: set[int] = set()
        self.seen: dict[tuple[str, Lane], set[int]] = {}
        self.first: dict[tuple[str, Lane, int], int] = {}

    def take(self, sending: Sending) -> None:
        header = sending.header
        key = (header.boot, header.lane, header.seq)
        assert self.first.setdefault(key, sending.packet.id) == sending.packet.id, "a number was given twice"
        self.stored.add(sending.packet.id)
        self.seen.setdefault(key[:2], set()).add(header.seq)

    def watermark(self, boot: str, lane: Lane) -> int:
        seen = self.seen.get((boot, lane), set())
        return next(n for n in itertools.count(1) if n not in seen) - 1


@settings(max_examples=200)
@given(story=stories(), small=st.booleans())
def test_whatever_is_lost_on_the_way_in_the_end_all_is_stored_and_the_spool_is_empty(
    story: list[tuple[str, int]], small: bool
) -> None:
    max_bytes = 12 * KILO if small else 10**6
    keys: Iterator[int] = itertools.count(1)
    boots = (f"boot-{n}" for n in itertools.count(1))
    historian, now, up, losing = Historian(), 0.0, True, False
    disk: dict[int, Stored] = {}
    given_up: set[int] = set()
    made = 0

    def fresh() -> Outbox:
        return Outbox(
            "gw", [disk[k] for k in sorted(disk)], max_bytes=max_bytes, resend_s=30, new_boot=lambda: next(boots)
        )

    def deliver(sending: Sending) -> None:
        if not losing:
            historian.take(sending)

    def send() -> None:
        for sending in box.due(now, 64 if up else 0):
            deliver(sending)

    def commit() -> None:
        for lane in Lane:
            box.committed(box.boot, lane, historian.watermark(box.boot, lane), now)

    box = fresh()
    for step, amount in story:
        now += 1
        match step:
            case "packet":
                for given_packet in box.make_room(KILO):
                    given_up.add(given_packet.id)
                    del disk[given_packet.id]
                for key in box.take_freed():
                    del disk[key]
                new = packet(next(keys))
                made += 1
                disk[new.id] = new
                if up:
                    header = box.next_header(Lane.LIVE)
                    box.add_live(new, now)
                    deliver(Sending(packet=new, header=header, again=False))
                else:
                    box.add_waiting(new)
            case "commit":
                commit()
            case "lose":
                losing = not losing
            case "down" | "up":
                up = step == "up"
            case "wait":
                now += amount
            case _:
                box = fresh()
        send()
        assert box.bytes <= max_bytes
    up, losing = True, False
    for _ in range(400):
        now += 31
        send()
        commit()
    assert len(box) == 0 and box.bytes == 0
    assert historian.stored | given_up == set(range(1, made + 1))
