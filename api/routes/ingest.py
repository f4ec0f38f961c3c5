"""What ingest took in, rejected, and does not know: the loss ledger, dead letters, and devices to enrol."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ingest import queries
from ingest.queries import DeadLetterRow, LedgerRow, UnknownBlock

from ..errors import refusals
from ..hub import Id, Viewer

router = APIRouter(prefix="/ingest", tags=["ingest"])


@router.get("/ledger")
async def ledger(caller: Viewer) -> list[LedgerRow]:
    """Per gateway, boot and lane: what was sent, stored and rejected."""
    async with caller.reading() as connection:
        return await queries.ledger(connection)


@router.get("/dead-letters", responses=refusals(422))
async def dead_letters(
    caller: Viewer,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    before: Id | None = None,
) -> list[DeadLetterRow]:
    """Messages that could not be stored, with the reason, the newest first."""
    async with caller.reading() as connection:
        return await queries.dead_letters(connection, limit, before)


@router.get("/unknown-blocks")
async def unknown_blocks(caller: Viewer) -> list[UnknownBlock]:
    """Blocks that sent readings and are not in the registry: held back until they are enrolled."""
    async with caller.reading() as connection:
        return await queries.unknown_blocks(connection)
