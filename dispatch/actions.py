"""What people do with tickets and notices. Each action is one transaction, or part of the caller's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from gashub import journal
from gashub.config import HubConfig
from gashub.errors import Conflict, InvalidValue, NotAllowed, NotFound
from gashub.roles import Role

from . import queries
from .notice_text import Facts, Occasion
from .notices import Version, tell, write_version
from .steps import NOTE_LIMIT, Need, Standing, State, Step, apply
from .tickets import record_step

_LONGEST: Final = timedelta(days=366)
_STAMP: Final[Mapping[Step, str]] = {
    Step.ON_SITE: "on_site_at",
    Step.MADE_SAFE: "made_safe_at",
    Step.TESTED: "tested_at",
    Step.REVISITED: "revisited_at",
}


async def step(
    connection: AsyncConnection[Any],
    ticket_id: int,
    step: str,
    *,
    actor: str,
    role: str,
    now: datetime,
    note: str = "",
    body: Mapping[str, Any] | None = None,
) -> queries.TicketDetail:
    """Take a step of `steps.RULES` with a ticket, and return the ticket as it then is.

    Raises NotFound, and what `steps.apply` raises.
    """
    taken, told = _known_step(step), dict(body or {})
    async with connection.transaction():
        row = await _locked(connection, "ticket", ticket_id)
        before = standing_of(row)
        after = apply(before, taken, actor=actor, role=Role(role), note=note, body=told)
        await _update_ticket(connection, row, taken, after, told, now)
        await record_step(
            connection,
            ticket_id,
            step=taken,
            from_state=before.state,
            to_state=after.state,
            at=now,
            actor=actor,
            note=note,
            body=told,
        )
        await _tell_step(connection, row, taken, before, after, actor=actor, now=now, note=note)
        return await queries.ticket(connection, ticket_id)


def standing_of(row: Mapping[str, Any]) -> Standing:
    """What the machine must know of a ticket's row."""
    held_from = row["held_from"]
    return Standing(
        state=State(row["state"]),
        emergency=row["urgency"] == "emergency",
        held_from=None if held_from is None else State(held_from),
        false_alarm_by=row["false_alarm_by"],
    )


async def notice_amend(
    connection: AsyncConnection[Any],
    notice_id: int,
    *,
    config: HubConfig,
    actor: str,
    role: str,
    now: datetime,
    reason: str,
    expected_end_at: datetime | None = None,
) -> queries.NoticeDetail:
    """Say anew what an issued notice says, with a reason, and where given a new expected end.

    Raises NotFound, NotAllowed, Conflict if the notice is not issued, InvalidValue for an end in the past or over a
    year away.
    """
    _check_role("amending a notice", role)
    _check_reason(reason)
    if expected_end_at is not None:
        _check_to_come("expected_end_at", expected_end_at, now)
    async with connection.transaction():
        row = await _locked(connection, "notice", notice_id)
        _check_state(row, "amending the notice", "issued")
        row["expected_end_at"] = expected_end_at or row["expected_end_at"]
        await _say(connection, row, Occasion.AMENDED, row["expected_end_at"], reason, config, actor=actor, now=now)
        await tell(connection, "notice_amended", row, actor=actor, now=now, version=row["version"], reason=reason)
        return await queries.notice(connection, notice_id)


async def notice_restore(
    connection: AsyncConnection[Any],
    notice_id: int,
    *,
    config: HubConfig,
    actor: str,
    role: str,
    now: datetime,
    service_points: Sequence[str] | None = None,
) -> queries.NoticeDetail:
    """Record that service points (all that are left, if none are named) have gas again; once all have, say so.

    Raises NotFound, NotAllowed, InvalidValue for service points the notice does not list, and Conflict if it is not
    issued or the ticket's tightness test has not passed.
    """
    _check_role("restoring supply", role)
    async with connection.transaction():
        row = await _locked(connection, "notice", notice_id)
        _check_state(row, "restoring supply", "issued")
        await _check_tested(connection, row["ticket_id"])
        restored = await _mark_restored(connection, notice_id, service_points, now)
        left = await _count_without_gas(connection, notice_id)
        if left == 0:
            row["state"], row["restored_at"] = "restored", now
            await _say(connection, row, Occasion.RESTORED, now, "", config, actor=actor, now=now)
        await tell(
            connection, "notice_restored", row, actor=actor, now=now, service_points=restored, service_points_left=left
        )
        return await queries.notice(connection, notice_id)


