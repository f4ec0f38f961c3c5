"""What points show now and have shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from gashub.errors import InvalidValue, NotFound
from gashub.quality import Reason, Severity, reason_of, severity_of
from ingest import queries
from ingest.queries import Latest

from ..errors import refusals
from ..hub import Caller, Viewer

router = APIRouter(tags=["points"])
PointId = Annotated[int, Field(ge=8, lt=2**31)]


class LatestAnswer(BaseModel):
    """A point's newest stored reading, with its age by the hub's clock, so that an old value is never taken for new."""

    point_id: int
    measured_at: datetime
    value: float | None
    quality: int
    severity: str
    reason: str
    age_s: float

    @classmethod
    def of(cls, row: Latest, now: datetime) -> LatestAnswer:
        """The reading in words."""
        return cls(
            point_id=row.point_id,
            measured_at=row.measured_at,
            value=row.value,
            quality=row.quality,
            severity=Severity(severity_of(row.quality)).name.lower(),
            reason=Reason(reason_of(row.quality)).name.lower(),
            age_s=(now - row.measured_at).total_seconds(),
        )


class TrendAnswer(BaseModel):
    """A point over time at the resolution of a screen: for each bucket the envelope, the mean and the worst quality.

    Buckets without a value are null, so that a gap is drawn as a gap.
    """

    point_id: int
    start: datetime
    end: datetime
    t_ms: list[int]
    minimum: list[float | None]
    maximum: list[float | None]
    mean: list[float | None]
    last: list[float | None]
    quality: list[int]
    count: list[int]


def known(request: Request, point_ids: list[int]) -> None:
    """Raise NotFound for the first point the registry does not have."""
    for point_id in point_ids:
        if point_id not in request.app.state.plant.copy.points:
            raise NotFound("point", point_id)


async def _latest(caller: Caller, point_ids: list[int]) -> list[LatestAnswer]:
    async with caller.reading() as connection:
        rows = await queries.latest(connection, point_ids)
    now = caller.now
    return [LatestAnswer.of(row, now) for row in rows]


@router.get("/latest", responses=refusals(404, 422))
async def latest(
    caller: Viewer, request: Request, point: Annotated[list[PointId], Query(min_length=1, max_length=10_000)]
) -> list[LatestAnswer]:
    """The newest stored readings of any points; those never stored are left out."""
    known(request, point)
    return await _latest(caller, point)


@router.get("/points/{point_id}/latest", responses=refusals(404, 422))
async def point_latest(caller: Viewer, request: Request, point_id: PointId) -> LatestAnswer:
    """The newest stored reading of one point."""
    known(request, [point_id])
    rows = await _latest(caller, [point_id])
    if not rows:
        raise NotFound("reading of point", point_id)
    return rows[0]


@router.get("/points/{point_id}/trend", responses=refusals(404, 422))
async def trend(
    caller: Viewer,
    request: Request,
    point_id: PointId,
    start: AwareDatetime,
    end: AwareDatetime,
    buckets: Annotated[int, Query(ge=1, le=5_000)] = 500,
) -> TrendAnswer:
    """A point's course from `start` to `end` in `buckets` equal parts."""
    known(request, [point_id])
    checked_span(start, end)
    async with caller.reading() as connection:
        found = await queries.trend(connection, point_id, start, end, buckets)
    return TrendAnswer(
        point_id=point_id,
        start=start,
        end=end,
        t_ms=[int(value) for value in found.t_ms],
        minimum=numbers(found.minimum),
        maximum=numbers(found.maximum),
        mean=numbers(found.mean),
        last=numbers(found.last),
        quality=[int(value) for value in found.quality_worst],
        count=[int(value) for value in found.count],
    )


def checked_span(start: datetime, end: datetime) -> None:
    """Raise InvalidValue unless the span is one that can be asked for."""
    if not (start.year >= 1970 and end.year < 2200 and start < end):
        raise InvalidValue("end must come after start, both between 1970 and 2200")


def numbers(column: object) -> list[float | None]:
    """A numpy column as JSON numbers; NaN becomes null."""
    return [None if value is None or value != value else float(value) for value in column]  # type: ignore[attr-defined]
