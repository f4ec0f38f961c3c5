"""From spool to bus and back, with a real broker: what is confirmed is forgotten, all else is sent again."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
import pytest

from gashub.clock import ScaledClock
from gashub.embedded.broker import EmbeddedBroker
from gashub.frames import SLOTS, FrameBatch
from gashub.quality import GOOD, is_historical, is_sampled
from gashub.wire import Header, Lane, Message, decode, encode
from gateway.config import load
from gateway.forwarding import packet_real_s, relabel
from gateway.spool import Spool
from simulators.devices.farm import DeviceFarm, FarmUnit, Fault

from .plants import Hub, device, running, until, write_config


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path / "broker") as server:
        yield server


def farm_of(n: int = 2) -> DeviceFarm:
    return DeviceFarm([FarmUnit(name=f"d{i}", profile="rtu-regulator-a") for i in range(n)])


def gateway_file(
    directory: Path, broker: EmbeddedBroker, zone: str, farm: DeviceFarm, n: int = 2, extra: str = ""
) -> Path:
    devices = [device(f"d{i}", farm.port(f"d{i}"), block=i + 1, scan_s=0.1) for i in range(n)]
    return write_config(directory / "gw.toml", broker, zone, devices, extra=extra)


def spooled(path: Path) -> set[tuple[int, int]]:
    """Block and time of every frame in a spool nobody has open."""
    spool = Spool(path)
    bodies = [spool.read(packet.id) for packet in spool.stored()]
    spool.close()
    messages = [decode(body) for body in bodies if body is not None]
    return {
        (int(block), int(at))
        for message in messages
        if isinstance(message, Message)
        for block, at in zip(message.frames.block_id, message.frames.measured_at_ms, strict=True)
    }


async def test_committed_frees_the_spool(broker: EmbeddedBroker, zone: str, tmp_path: Path) -> None:
    async with farm_of() as farm, Hub(broker, zone) as hub:
        async with running(gateway_file(tmp_path, broker, zone, farm)):
            await until(lambda: len(hub.messages) >= 5)
        assert hub.states[-1] is not None and not hub.states[-1].online
        sent, left = hub.frames(), spooled(tmp_path / "spool-gw.sqlite")
        assert left <= sent and len(left) < len(sent) / 2


async def test_messages_are_numbered_from_one_without_gaps(broker: EmbeddedBroker, zone: str, tmp_path: Path) -> None:
    async with farm_of() as farm, Hub(broker, zone) as hub, running(gateway_file(tmp_path, broker, zone, farm)):
        await until(lambda: len(hub.messages) >= 6)
        headers = [message.header for message in hub.messages[:6]]
        assert [(header.lane, header.seq) for header in headers] == [(Lane.LIVE, n) for n in range(1, 7)]
        assert len({header.boot for header in headers}) == 1


async def test_what_is_not_confirmed_is_sent_again_byte_for_byte(
    broker: EmbeddedBroker, zone: str, tmp_path: Path
) -> None:
    async with farm_of() as farm, Hub(broker, zone, commits=False) as hub:
        async with running(gateway_file(tmp_path, broker, zone, farm)):
            await until(lambda: hub.payloads and hub.payloads.count(hub.payloads[0]) >= 2)
            live = len({message.header.seq for message in hub.messages})
            assert live >= 8, "what is not confirmed must not hold up the live lane"
            hub.commits = True
            top = max(message.header.seq for message in hub.messages)
            hub.commit(hub.messages[-1])
            await until(lambda: max(m.header.seq for m in hub.messages) > top)
        assert all(message.header.lane is Lane.LIVE for message in hub.messages)


async def test_after_a_restart_what_was_left_goes_out_as_historical_under_a_new_boot(
    broker: EmbeddedBroker, zone: str, tmp_path: Path
) -> None:
    async with farm_of() as farm, Hub(broker, zone, commits=False) as hub:
        path = gateway_file(tmp_path, broker, zone, farm)
        async with running(path):
            await until(lambda: len(hub.messages) >= 3)
        left = spooled(tmp_path / "spool-gw.sqlite")
        first_boot = hub.messages[0].header.boot
        hub.commits = True
        async with running(path):
            await until(lambda: left <= hub.frames(Lane.HISTORICAL))
        late = [message for message in hub.messages if message.header.lane is Lane.HISTORICAL]
        assert [message.header.seq for message in late] == list(range(1, len(late) + 1))
        assert all(message.header.boot != first_boot for message in late)
        assert all(is_historical(m.frames.quality[is_sampled(m.frames.quality)]).all() for m in late)
        starts = [int(message.frames.measured_at_ms.min()) for message in late]
        assert starts == sorted(starts)
        for _ in range(5):  # a gateway stopped before the last confirmation came sends once more
            if not left & spooled(tmp_path / "spool-gw.sqlite"):
                break
            told = len(hub.messages)
            async with running(path):
                await until(lambda told=told: len(hub.messages) >= told + 3)
        assert not left & spooled(tmp_path / "spool-gw.sqlite")


async def test_polling_goes_on_without_a_broker_and_nothing_is_missing_afterwards(
    own_broker: EmbeddedBroker, zone: str, tmp_path: Path
) -> None:
    async with farm_of() as farm, Hub(own_broker, zone) as hub:
        async with running(gateway_file(tmp_path, own_broker, zone, farm)):
            await until(lambda: len(hub.messages) >= 2)
            await asyncio.to_thread(own_broker.stop)
            asked = farm.requests("d0")
            await until(lambda: farm.requests("d0") >= asked + 20)
            await asyncio.to_thread(own_broker.start)
            await until(lambda: hub.frames(Lane.HISTORICAL))
            late = max(at for _, at in hub.frames(Lane.HISTORICAL))
            await until(lambda: any(at > late for _, at in hub.frames(Lane.LIVE)))
        stored = hub.frames() | spooled(tmp_path / "spool-gw.sqlite")
        for block in (1, 2):
            times = sorted(at for number, at in stored if number == block)
            assert len(times) == farm.requests(f"d{block - 1}")


async def test_a_broker_that_loses_its_disk_loses_nothing(
    own_broker: EmbeddedBroker, zone: str, tmp_path: Path
) -> None:
    async with farm_of() as farm, Hub(own_broker, zone, commits=False) as hub:
        async with running(gateway_file(tmp_path, own_broker, zone, farm)):
            await until(lambda: len(hub.messages) >= 3)
            await asyncio.to_thread(own_broker.kill)
            shutil.rmtree(own_broker.data_dir / "jetstream")
            hub.messages.clear()  # a historian that had committed none of it
            hub.subscribed = 0
            await asyncio.to_thread(own_broker.start)
            await until(lambda: hub.subscribed)
            hub.commits = True
            await until(lambda: 1 in {message.header.seq for message in hub.messages})
            await until(lambda: len(hub.messages) >= 20)
        stored = hub.frames() | spooled(tmp_path / "spool-gw.sqlite")
        for block in (1, 2):
            assert len([at for number, at in stored if number == block]) == farm.requests(f"d{block - 1}")


async def test_at_the_bound_the_oldest_is_dropped_counted_and_announced(
    own_broker: EmbeddedBroker, zone: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(own_broker.stop)
    async with farm_of() as farm:
        path = gateway_file(tmp_path, own_broker, zone, farm, extra="spool_max_mb = 0.005")
        async with running(path):
            await until(lambda: farm.requests("d0") >= 40)
        spool = Spool(tmp_path / "spool-gw.sqlite")
        dropped, kept = spool.dropped(), sum(packet.size for packet in spool.stored())
        spool.close()
        assert dropped.packets > 0 and dropped.frames >= dropped.packets
        assert 2500 < kept <= 5000
        newest = max(at for _, at in spooled(tmp_path / "spool-gw.sqlite"))
        await asyncio.to_thread(own_broker.start)
        async with Hub(own_broker, zone) as hub, running(path):
            await until(lambda: hub.states and hub.states[-1] is not None and hub.states[-1].online)
            assert hub.states[-1] is not None and hub.states[-1].spool_dropped >= dropped.frames
            await until(lambda: newest in {at for _, at in hub.frames(Lane.HISTORICAL)})


async def test_the_hub_hears_when_a_gateway_is_gone(own_broker: EmbeddedBroker, zone: str, tmp_path: Path) -> None:
    async with farm_of(1) as farm, Hub(own_broker, zone) as hub:
        path = gateway_file(tmp_path, own_broker, zone, farm, 1)
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", "--config", str(path))
        await until(lambda: hub.states and hub.states[-1] is not None and hub.states[-1].online, within_s=40)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await until(lambda: hub.states[-1] is not None and not hub.states[-1].online)


@pytest.mark.parametrize("seed", [11, pytest.param(12, marks=pytest.mark.slow)])
async def test_killed_again_and_again_with_a_broker_that_dies_too_every_frame_is_stored(
    own_broker: EmbeddedBroker, zone: str, tmp_path: Path, seed: int
) -> None:
    rng = Random(seed)
    spool_file = tmp_path / "spool-gw.sqlite"
    kept: set[tuple[int, int]] = set()
    async with farm_of() as farm, Hub(own_broker, zone) as hub:
        path = gateway_file(tmp_path, own_broker, zone, farm)
        for life in range(3):
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", "--config", str(path))
            asked = farm.requests("d0")
            goal = asked + rng.randrange(3, 40)
            await until(lambda goal=goal: farm.requests("d0") >= goal, within_s=40)
            hub.commits = rng.random() < 0.5
            if life % 2:
                await asyncio.to_thread(own_broker.kill)
                shutil.rmtree(own_broker.data_dir / "jetstream")
            process.send_signal(signal.SIGKILL)
            await process.wait()
            kept |= spooled(spool_file)
            await asyncio.to_thread(own_broker.start)
        hub.commits = True
        async with running(path):
            await until(lambda: kept <= hub.frames(), within_s=60)
    content = {}
    for message in hub.messages:
        header = message.header
        key = (header.boot, header.lane, header.seq)
        frames = message.frames
        for block, at, values in zip(frames.block_id, frames.measured_at_ms, frames.values, strict=True):
            assert np.array_equal(content.setdefault((block, at), values), values, equal_nan=True)
        assert content.setdefault(key, frames.measured_at_ms.tolist()) == frames.measured_at_ms.tolist()


async def test_two_gateways_in_one_process_do_not_mix(broker: EmbeddedBroker, zone: str, tmp_path: Path) -> None:
    async with farm_of() as farm, Hub(broker, zone) as hub:
        paths = [
            write_config(
                tmp_path / f"{name}.toml", broker, zone, [device("d", farm.port(f"d{i}"), block=i + 1)], gateway=name
            )
            for i, name in enumerate(("gw-a", "gw-b"))
        ]
        async with running(*paths):
            await until(lambda: len({message.header.gateway for message in hub.messages}) == 2)
        blocks = {(m.header.gateway, int(b)) for m in hub.messages for b in m.frames.block_id}
        assert blocks == {("gw-a", 1), ("gw-b", 2)}


async def test_a_disk_that_fails_does_not_keep_readings_from_the_hub(
    broker: EmbeddedBroker, zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with farm_of(1) as farm, Hub(broker, zone) as hub:
        path = gateway_file(tmp_path, broker, zone, farm, 1)
        opened: list[Spool] = []
        init = Spool.__init__

        def remember(self: Spool, file: Path) -> None:
            init(self, file)
            opened.append(self)

        monkeypatch.setattr(Spool, "__init__", remember)
        async with running(path):
            await until(lambda: len(hub.messages) >= 2)
            boot = hub.messages[0].header.boot
            opened[0]._db.execute("PRAGMA query_only = 1")
            await until(lambda: [m for m in hub.messages if m.header.boot != boot])
            opened[0]._db.execute("PRAGMA query_only = 0")
            known = len(hub.messages)
            await until(lambda: boot in {m.header.boot for m in hub.messages[known:]})


async def test_a_silent_device_is_told_to_the_hub_in_hub_words(
    broker: EmbeddedBroker, zone: str, tmp_path: Path
) -> None:
    async with farm_of(1) as farm, Hub(broker, zone) as hub:
        await farm.fault("d0", Fault.SILENT)
        async with running(gateway_file(tmp_path, broker, zone, farm, 1)):
            await until(lambda: hub.messages)
        assert np.isnan(hub.messages[0].frames.values).all()
        assert not is_sampled(hub.messages[0].frames.quality & 0x80).any()


@pytest.mark.parametrize(
    ("speed", "packet_s", "real_s"), [(1, 1.0, 1.0), (1, 0.1, 0.1), (2, 1.0, 0.5), (60, 1.0, 0.25)]
)
def test_packets_close_in_hub_time_but_never_wear_out_the_disk(speed: float, packet_s: float, real_s: float) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert packet_real_s(packet_s, ScaledClock(real_start=start, hub_start=start, speed=speed)) == real_s


def test_a_packet_under_its_own_header_keeps_its_bytes_and_under_another_its_frames() -> None:
    values = np.arange(16.0).reshape(2, SLOTS)
    frames = FrameBatch(
        block_id=np.array([1, 2], np.int32),
        measured_at_ms=np.array([10, 20]),
        values=values,
        quality=np.full((2, SLOTS), GOOD, np.uint8),
    )
    header = Header(gateway="gw", boot="a", lane=Lane.LIVE, seq=1)
    body = encode(header, frames)
    assert relabel(body, header) == body
    other = Header(gateway="gw", boot="b", lane=Lane.HISTORICAL, seq=9)
    moved = decode(relabel(body, other) or b"")
    assert isinstance(moved, Message)
    assert moved.header == other
    np.testing.assert_array_equal(moved.frames.values, values)
    assert relabel(b"garbage", header) is None


async def test_the_process_stops_cleanly_when_asked(broker: EmbeddedBroker, zone: str, tmp_path: Path) -> None:
    async with farm_of(1) as farm, Hub(broker, zone) as hub:
        path = gateway_file(tmp_path, broker, zone, farm, 1)
        assert load(path).gateway.id == "gw"
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", "--config", str(path))
        await until(lambda: hub.messages, within_s=40)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
        await until(lambda: hub.states and hub.states[-1] is not None and not hub.states[-1].online)
