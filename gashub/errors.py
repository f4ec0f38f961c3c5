"""The error tree of the hub.

    HubError
    ├── ConfigurationError      everything wrong with a configuration, all at once
    ├── InvalidValue            a noun that cannot be built from what was given
    ├── NotFound                a thing that was named does not exist
    ├── NotAllowed              the caller may not do this
    ├── Conflict                the thing is not in a state that allows this
    └── Unavailable             a server is away; trying again helps

Errors carry their facts as attributes; `code` is stable and is what the console translates, `retryable` says
whether the same call may succeed later.
"""

from __future__ import annotations

from dataclasses import dataclass


class HubError(Exception):
    """Root of all errors the hub raises on purpose."""

    code = "hub_error"
    retryable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in an input: where it stands, what is wrong, what is allowed."""

    where: str
    what: str
    allowed: str = ""

    def __str__(self) -> str:
        remedy = f" (allowed: {self.allowed})" if self.allowed else ""
        return f"{self.where}: {self.what}{remedy}"


class ConfigurationError(HubError):
    """A configuration or an imported file is wrong; `problems` lists every mistake found."""

    code = "configuration_error"

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        count = len(problems)
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, 1))
        super().__init__(f"{source}: {count} problem{'s' if count != 1 else ''}\n{lines}")


class InvalidValue(HubError):
    """A value from which no valid noun can be built."""

    code = "invalid_value"


class NotFound(HubError):
    """The thing named does not exist."""

    code = "not_found"

    def __init__(self, kind: str, key: object) -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"no {kind} {key!r}")


class NotAllowed(HubError):
    """The caller may not do this; `needs` names the role or rule that would allow it."""

    code = "not_allowed"

    def __init__(self, what: str, needs: str) -> None:
        self.what = what
        self.needs = needs
        super().__init__(f"{what} needs {needs}")


class Conflict(HubError):
    """The thing is not in a state that allows this step; `state` is what it is in, `allowed` what it could do."""

    code = "conflict"

    def __init__(self, what: str, state: str, allowed: list[str] | None = None) -> None:
        self.what = what
        self.state = state
        self.allowed = allowed or []
        super().__init__(f"{what} is not possible while {state}; possible: {', '.join(self.allowed) or 'nothing'}")


class Unavailable(HubError):
    """A server the hub stands on cannot be reached now."""

    code = "unavailable"
    retryable = True
