"""The exercise panel: scenarios of the simulated town, where one runs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from gashub import topics
from gashub.errors import Conflict, Unavailable

from ..errors import refusals
from ..hub import Operator, Viewer

router = APIRouter(tags=["simulation"])


class SimulationAnswer(BaseModel):
    """Whether a simulated town runs, what it can play, and what it plays now."""

    running: bool
    scenarios: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []


class SimulationCommand(BaseModel):
    """Play a scenario, or end all that is played."""

    model_config = ConfigDict(extra="forbid")
    scenario: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")] | None = None
    heal: Annotated[str, StringConstraints(pattern=r"^all$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> SimulationCommand:
        if (self.scenario is None) == (self.heal is None):
            raise ValueError('give either a scenario or "heal": "all"')
        return self


@router.get("/simulation")
async def simulation(caller: Viewer) -> SimulationAnswer:
    """The simulated town, if there is one."""
    state = caller.hub.live.simulation
    if state is None:
        return SimulationAnswer(running=False)
    return SimulationAnswer(running=True, scenarios=state.get("scenarios", []), truth=state.get("truth", []))


@router.post("/simulation/commands", status_code=202, responses=refusals(400, 409, 413, 422))
async def command(caller: Operator, body: SimulationCommand) -> SimulationAnswer:
    """Start a scenario in the simulated town, or heal it."""
    state = caller.hub.live.simulation
    if state is None:
        raise Conflict("starting a scenario", "no simulated town is running", ["gashub simulate"])
    names = [scenario.get("name") for scenario in state.get("scenarios", [])]
    if body.scenario is not None and body.scenario not in names:
        raise Conflict(f"scenario {body.scenario}", "it is not one the town knows", [str(name) for name in names])
    payload = msgspec.json.encode(body.model_dump(exclude_none=True))
    async with caller.acting("simulation_command", "simulation", **body.model_dump(exclude_none=True)):
        if not await caller.hub.live.publish(topics.SIM_COMMAND, payload):
            raise Unavailable("the broker is away; try again")
    return await simulation(caller)
