from __future__ import annotations

from pathlib import Path

import numpy as np

from gashub.embedded.broker import EmbeddedBroker
from gashub.quality import GOOD
from gashub.wire import Lane
from simulators.devices.farm import DeviceFarm, FarmUnit

from .plants import Hub, device, running, until, write_config


async def test_what_a_device_measures_reaches_the_bus(broker: EmbeddedBroker, zone: str, tmp_path: Path) -> None:
    async with DeviceFarm([FarmUnit(name="a", profile="rtu-regulator-a", values={"outlet_pressure": 2.5})]) as farm:
        path = write_config(tmp_path / "gw.toml", broker, zone, [device("a", farm.port("a"), block=12)])
        async with Hub(broker, zone) as hub, running(path):
            await until(lambda: len(hub.frames()) >= 3)
        message = hub.messages[0]
        assert message.header.lane is Lane.LIVE and message.header.seq == 1
        assert set(message.frames.block_id) == {12}
        assert np.isclose(message.frames.values[0, 1], 2.5, rtol=1e-6)
        assert set(message.frames.quality[0]) == {GOOD}
        assert hub.states[-1] is not None
