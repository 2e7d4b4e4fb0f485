"""Health: is the process alive, and can it do its work?"""

import asyncio

import structlog
from fastapi import APIRouter, Response

from api.answers import answer
from api.context import Context, Doors
from api.docs import refuses
from api.problems import catalogue
from domain.errors import NotFound

routes = APIRouter(tags=["health"])

log = structlog.get_logger()

_PATIENCE_S = 3
# A load balancer does not wait for long, and must not take usage away because Temporal does not even refuse.
_TEMPORAL_PATIENCE_S = 1
_OPEN = {"security": list[str]()}


@routes.get("/healthz", openapi_extra=_OPEN)
async def healthz() -> Response:
    """The process answers."""
    return answer({"status": "ok"})


@routes.get("/readyz", openapi_extra=_OPEN)
async def readyz(context: Doors) -> Response:
    """Whether requests may be sent here, and which room answers.

    Without the database nothing works: 503. Without Temporal usage, checks and reads go on, and verbs answer 503 each by
    itself: `degraded`, and still ready.
    """
    rooms = {"database": _asks_database(context), "temporal": _asks_temporal(context)}
    found = await asyncio.gather(*rooms.values(), return_exceptions=True)
    states = {room: "ok" if said is None else "unreachable" for room, said in zip(rooms, found, strict=True)}
    status = "ok" if set(states.values()) == {"ok"} else "degraded"
    if states["database"] != "ok":
        return answer({"status": "unavailable", **states}, 503)
    return answer({"status": status, **states})


@routes.get("/problems/{code}", openapi_extra=_OPEN, responses=refuses("not_found"))
async def get_problem(code: str) -> Response:
    """What a problem's `type` refers to."""
    found = next((one for one in catalogue() if one[1] == code), None)
    if found is None:
        raise NotFound(f"no problem {code}")
    status, code, meaning = found
    return answer({"code": code, "status": status, "meaning": meaning})


async def _asks_database(context: Context) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        await context.pool.fetch("SELECT 1")


async def _asks_temporal(context: Context) -> None:
    async with asyncio.timeout(_TEMPORAL_PATIENCE_S):
        await context.temporal.service_client.check_health()
