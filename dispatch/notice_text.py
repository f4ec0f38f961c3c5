"""What a notice says, in Chinese and English, from the templates in `texts/`.

A template is a TOML file per language; the words it may use are the fields of `Facts`, made readable here: times in
the hub's zone, counts by customer class, the area by the names of its zones.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo

LANGUAGES: Final = ("en", "zh")
_FALLBACK_REASON: Final = "supply_low"


class Occasion(StrEnum):
    """Why a notice speaks."""

    ISSUED = "issued"
    AMENDED = "amended"
    RESTORED = "restored"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who speaks: the utility by language, its hotline, and the time zone of its clocks."""

    name: Mapping[str, str]
    hotline: str
    timezone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What there is to say.

    zones: names by language of every zone touched; `whole` if all of their customers are.
    end: when supply is expected back, or is back for the occasion `restored`.
    change: why this version differs from the last: a code of the templates' [changes], or somebody's own words.
    """

    number: str
    version: int
    kind: str
    zones: Sequence[Mapping[str, str]]
    whole: bool
    customers_by_class: Mapping[str, int]
    start: datetime
    end: datetime
    change: str = ""


def text(language: str, occasion: Occasion, facts: Facts, sender: Sender) -> str:
    """The notice in one of LANGUAGES."""
    words = _words(language)
    zones = words["list_separator"].join(zone[language] for zone in facts.zones)
    filled: str = words[occasion].format(
        utility=sender.name[language],
        hotline=sender.hotline,
        number=facts.number,
        version=facts.version,
        area=words["area_whole" if facts.whole else "area_part"].format(zone=zones),
        reason=words["reasons"].get(facts.kind, words["reasons"][_FALLBACK_REASON]),
        customers=_customers(words, facts.customers_by_class),
        start=_time(words, facts.start, sender.timezone),
        end=_time(words, facts.end, sender.timezone),
        change=words["changes"].get(facts.change, facts.change),
        safety=words["safety"].strip(),
        relight=words["relight"].strip(),
    )
    return filled.strip() + "\n"


def _customers(words: Mapping[str, Any], by_class: Mapping[str, int]) -> str:
    classes = words["list_separator"].join(
        words["classes_one" if count == 1 else "classes"][name].format(count=count)
        for name, count in by_class.items()
        if count
    )
    total = sum(by_class.values())
    phrase: str = words["customers_one" if total == 1 else "customers"].format(count=total, classes=classes)
    return phrase


def _time(words: Mapping[str, Any], moment: datetime, timezone: ZoneInfo) -> str:
    local = moment.astimezone(timezone)
    month = words["months"][local.month - 1]
    said: str = words["time"].format(year=local.year, month=month, day=local.day, hour=local.hour, minute=local.minute)
    return said


@cache
def _words(language: str) -> Mapping[str, Any]:
    return tomllib.loads((files(__package__) / "texts" / f"{language}.toml").read_text(encoding="utf-8"))
