"""The inbox holds a bounded window, and the broker keeps what it does not acknowledge."""

from __future__ import annotations

import asyncio

import pytest

from gashub.clock import SystemClock
from gashub.embedded.broker import EmbeddedBroker
from gashub.topics import Source
from ingest.batching import Limits
from ingest.inbox import Delivery, Endpoint, Inbox

from .stage import Gateway, eventually, gateway


@pytest.fixture
def source(zone: str) -> Source:
    return Source(zone=zone, gateway="gw")


def inbox(broker: EmbeddedBroker, source: Source, *, window: int, patience_s: float = 20.0) -> Inbox:
    endpoint = Endpoint(
        host=broker.host,
        port=broker.port,
        username="hub",
        password=broker.users["hub"],
        client_id=f"inbox-{source.zone}",
    )
    limits = Limits(rows=1_000_000, age_s=0.02, window=window)
    return Inbox(endpoint, [source.topic("data")], limits, SystemClock(), patience_s=patience_s)


async def take(reader: Inbox, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(40):
        while len(taken) < count:
            taken += await reader.batch()
    return taken


def send(sender: Gateway, numbers: range) -> None:
    for number in numbers:
        sender.send_raw(str(number).encode())


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(delivery.payload) for delivery in deliveries]


async def test_messages_come_whole_and_in_order_whatever_their_size(broker: EmbeddedBroker, source: Source) -> None:
    payloads = [bytes([size % 251]) * size for size in (0, 1, 100, 127, 128, 16_383, 16_384, 300_000, 2, 1_000_000, 3)]
    async with inbox(broker, source, window=100) as reader, gateway(broker, source) as sender:
        await reader.ready()
        for payload in payloads:
            sender.send_raw(payload)
        taken = await take(reader, len(payloads))
        reader.done(taken)
    assert [delivery.payload for delivery in taken] == payloads
    assert {delivery.topic for delivery in taken} == {source.topic("data")}


async def test_no_more_is_held_than_the_window_and_room_lets_more_in(broker: EmbeddedBroker, source: Source) -> None:
    async with inbox(broker, source, window=10) as reader, gateway(broker, source) as sender:
        await reader.ready()
        send(sender, range(30))
        first = await take(reader, 10)
        assert numbers(first) == list(range(10))
        assert reader.window_use == 1.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.batch()
        reader.done(first)
        second = await take(reader, 10)
        assert numbers(second) == list(range(10, 20))
        reader.done(second)
        reader.done(await take(reader, 10))
        assert reader.window_use == 0.0


async def test_what_was_acknowledged_does_not_come_again_and_the_rest_does(
    broker: EmbeddedBroker, source: Source
) -> None:
    async with gateway(broker, source) as sender:
        async with inbox(broker, source, window=100) as reader:
            await reader.ready()
            send(sender, range(20))
            taken = await take(reader, 20)
            reader.done(taken[:15])
            send(sender, range(20, 21))
            reader.done(await take(reader, 1))
        async with inbox(broker, source, window=100) as reader:
            await reader.ready()
            again = await take(reader, 5)
            reader.done(again)
    assert sorted(numbers(again)) == [15, 16, 17, 18, 19]


@pytest.mark.slow
async def test_a_window_that_stays_full_gives_the_connection_up_until_there_is_room(
    broker: EmbeddedBroker, source: Source
) -> None:
    async with inbox(broker, source, window=10, patience_s=0.2) as reader, gateway(broker, source) as sender:
        await reader.ready()
        send(sender, range(30))
        held = await take(reader, 10)
        await eventually(lambda: not reader.connected)
        reader.done(held)
        seen = set(numbers(held))
        async with asyncio.timeout(60):
            while len(seen) < 30:
                batch = await reader.batch()
                seen |= set(numbers(batch))
                reader.done(batch)
        assert seen == set(range(30))
