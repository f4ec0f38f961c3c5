"""Accounts: who takes gas where, and how much. Names and telephone numbers are masked for viewers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from gashub.roles import Role
from metering import queries
from metering.consumption import Step
from metering.queries import Account, Index, Meter, Readings

from ..columns import columns
from ..errors import refusals
from ..hub import Caller, Viewer
from .points import checked_span

router = APIRouter(tags=["accounts"])


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAnswer(Account):
    """An account with its meters, past ones too, and what each shows now."""

    meter_list: list[Meter]
    indexes: list[Index]


def _sees_names(caller: Caller) -> bool:
    return caller.role.is_at_least(Role.OPERATOR)


def _shown(caller: Caller, account: Account) -> Account:
    return account if _sees_names(caller) else queries.masked(account)


@router.get("/accounts", responses=refusals(422))
async def list_accounts(
    caller: Viewer,
    search: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
) -> list[Account]:
    """Accounts by id, service point or name (viewers do not search by name); those metered live first."""
    async with caller.reading() as connection:
        found = await queries.accounts(connection, search, by_name=_sees_names(caller), limit=limit)
    return [_shown(caller, account) for account in found]


@router.get("/accounts/{account_id}", responses=refusals(404, 422))
async def show_account(caller: Viewer, account_id: str) -> AccountAnswer:
    """One account."""
    async with caller.reading() as connection:
        found = await queries.account(connection, account_id)
    return AccountAnswer(**columns(_shown(caller, found.account)), meter_list=found.meters, indexes=found.indexes)


@router.get("/accounts/{account_id}/readings", responses=refusals(404, 422))
async def account_readings(
    caller: Viewer, account_id: str, start: AwareDatetime, end: AwareDatetime, step: Step = Step.HOUR
) -> list[Readings]:
    """What an account used, by hour or by gas day, at each service point that is metered live."""
    checked_span(start, end)
    hub = caller.hub.config.hub
    async with caller.reading() as connection:
        return await queries.readings(
            connection, account_id, start, end, step, timezone=hub.zone_info, gas_day_hour=hub.gas_day_hour
        )
