"""Names on the bus, built and read in one place.

    gas/v1/{zone}/{gateway}/data        frames, gateway → hub
    gas/v1/{zone}/{gateway}/state       retained, with will: online or offline, since when
    gas/v1/{zone}/{gateway}/committed   ingest → gateway: everything up to here is stored or rejected
    gas/v1/{zone}/{gateway}/cmd, /ack   commands and their answers
    gas/v1/alarms/{zone}                alarm transitions, alarms → whoever watches
    sim/v1/command, sim/v1/state        the simulated town, where one runs

Ids of zones and gateways are lower-case letters, digits and hyphens, so that a name is the same in MQTT and in NATS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .errors import InvalidValue

ROOT: Final = "gas/v1"
ALL_DATA: Final = "gas/v1/+/+/data"
ALL_STATE: Final = "gas/v1/+/+/state"
ALL_ALARMS: Final = "gas/v1/alarms/+"
SIM_COMMAND: Final = "sim/v1/command"
SIM_STATE: Final = "sim/v1/state"

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check_id(kind: str, text: str) -> str:
    """Return `text` if it may stand in a topic; raise InvalidValue otherwise."""
    if not _ID.fullmatch(text):
        raise InvalidValue(f"{kind} id {text!r}: use 1-63 lower-case letters, digits and hyphens, not a hyphen first")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A gateway and the zone whose topics it publishes on."""

    zone: str
    gateway: str

    def __post_init__(self) -> None:
        check_id("zone", self.zone)
        check_id("gateway", self.gateway)

    def topic(self, leaf: str) -> str:
        """The topic of this gateway that ends in `leaf`."""
        return f"{ROOT}/{self.zone}/{self.gateway}/{leaf}"


def parse(topic: str) -> tuple[Source, str]:
    """The source and the leaf of a gateway topic. Raises InvalidValue for any other topic."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != "gas" or parts[1] != "v1":
        raise InvalidValue(f"topic {topic!r} is not gas/v1/<zone>/<gateway>/<leaf>")
    return Source(zone=parts[2], gateway=parts[3]), parts[4]


def alarms(zone: str) -> str:
    """The topic of a zone's alarm transitions."""
    return f"{ROOT}/alarms/{check_id('zone', zone)}"
