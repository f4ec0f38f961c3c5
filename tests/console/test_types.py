"""What the console takes for the hub's answers is what the hub says of itself."""

from __future__ import annotations

from scripts import openapi_types


def test_the_console_knows_the_interface_as_the_hub_describes_it() -> None:
    kept = openapi_types.TARGET.read_text(encoding="utf-8")
    assert kept == openapi_types.types(), "the API changed; run scripts/openapi_types.py"
