"""The journal and the audit, page by page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gashub import journal
from gashub.journal import Entry

from .. import audit
from ..audit import AuditEntry
from ..errors import refusals
from ..hub import Id, Supervisor, Viewer

router = APIRouter(tags=["journal"])


class EntryAnswer(BaseModel):
    """One change: its number, when it happened, what kind, to what, by whom, and its facts."""

    number: int
    at: datetime
    kind: str
    subject: str
    actor: str
    body: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> EntryAnswer:
        """The entry as JSON."""
        return cls(
            number=entry.number,
            at=entry.at,
            kind=entry.kind,
            subject=entry.subject,
            actor=entry.actor,
            body=entry.body,
        )


@router.get("/events", responses=refusals(422))
async def events(
    caller: Viewer,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 500,
) -> list[EntryAnswer]:
    """The journal after a number, in order, without gaps."""
    async with caller.reading() as connection:
        return [EntryAnswer.of(entry) for entry in await journal.read(connection, after=after, limit=limit)]


@router.get("/audit", responses=refusals(422))
async def list_audit(
    caller: Supervisor,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
    before: Id | None = None,
) -> list[AuditEntry]:
    """Who did what, the newest first."""
    async with caller.reading() as connection:
        return await audit.newest(connection, limit=limit, before=before)
