"""The fields of a dataclass, one level deep: to build a wider answer from a narrower row."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def columns(row: Any) -> dict[str, Any]:
    """Field names and values of a dataclass instance."""
    return {field.name: getattr(row, field.name) for field in fields(row)}
