"""The package's SQL files, by name."""

from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> bytes:
    """The statement in `sql/<name>.sql`."""
    return (_FOLDER / f"{name}.sql").read_bytes()
