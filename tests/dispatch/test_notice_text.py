"""What notices say, whole, in both languages; `REGENERATE=1` writes the golden files anew to be read over."""

from __future__ import annotations

import os
import string
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dispatch.isolation import NOTICE_KINDS
from dispatch.notice_text import LANGUAGES, Facts, Occasion, Sender, _words, text

GOLDEN = Path(__file__).parent / "golden"
SENDER = Sender(name={"en": "City Gas", "zh": "城市燃气"}, hotline="96777", timezone=ZoneInfo("Asia/Shanghai"))
EAST = {"en": "East District", "zh": "东区"}
WEST = {"en": "West District", "zh": "西区"}
START = datetime(2026, 11, 10, 9, 5, tzinfo=UTC)
END = datetime(2026, 11, 10, 17, 5, tzinfo=UTC)


def facts(
    kind: str = "leak", *zones: dict[str, str], whole: bool = False, version: int = 1, change: str = "", **classes: int
) -> Facts:
    return Facts(
        number="N20261110-0001",
        version=version,
        kind=kind,
        zones=zones or (EAST,),
        whole=whole,
        customers_by_class=classes or {"resident": 70},
        start=START,
        end=END,
        change=change,
    )


CASES = {
    "leak-issued": (Occasion.ISSUED, facts("leak", commercial=2, public_service=1, resident=67)),
    "rupture-issued": (Occasion.ISSUED, facts("rupture", EAST, WEST, resident=1)),
    "slam-shut-issued": (Occasion.ISSUED, facts("slam_shut", whole=True, heating=1, industry=2, resident=310)),
    "supply-low-issued": (Occasion.ISSUED, facts("supply_low")),
    "leak-amended-by-itself": (Occasion.AMENDED, facts("leak", version=2, change="place")),
    "leak-extended": (Occasion.AMENDED, facts("leak", version=3, change="the main lies deeper 管道埋深较大")),
    "leak-restored": (Occasion.RESTORED, facts("leak", version=4)),
    "leak-withdrawn": (Occasion.WITHDRAWN, facts("leak", version=2, change="a false alarm 误报")),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_a_notice_says_what_was_agreed(case: str, language: str) -> None:
    said = text(language, *CASES[case], SENDER)
    golden = GOLDEN / f"{case}.{language}.txt"
    if os.environ.get("REGENERATE"):
        golden.write_text(said, encoding="utf-8")
    assert said == golden.read_text(encoding="utf-8")


def test_both_languages_know_the_same_words() -> None:
    english, chinese = _words("en"), _words("zh")
    assert english.keys() == chinese.keys()
    for key in ("reasons", "classes", "classes_one", "changes"):
        assert english[key].keys() == chinese[key].keys()
    for occasion in Occasion:
        used = [{field for _, field, _, _ in string.Formatter().parse(words[occasion])} for words in (english, chinese)]
        assert used[0] == used[1]


def test_every_kind_with_a_notice_has_its_reason() -> None:
    for language in LANGUAGES:
        assert set(_words(language)["reasons"]) == NOTICE_KINDS


def test_words_in_braces_that_somebody_writes_stay_words() -> None:
    said = text("en", Occasion.AMENDED, facts(change="see {hotline} and {0.__class__}"), SENDER)
    assert "see {hotline} and {0.__class__}" in said