async def notice_withdraw(
    connection: AsyncConnection[Any],
    notice_id: int,
    *,
    config: HubConfig,
    actor: str,
    role: str,
    now: datetime,
    reason: str,
) -> queries.NoticeDetail:
    """Take back an issued notice: nobody loses supply after all. Raises as `notice_amend` does."""
    _check_role("withdrawing a notice", role, Role.SUPERVISOR)
    _check_reason(reason)
    async with connection.transaction():
        row = await _locked(connection, "notice", notice_id)
        _check_state(row, "withdrawing the notice", "issued")
        row["state"], row["closed_at"] = "withdrawn", now
        await _say(connection, row, Occasion.WITHDRAWN, row["expected_end_at"], reason, config, actor=actor, now=now)
        await tell(connection, "notice_withdrawn", row, actor=actor, now=now, version=row["version"], reason=reason)
        return await queries.notice(connection, notice_id)


async def notice_close(
    connection: AsyncConnection[Any], notice_id: int, *, actor: str, role: str, now: datetime
) -> queries.NoticeDetail:
    """Finish a notice whose customers all have gas again. Raises NotFound, NotAllowed, Conflict."""
    _check_role("closing a notice", role)
    async with connection.transaction():
        row = await _locked(connection, "notice", notice_id)
        _check_state(row, "closing the notice", "restored")
        await connection.execute("UPDATE notice SET state = 'closed', closed_at = %s WHERE id = %s", (now, notice_id))
        await tell(connection, "notice_closed", row, actor=actor, now=now)
        return await queries.notice(connection, notice_id)


def _known_step(name: str) -> Step:
    try:
        return Step(name)
    except ValueError:
        raise InvalidValue(f"step {name!r} is none of {', '.join(Step)}") from None


def _check_role(what: str, role: str, least: Role = Role.OPERATOR) -> None:
    if not Role(role).is_at_least(least):
        raise NotAllowed(what, f"role {least}")


def _check_to_come(what: str, moment: datetime, now: datetime) -> None:
    if moment.tzinfo is None or not now < moment <= now + _LONGEST:
        raise InvalidValue(f"{what}: needs a time to come, with its zone, within {_LONGEST.days} days")


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= NOTE_LIMIT:
        raise InvalidValue(f"reason: needs a text of 1 to {NOTE_LIMIT} characters")


def _check_state(notice: Mapping[str, Any], what: str, needed: str) -> None:
    possible = {"issued": ["amend", "restore", "withdraw"], "restored": ["close"]}
    if notice["state"] != needed:
        raise Conflict(what, notice["state"], possible.get(notice["state"], []))


async def _check_tested(connection: AsyncConnection[Any], ticket_id: int) -> None:
    cursor = await connection.execute("SELECT state, tested_at FROM ticket WHERE id = %s", (ticket_id,))
    found = await cursor.fetchone()
    assert found is not None
    if found[1] is None:
        raise Conflict("restoring supply", f"ticket {found[0]}", [Step.TESTED])


async def _locked(connection: AsyncConnection[Any], table: str, key: int) -> dict[str, Any]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(sql.SQL("SELECT * FROM {} WHERE id = %s FOR UPDATE").format(sql.Identifier(table)), (key,))
        row = await cursor.fetchone()
    if row is None:
        raise NotFound(table, key)
    return row


async def _update_ticket(
    connection: AsyncConnection[Any],
    row: Mapping[str, Any],
    taken: Step,
    after: Standing,
    told: Mapping[str, Any],
    now: datetime,
) -> None:
    changes: dict[str, Any] = {
        "state": after.state,
        "held_from": after.held_from,
        # A false alarm that is confirmed keeps the name of who proposed it.
        "false_alarm_by": after.false_alarm_by,
        "crew": told.get(Need.CREW, row["crew"]) if taken in (Step.DISPATCHED, Step.REASSIGNED) else row["crew"],
        "postponed_until": told[Need.UNTIL] if taken is Step.POSTPONED else row["postponed_until"],
        "closed_at": now if after.state.is_final else None,
    }
    if taken in _STAMP:
        changes[_STAMP[taken]] = now
    if taken is Step.RESUMED:
        changes["postponed_until"] = None
    query = sql.SQL("UPDATE ticket SET {} WHERE id = %s").format(
        sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in changes)
    )
    await connection.execute(query, [*changes.values(), row["id"]])


