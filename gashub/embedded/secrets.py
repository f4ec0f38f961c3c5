"""Passwords made by the hub, kept in files that only their owner may read."""

from __future__ import annotations

import os
import secrets as random_secrets
from pathlib import Path

from ..errors import InvalidValue

_SECRET_BYTES = 24


def read_or_create_secret(path: Path) -> str:
    """The secret in `path`: made at first use (mode 0600), the same ever after, also when two processes ask at once."""
    for _ in range(2):
        try:
            return _read(path)
        except FileNotFoundError:
            _create(path)
    return _read(path)


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole; at no moment can anybody else read it or see half of it."""
    draft = path.with_name(f".{path.name}.{random_secrets.token_hex(4)}")
    try:
        _write_new(draft, text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def make_private_dir(path: Path) -> Path:
    """The directory, made if it is not there, open to its owner alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path.resolve()


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, encoding="ascii") as file:
        status = os.fstat(descriptor)
        if status.st_mode & 0o077:
            raise InvalidValue(f"{path}: others may read this secret; its mode must be 0600")
        secret = file.read().strip()
    if not secret:
        raise InvalidValue(f"{path}: empty secret")
    return secret


def _create(path: Path) -> None:
    """Write aside and link: whoever links first has made the secret, and nobody ever reads half of one."""
    draft = path.with_name(f".{path.name}.{random_secrets.token_hex(4)}")
    try:
        _write_new(draft, random_secrets.token_urlsafe(_SECRET_BYTES) + "\n")
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
