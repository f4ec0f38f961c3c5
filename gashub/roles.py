"""Who may do what: four roles, each of which may do all that those before it may."""

from __future__ import annotations

from enum import StrEnum

from .errors import InvalidValue


class Role(StrEnum):
    """What a person may do, from the least to the most."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    ADMINISTRATOR = "administrator"

    def is_at_least(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


def checked_role(text: str) -> Role:
    """The role of that name. Raises InvalidValue that lists the roles there are."""
    try:
        return Role(text)
    except ValueError:
        raise InvalidValue(f"{text!r} is no role; choose from {', '.join(Role)}") from None
