"""The rulebook: which rules there are, why, and what to do about them.

`rulebook.toml` comes with the hub; a site's own file overrides rules by id, field by field, or adds new ones. Both are
checked whole, and every mistake is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gashub.config import problems_of, read_toml
from gashub.errors import ConfigurationError, Problem
from gashub.registry import Role

from .rules import ON_POINTS, Limit, Priority, Rationale, Reference, Rule, Test

SHIPPED: Final = Path(__file__).with_name("rulebook.toml")

Seconds = Annotated[float, Field(ge=0, le=86_400)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Limit(_Model):
    of: Reference = Reference.ABSOLUTE
    factor: Annotated[float, Field(allow_inf_nan=False)]


class _Rationale(_Model):
    cause: Annotated[str, Field(min_length=1)]
    consequence: Annotated[str, Field(min_length=1)]
    response: Annotated[str, Field(min_length=1)]


class _Rule(_Model):
    test: Test
    priority: Priority
    time_to_respond_s: Annotated[float, Field(gt=0)]
    roles: tuple[Role, ...] = ()
    limit: _Limit | None = None
    deadband: _Limit | None = None
    on_delay_s: Seconds = 0.0
    off_delay_s: Seconds = 0.0
    window_s: Seconds = 0.0
    scans: Annotated[float, Field(ge=0, le=1000)] = 0.0
    en: _Rationale
    zh: _Rationale

    @model_validator(mode="after")
    def _complete(self) -> _Rule:
        if self.test in ON_POINTS and (self.limit is None or not self.roles):
            raise ValueError(f"a rule of test {self.test.value!r} needs roles and a limit")
        if self.test is Test.FALL and self.window_s <= 0:
            raise ValueError("a rule of test 'fall' needs window_s above 0")
        if self.test is Test.STALE and self.scans <= 0:
            raise ValueError("a rule of test 'stale' needs scans above 0")
        return self


_BOOK: Final = TypeAdapter(dict[str, _Rule])


def load(site: Path | None = None) -> list[Rule]:
    """The shipped rules, with the site's changes. Raises ConfigurationError that lists every mistake."""
    book = _table(SHIPPED)
    if site is not None:
        for name, change in _table(site).items():
            book[name] = {**book.get(name, {}), **change}
    source = str(site or SHIPPED)
    try:
        checked = _BOOK.validate_python(book)
    except ValidationError as error:
        raise ConfigurationError(source, problems_of(error, "rule.")) from error
    return [_rule(name, model) for name, model in checked.items()]


def _table(path: Path) -> dict[str, dict[str, Any]]:
    parsed = read_toml(path)
    rules = parsed.pop("rule", {})
    wrong = [Problem(where=name, what="is not known", allowed="[rule.<id>]") for name in parsed]
    if not isinstance(rules, dict) or not all(isinstance(rule, dict) for rule in rules.values()):
        wrong.append(Problem(where="rule", what="is not a table of tables", allowed="[rule.<id>]"))
    if wrong:
        raise ConfigurationError(str(path), wrong)
    return dict(rules) if isinstance(rules, Mapping) else {}


def _limit(model: _Limit | None) -> Limit | None:
    return None if model is None else Limit(of=model.of, factor=model.factor)


def _rule(name: str, model: _Rule) -> Rule:
    return Rule(
        id=name,
        test=model.test,
        priority=model.priority,
        time_to_respond_s=model.time_to_respond_s,
        roles=model.roles,
        limit=_limit(model.limit),
        deadband=_limit(model.deadband),
        on_delay_s=model.on_delay_s,
        off_delay_s=model.off_delay_s,
        window_s=model.window_s,
        scans=model.scans,
        en=Rationale(**model.en.model_dump()),
        zh=Rationale(**model.zh.model_dump()),
    )
