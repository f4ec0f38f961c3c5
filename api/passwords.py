"""Passwords: made, hashed with Argon2id, checked. None is ever stored or logged."""

from __future__ import annotations

import secrets
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gashub.errors import InvalidValue

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256

_hasher = PasswordHasher()


@cache
def _nobodys_hash() -> str:
    """A hash that no password matches."""
    return _hasher.hash(secrets.token_urlsafe(24))


def generate() -> str:
    """A new password nobody can guess."""
    return secrets.token_urlsafe(15)


def hashed(password: str) -> str:
    """The Argon2id hash to store. Raises InvalidValue for a password that is too short or too long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidValue(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    return _hasher.hash(password)


def matches(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one that was hashed.

    Takes as long for a user who does not exist (None), so that nobody learns names by the clock.
    """
    try:
        _hasher.verify(password_hash or _nobodys_hash(), password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None
