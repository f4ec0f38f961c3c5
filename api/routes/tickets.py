"""Repair tickets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dispatch import actions, queries, steps
from dispatch.queries import Ticket, TicketStep
from dispatch.steps import Need, Step

from ..columns import columns
from ..errors import refusals
from ..hub import Id, Operator, Viewer

router = APIRouter(tags=["tickets"])


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketAnswer(Ticket):
    """A ticket with its steps so far, those that the caller may take next, and what each of them must be told.

    A need called `note` is the step's note; any other is a key of the step's body.
    """

    steps: list[TicketStep]
    allowed_steps: list[Step]
    step_needs: dict[Step, list[Need]]


class NextStep(BaseModel):
    """A step to take; some steps need facts in `body` (see the ticket's `allowed_steps`)."""

    model_config = ConfigDict(extra="forbid")
    step: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    note: Annotated[str, StringConstraints(max_length=2_000)] = ""
    body: dict[str, Any] = Field(default_factory=dict, max_length=50)


@router.get("/tickets", responses=refusals(422))
async def list_tickets(caller: Viewer, open: bool = True) -> list[Ticket]:  # noqa: A002 - the query's name
    """Tickets, those whose clock runs out first at the top."""
    async with caller.reading() as connection:
        return await queries.tickets(connection, open_only=open)


@router.get("/tickets/{ticket_id}", responses=refusals(404, 422))
async def show_ticket(caller: Viewer, ticket_id: Id) -> TicketAnswer:
    """One ticket."""
    async with caller.reading() as connection:
        found = await queries.ticket(connection, ticket_id)
    next_steps = steps.allowed(actions.standing_of(columns(found.ticket)), caller.role, actor=caller.name)
    return TicketAnswer(
        **columns(found.ticket),
        steps=found.steps,
        allowed_steps=next_steps,
        step_needs={step: list(steps.RULES[step].needs) for step in next_steps},
    )


@router.post("/tickets/{ticket_id}/steps", responses=refusals(400, 404, 409, 413, 422))
async def take_step(caller: Operator, ticket_id: Id, body: NextStep) -> TicketAnswer:
    """Take a ticket one step further."""
    async with caller.acting("ticket_step", f"ticket:{ticket_id}", step=body.step) as connection:
        await actions.step(
            connection,
            ticket_id,
            body.step,
            actor=caller.name,
            role=caller.role,
            now=caller.now,
            note=body.note,
            body=body.body,
        )
    return await show_ticket(caller, ticket_id)
