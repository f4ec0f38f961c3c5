"""Secrets: made once, read ever after, by their owner alone."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gashub.embedded.secrets import make_private_dir, read_or_create_secret, write_private
from gashub.errors import InvalidValue


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    first = read_or_create_secret(tmp_path / "secret")
    assert read_or_create_secret(tmp_path / "secret") == first
    assert len(first) >= 32
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_all_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: read_or_create_secret(tmp_path / "secret"), range(64)))
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    read_or_create_secret(path)
    path.chmod(mode)
    with pytest.raises(InvalidValue, match="0600"):
        read_or_create_secret(path)


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", "\n")
    with pytest.raises(InvalidValue, match="empty"):
        read_or_create_secret(tmp_path / "secret")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write_private(tmp_path / "real", "x\n")
    (tmp_path / "secret").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="symbolic"):
        read_or_create_secret(tmp_path / "secret")


def test_a_private_directory_is_closed_even_if_it_was_open(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert stat.S_IMODE(make_private_dir(tmp_path / "open").stat().st_mode) == 0o700