async def _tell_step(
    connection: AsyncConnection[Any],
    row: Mapping[str, Any],
    taken: Step,
    before: Standing,
    after: Standing,
    *,
    actor: str,
    now: datetime,
    note: str,
) -> None:
    await journal.append(
        connection,
        at=now,
        kind="ticket_step",
        subject=f"ticket:{row['id']}",
        actor=actor,
        body={
            "ticket": row["id"],
            "number": row["number"],
            "incident": row["incident_id"],
            "zone": row["zone"],
            "step": taken,
            "from": before.state,
            "to": after.state,
            "note": note,
        },
    )


async def _say(
    connection: AsyncConnection[Any],
    row: dict[str, Any],
    occasion: Occasion,
    end_at: datetime,
    reason: str,
    config: HubConfig,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Write the next version of a notice from its changed row, and the row."""
    row["version"] += 1
    await connection.execute(
        "UPDATE notice SET state = %s, version = %s, expected_end_at = %s, restored_at = %s, closed_at = %s "
        "WHERE id = %s",
        (row["state"], row["version"], row["expected_end_at"], row["restored_at"], row["closed_at"], row["id"]),
    )
    zones, whole = await _zones(connection, row["id"])
    facts = Facts(
        number=row["number"],
        version=row["version"],
        kind=row["kind"],
        zones=zones,
        whole=whole,
        customers_by_class=row["customers_by_class"],
        start=row["starts_at"],
        end=end_at,
        change=reason,
    )
    cursor = await connection.execute(
        "SELECT service_point_id FROM notice_service_point WHERE notice_id = %s AND restored_at IS NULL "
        "ORDER BY position",
        (row["id"],),
    )
    without_gas = [found[0] for found in await cursor.fetchall()]
    version = Version(occasion=occasion, facts=facts, service_points=without_gas, actor=actor, at=now)
    await write_version(connection, row["id"], version, config)


async def _zones(connection: AsyncConnection[Any], notice_id: int) -> tuple[list[dict[str, str]], bool]:
    """As `notices.zones_of`, from the database."""
    cursor = await connection.execute(
        "SELECT z.name_en, z.name_zh, count(n.service_point_id), count(*) FROM service_point s "
        "JOIN zone z ON z.id = s.zone "
        "LEFT JOIN notice_service_point n ON n.service_point_id = s.id AND n.notice_id = %s "
        "GROUP BY z.id HAVING count(n.service_point_id) > 0 ORDER BY 3 DESC, z.id",
        (notice_id,),
    )
    found = await cursor.fetchall()
    return [{"en": en, "zh": zh} for en, zh, _, _ in found], all(listed == every for _, _, listed, every in found)


async def _mark_restored(
    connection: AsyncConnection[Any], notice_id: int, service_points: Sequence[str] | None, now: datetime
) -> list[str]:
    """Mark those named that are still without gas; returns them."""
    named = None if service_points is None else list(service_points)
    if named is not None:
        cursor = await connection.execute(
            "SELECT service_point_id FROM notice_service_point WHERE notice_id = %s AND service_point_id = ANY (%s)",
            (notice_id, named),
        )
        if unlisted := sorted(set(named) - {row[0] for row in await cursor.fetchall()}):
            raise InvalidValue(f"service_points: not in this notice: {', '.join(unlisted[:20])}")
    cursor = await connection.execute(
        "UPDATE notice_service_point SET restored_at = %s WHERE notice_id = %s AND restored_at IS NULL "
        "AND (%s::text[] IS NULL OR service_point_id = ANY (%s)) RETURNING service_point_id",
        (now, notice_id, named, named),
    )
    return sorted(row[0] for row in await cursor.fetchall())


async def _count_without_gas(connection: AsyncConnection[Any], notice_id: int) -> int:
    cursor = await connection.execute(
        "SELECT count(*) FROM notice_service_point WHERE notice_id = %s AND restored_at IS NULL", (notice_id,)
    )
    row = await cursor.fetchone()
    assert row is not None
    count: int = row[0]
    return count
