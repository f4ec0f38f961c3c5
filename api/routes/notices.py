"""Supply-interruption notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from dispatch import actions, queries
from dispatch.queries import Notice, NoticeDetail, NoticeServicePoint, NoticeVersion

from ..columns import columns
from ..errors import refusals
from ..hub import Id, Operator, Supervisor, Viewer

router = APIRouter(tags=["notices"])
Reason = Annotated[str, StringConstraints(min_length=3, max_length=2_000)]
ServicePointId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAnswer(Notice):
    """A notice with whom it tells and every version of its text."""

    service_point_list: list[NoticeServicePoint]
    versions: list[NoticeVersion]


class Amendment(BaseModel):
    """A new expected end, or only a new text, and why."""

    model_config = ConfigDict(extra="forbid")
    expected_end_at: AwareDatetime | None = None
    reason: Reason


class Restoration(BaseModel):
    """Service points that have gas again after their safety check; all that are left if none are named."""

    model_config = ConfigDict(extra="forbid")
    service_points: Annotated[list[ServicePointId], Field(max_length=100_000)] | None = None


class Withdrawal(BaseModel):
    """Why nobody loses supply after all."""

    model_config = ConfigDict(extra="forbid")
    reason: Reason


@router.get("/notices", responses=refusals(422))
async def list_notices(caller: Viewer, open: bool = True) -> list[Notice]:  # noqa: A002 - the query's name
    """Notices, the newest first."""
    async with caller.reading() as connection:
        return await queries.notices(connection, open_only=open)


@router.get("/notices/{notice_id}", responses=refusals(404, 422))
async def show_notice(caller: Viewer, notice_id: Id) -> NoticeAnswer:
    """One notice."""
    async with caller.reading() as connection:
        found = await queries.notice(connection, notice_id)
    return _answer(found)


@router.post("/notices/{notice_id}/amend", responses=refusals(400, 404, 409, 413, 422))
async def amend_notice(caller: Operator, notice_id: Id, body: Amendment) -> NoticeAnswer:
    """Say anew what a notice says, with a reason and, where given, a new expected end; the old text is kept."""
    async with caller.acting("notice_amended", f"notice:{notice_id}", reason=body.reason) as connection:
        found = await actions.notice_amend(
            connection,
            notice_id,
            config=caller.hub.config,
            actor=caller.name,
            role=caller.role,
            now=caller.now,
            reason=body.reason,
            expected_end_at=body.expected_end_at,
        )
    return _answer(found)


@router.post("/notices/{notice_id}/restore", responses=refusals(400, 404, 409, 413, 422))
async def restore_notice(caller: Operator, notice_id: Id, body: Restoration) -> NoticeAnswer:
    """Record that service points have gas again; once all have, the notice says so."""
    async with caller.acting("notice_restored", f"notice:{notice_id}") as connection:
        found = await actions.notice_restore(
            connection,
            notice_id,
            config=caller.hub.config,
            actor=caller.name,
            role=caller.role,
            now=caller.now,
            service_points=body.service_points,
        )
    return _answer(found)


@router.post("/notices/{notice_id}/withdraw", responses=refusals(400, 404, 409, 413, 422))
async def withdraw_notice(caller: Supervisor, notice_id: Id, body: Withdrawal) -> NoticeAnswer:
    """Take a notice back: nobody loses supply after all."""
    async with caller.acting("notice_withdrawn", f"notice:{notice_id}", reason=body.reason) as connection:
        found = await actions.notice_withdraw(
            connection,
            notice_id,
            config=caller.hub.config,
            actor=caller.name,
            role=caller.role,
            now=caller.now,
            reason=body.reason,
        )
    return _answer(found)


@router.post("/notices/{notice_id}/close", responses=refusals(404, 409, 413, 422))
async def close_notice(caller: Operator, notice_id: Id) -> NoticeAnswer:
    """Finish a notice whose customers all have gas again."""
    async with caller.acting("notice_closed", f"notice:{notice_id}") as connection:
        found = await actions.notice_close(connection, notice_id, actor=caller.name, role=caller.role, now=caller.now)
    return _answer(found)


def _answer(found: NoticeDetail) -> NoticeAnswer:
    return NoticeAnswer(**columns(found.notice), service_point_list=found.service_points, versions=found.versions)
