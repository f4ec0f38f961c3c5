"""What a closed valve cuts off: isolation of an element, and who loses supply.

Sections are what remains connected when every valve is shut; a regulator also ends a section. To isolate an element
the valves around its section are shut; a stuck valve joins the sections at its two ends. Everything that then finds
no way to a gate inlet, along pipes, open valves and regulators in their direction, has lost its supply.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .model import Network


class ElementKind(StrEnum):
    """What kind of thing of the network an element is."""

    PIPE = "pipe"
    JUNCTION = "junction"
    SERVICE_POINT = "service_point"
    STATION = "station"
    REGULATOR = "regulator"
    VALVE = "valve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One thing of the network, named by its kind and id."""

    kind: ElementKind
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How to shut an element off, and what that costs.

    `valves_to_close` in the order to walk them, nearest to a source first. `junctions` and `pipes` are the part shut
    off; `service_points_lost` are all that lose every feed, inside that part or behind it. `volume_m3` is the
    geometric volume of the pipes shut off. `regulators_inside` stand at the border or inside and must be shut too.
    """

    valves_to_close: tuple[str, ...]
    regulators_inside: tuple[str, ...]
    junctions: tuple[str, ...]
    pipes: tuple[str, ...]
    service_points_lost: tuple[str, ...]
    volume_m3: float


def isolate(network: Network, element: Element, *, stuck: frozenset[str] = frozenset()) -> Isolation:
    """How to isolate `element` with every valve but those `stuck`. Raises NotFound for an unknown element."""
    raise NotImplementedError


def supply_lost(
    network: Network, *, closed_regulators: frozenset[str] = frozenset(), closed_valves: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Service points with no path to a gate inlet when these are shut, besides the valves that normally are."""
    raise NotImplementedError
