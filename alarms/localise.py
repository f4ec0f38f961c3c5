"""Localisation (to come)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gashub.network.model import Network
from gashub.registry import Registry


class Locator:
    def __init__(self, network: Network, registry: Registry, zone: str) -> None:
        pass

    def rank(self, drops: Mapping[int, float], missing_m3h: float) -> list[dict[str, Any]]:
        return []
