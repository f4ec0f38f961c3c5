"""Nothing is lost and nothing is stored twice, whatever breaks; and no message stops the line."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import psycopg
import pytest

from gashub import wire
from gashub.embedded.broker import EmbeddedBroker
from gashub.embedded.postgres import EmbeddedPostgres
from gashub.frames import FrameBatch, concatenate, to_ms
from gashub.schema import migrate
from gashub.topics import Source
from gashub.wire import Header, Lane
from ingest.service import discard

from .stage import Gateway, Worker, configure, enrol, eventually, frames, gateway, now, rows, serving


@pytest.fixture
def source(zone: str) -> Source:
    return Source(zone=zone, gateway=f"gw-{zone}")


def scans(count: int, *, blocks: int = 10) -> list[FrameBatch]:
    """So many scans of some blocks, a second apart, ending now."""
    start = now() - timedelta(seconds=count)
    return [frames(blocks, at=start + timedelta(seconds=i), seed=i) for i in range(count)]


async def assert_stored(dsn: str, sent: list[FrameBatch]) -> None:
    """The table holds exactly these frames."""
    whole = concatenate(sent)
    order = np.lexsort((whole.measured_at_ms, whole.block_id))
    stored = await rows(
        dsn,
        "SELECT block_id, (extract(epoch FROM ts) * 1000)::bigint, v0, v1, v2, v3, v4, v5, v6, v7 FROM frame "
        "ORDER BY block_id, ts",
    )
    assert [row[0] for row in stored] == whole.block_id[order].tolist()
    assert [row[1] for row in stored] == whole.measured_at_ms[order].tolist()
    assert np.array_equal(np.array([row[2:] for row in stored], np.float64), whole.values[order])


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_worker_killed_under_load_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    sent = scans(1_500)
    worker = Worker(configure(tmp_path, database_dsn, broker, source.zone, batch_rows=300))
    await worker.start()
    async with gateway(broker, source) as sender:
        for third in range(3):
            for seq in range(third * 500 + 1, third * 500 + 501):
                sender.send(seq, sent[seq - 1])
            before = sender.committed_up_to()
            await eventually(lambda before=before: sender.committed_up_to() > before, within_s=60)  # type: ignore[misc]
            await worker.kill()
            await worker.start()
        await eventually(lambda: sender.committed_up_to() == 1_500, within_s=120)
    assert await worker.stop() == 0
    await assert_stored(database_dsn, sent)
    assert await rows(
        database_dsn, "SELECT committed_seq, isempty(ahead), messages, frames, readings, rejected FROM ingest_ledger"
    ) == [(1_500, True, 1_500, 15_000, 120_000, 0)]


async def test_messages_in_any_order_and_often_are_stored_once(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    sent = scans(60)
    order = [seq for seq in range(1, 61) for _ in range(1 + seq % 3)]
    random.Random(7).shuffle(order)
    async with serving(configure(tmp_path, database_dsn, broker, source.zone)), gateway(broker, source) as sender:
        for seq in order:
            sender.send(seq, sent[seq - 1])
        await eventually(lambda: sender.committed_up_to() == 60)

        async def all_counted() -> bool:
            counted = await rows(database_dsn, "SELECT messages, messages + duplicate FROM ingest_ledger")
            return counted == [(60, len(order))]

        await eventually(all_counted)
    await assert_stored(database_dsn, sent)


async def test_what_came_live_and_again_from_the_spool_is_one_frame_and_stays_live(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    batch = frames(5, at=now())
    async with serving(configure(tmp_path, database_dsn, broker, source.zone)), gateway(broker, source) as sender:
        sender.send(1, batch, lane=Lane.HISTORICAL)
        await eventually(lambda: sender.committed_up_to(Lane.HISTORICAL) == 1)
        sender.send(1, batch, lane=Lane.LIVE)
        await eventually(lambda: sender.committed_up_to(Lane.LIVE) == 1)
        sender.send(2, batch, lane=Lane.HISTORICAL)
        await eventually(lambda: sender.committed_up_to(Lane.HISTORICAL) == 2)
    assert await rows(database_dsn, "SELECT DISTINCT quality FROM reading") == [(0xC0,)]
    await assert_stored(database_dsn, [batch])


async def test_the_watermark_waits_at_a_gap_and_a_restart_remembers_what_lies_beyond(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    sent = scans(5)
    path = configure(tmp_path, database_dsn, broker, source.zone)
    async with gateway(broker, source) as sender:
        async with serving(path):
            for seq in (1, 2, 4, 5):
                sender.send(seq, sent[seq - 1])

            async def beyond_the_gap() -> bool:
                return await rows(database_dsn, "SELECT committed_seq, ahead::text FROM ingest_ledger") == [
                    (2, "{[4,6)}")
                ]

            await eventually(beyond_the_gap)
            await eventually(lambda: sender.committed_up_to() == 2)
        async with serving(path):
            sender.send(3, sent[2])
            await eventually(lambda: sender.committed_up_to() == 5)
    await assert_stored(database_dsn, sent)


async def refused(dsn: str) -> set[tuple[str, int]]:
    return {(fault, count) for fault, count in await rows(dsn, "SELECT fault, frames FROM dead_letter")}


async def test_bad_input_ends_as_dead_letters_and_the_line_goes_on(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    good, moment = frames(3, at=now()), now()
    topic = source.topic("data")

    def message(seq: int, batch: FrameBatch, *, name: str = source.gateway) -> bytes:
        return wire.encode(Header(gateway=name, boot="boot-1", lane=Lane.LIVE, seq=seq), batch)

    def altered(seq: int, place: int, value: object) -> bytes:
        fields = msgspec.msgpack.decode(message(seq, good))
        fields[place] = value
        return msgspec.msgpack.encode(fields)

    def dated(year: int) -> FrameBatch:
        return frames(1, at=datetime(year, 1, 2, tzinfo=UTC), first_block=7)

    mixed_times = FrameBatch(
        block_id=np.array([4, 5], np.int32),
        measured_at_ms=np.array([to_ms(moment), to_ms(moment + timedelta(days=1))]),
        values=frames(2, at=moment).values,
        quality=frames(2, at=moment).quality,
    )
    cases: list[tuple[str, bytes, tuple[str, int]]] = [
        (topic, b"\xff\x00garbage", ("undecodable", 0)),
        (topic, b"", ("undecodable", 0)),
        (topic, altered(1, 0, 9), ("wrong_version", 0)),
        (topic, altered(1, 9, b"123"), ("bad_columns", 0)),
        (topic, altered(2, 5, -1), ("bad_time", 0)),
        (topic, altered(3, 9, bytes(wire.MAX_MESSAGE_BYTES)), ("oversized", 0)),
        (topic, message(4, dated(1970)), ("bad_time", 1)),
        (topic, message(5, dated(2100)), ("bad_time", 1)),
        (topic, message(6, mixed_times), ("bad_time", 1)),
        (topic, message(7, frames(2, at=moment, first_block=900)), ("unknown_block", 2)),
        (topic, message(8, good, name="gw-other"), ("wrong_topic", 3)),
        (f"gas/v1/{source.zone}/gw-nobody/data", message(1, good, name="gw-nobody"), ("unknown_gateway", 3)),
    ]
    async with serving(configure(tmp_path, database_dsn, broker, source.zone)), gateway(broker, source) as sender:
        for where, payload, _ in cases:
            sender.send_raw(payload, topic=where)
        sender.send(8, good)
        await eventually(lambda: sender.committed_up_to() == 8)
    assert await refused(database_dsn) == {expected for _, _, expected in cases}
    assert await rows(database_dsn, "SELECT count(*) FROM dead_letter") == [(len(cases),)]
    assert await rows(database_dsn, "SELECT max(length(payload)), max(payload_bytes) > 1000000 FROM dead_letter") == [
        (64 * 1024, True)
    ]
    assert await rows(database_dsn, "SELECT gateway, block_id, frames FROM unknown_block ORDER BY 1, 2") == sorted(
        [("gw-nobody", block, 1) for block in (1, 2, 3)] + [(source.gateway, block, 1) for block in (900, 901)]
    )
    assert await rows(database_dsn, "SELECT messages, frames, rejected, frames_rejected FROM ingest_ledger") == [
        (8, 4, 7, 5)
    ]
    await assert_stored(database_dsn, [good, mixed_times.take(slice(0, 1))])


async def test_a_message_that_the_database_refuses_is_set_aside_alone(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    sent = scans(9)
    sent[4].values[:, 0] = 666.0
    async with await psycopg.AsyncConnection.connect(database_dsn, autocommit=True) as connection:
        await connection.execute("ALTER TABLE frame ADD CONSTRAINT no_666 CHECK (v0 <> 666)")
    path = configure(tmp_path, database_dsn, broker, source.zone, batch_age_s=0.5)
    async with serving(path), gateway(broker, source) as sender:
        for seq in range(1, 10):
            sender.send(seq, sent[seq - 1])
        await eventually(lambda: sender.committed_up_to() == 9)
    await assert_stored(database_dsn, sent[:4] + sent[5:])
    assert await refused(database_dsn) == {("unstorable", 10)}
    assert await rows(database_dsn, "SELECT messages, frames, rejected, frames_rejected FROM ingest_ledger") == [
        (9, 80, 1, 10)
    ]


async def test_dead_letters_are_bounded(database_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_dsn, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO dead_letter (received_at, topic, fault, detail, frames, payload_bytes, payload) "
            "SELECT now(), 't', 'undecodable', '', 0, 0, '' FROM generate_series(1, 10050)"
        )
        await discard(connection, retention_days=1, now=now())
        cursor = await connection.execute("SELECT count(*), max(id) FROM dead_letter")
        assert await cursor.fetchone() == (10_000, 10_050)


async def test_a_device_is_taken_as_soon_as_it_is_enrolled(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    async with serving(configure(tmp_path, database_dsn, broker, source.zone)), gateway(broker, source) as sender:
        sender.send(1, frames(1, at=now(), first_block=500))
        await eventually(lambda: sender.committed_up_to() == 1)
        assert await rows(database_dsn, "SELECT count(*) FROM frame") == [(0,)]
        enrol(database_dsn, source, range(500, 501))
        number = 1

        async def taken() -> bool:
            nonlocal number
            number += 1
            sender.send(number, frames(1, at=now(), first_block=500))
            return await rows(database_dsn, "SELECT count(*) > 0 FROM frame") == [(True,)]

        await eventually(taken)


async def test_late_readings_get_the_day_they_belong_to(
    tmp_path: Path, database_dsn: str, broker: EmbeddedBroker, source: Source
) -> None:
    enrol(database_dsn, source)
    late = [frames(2, at=now() - timedelta(days=days), seed=days) for days in (0, 30, 200)]
    async with serving(configure(tmp_path, database_dsn, broker, source.zone)), gateway(broker, source) as sender:
        for seq, batch in enumerate(late, 1):
            sender.send(seq, batch, lane=Lane.HISTORICAL)
        await eventually(lambda: sender.committed_up_to(Lane.HISTORICAL) == 3)
    await assert_stored(database_dsn, late)


@pytest.mark.slow
async def test_a_database_that_is_away_delays_and_loses_nothing(
    tmp_path: Path, broker: EmbeddedBroker, source: Source
) -> None:
    sent = scans(200)
    async with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        migrate(postgres.dsn)
        enrol(postgres.dsn, source)
        path = configure(tmp_path, postgres.dsn, broker, source.zone, window_messages=50)
        async with serving(path), gateway(broker, source) as sender:
            sender.send(1, sent[0])
            await eventually(lambda: sender.committed_up_to() == 1)
            postgres.kill()
            for seq in range(2, 201):
                sender.send(seq, sent[seq - 1])
            postgres.start()
            await eventually(lambda: sender.committed_up_to() == 200, within_s=60)
        await assert_stored(postgres.dsn, sent)
        assert await rows(postgres.dsn, "SELECT messages FROM ingest_ledger") == [(200,)]


async def resend(sender: Gateway, sent: list[FrameBatch]) -> bool:
    """What a gateway does with everything unconfirmed; true once nothing is left."""
    for seq in range(sender.committed_up_to() + 1, len(sent) + 1):
        sender.send(seq, sent[seq - 1])
    return sender.committed_up_to() == len(sent)


@pytest.mark.slow
@pytest.mark.parametrize("wiped", [False, True], ids=["killed", "killed and its disk wiped"])
async def test_a_broker_that_is_away_delays_and_loses_nothing(
    tmp_path: Path, database_dsn: str, source: Source, wiped: bool
) -> None:
    enrol(database_dsn, source)
    sent = scans(40)
    async with EmbeddedBroker(tmp_path / "broker") as own:
        path = configure(tmp_path, database_dsn, own, source.zone)
        async with serving(path), gateway(own, source) as sender:
            for seq in range(1, 21):
                sender.send(seq, sent[seq - 1])
            await eventually(lambda: sender.committed_up_to() == 20)
            own.kill()
            if wiped:
                shutil.rmtree(own.data_dir / "jetstream")
            own.start()

            async def nothing_left() -> bool:
                return await resend(sender, sent)

            await eventually(nothing_left, within_s=60)
    await assert_stored(database_dsn, sent)
