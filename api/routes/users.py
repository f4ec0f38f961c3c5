"""Users, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, StringConstraints

from gashub.roles import Role

from .. import users
from ..errors import refusals
from ..hub import Administrator
from ..users import User

router = APIRouter(tags=["users"])


class NewUser(BaseModel):
    """A person to let in."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    role: Role


class UserChange(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    role: Role | None = None
    active: bool | None = None
    reset_password: bool = False


class UserAnswer(BaseModel):
    """A user; `password` is there once, right after it was generated."""

    name: str
    role: Role
    active: bool
    must_change_password: bool
    password: str | None = None

    @classmethod
    def of(cls, user: User, password: str | None = None) -> UserAnswer:
        """The user as JSON."""
        return cls(
            name=user.name,
            role=user.role,
            active=user.active,
            must_change_password=user.must_change_password,
            password=password,
        )


@router.get("/users")
async def list_users(caller: Administrator, request: Request) -> list[UserAnswer]:
    """Everybody who may log in."""
    found = await users.in_thread(caller.hub.config.dsn(), users.listed)
    return [UserAnswer.of(user) for user in found]


@router.post("/users", status_code=201, responses=refusals(400, 409, 413, 422))
async def add_user(caller: Administrator, body: NewUser) -> UserAnswer:
    """Let a person in; the generated password must be changed at the first log-in."""
    now = caller.hub.wall.now()
    async with caller.auditing_refusals("user_added", body.name, role=body.role):
        password = await users.in_thread(
            caller.hub.config.dsn(),
            lambda connection: users.add(
                connection, name=body.name, role=body.role, actor=caller.name, now=now, address=caller.address
            ),
        )
    return UserAnswer.of(User(name=body.name, role=body.role, active=True, must_change_password=True), password)


@router.patch("/users/{name}", responses=refusals(400, 404, 409, 413, 422))
async def change_user(caller: Administrator, name: str, body: UserChange) -> UserAnswer:
    """Change a role, close or reopen an account, give a new password. Nobody can lock themselves out."""
    now = caller.hub.wall.now()
    async with caller.auditing_refusals("user_changed", name, **body.model_dump(exclude_none=True)):
        user, password = await users.in_thread(
            caller.hub.config.dsn(),
            lambda connection: users.change(
                connection,
                name=name,
                role=body.role,
                active=body.active,
                new_password=body.reset_password,
                actor=caller.name,
                now=now,
                address=caller.address,
            ),
        )
    return UserAnswer.of(user, password)
