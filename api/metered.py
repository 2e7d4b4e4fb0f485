"""Metered: what a meter counted for a customer, window by window, on the clock of the customer's zone."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query, Response

from api import showing, shown
from api.access import Calling
from api.answers import answer
from api.bodies import instant
from api.context import Doors
from api.customers import named
from api.docs import says
from api.endpoint import router
from api.reading import Loc, invalid
from domain.calendar import Cadence, Interval, first_instant, local_day
from domain.catalog import Meter
from domain.errors import FieldError, InvalidInput, NotFound
from domain.money import plain
from store.naming import known_meters
from store.usage import UsageWindow, usage_by_window

routes = router("usage")

Window = Literal["hour", "day", "month"]

MOST_WINDOWS = 1000
_SPAN = timedelta(days=30)
_HOUR = timedelta(hours=1)
_EXAMPLE = {
    "data": [
        {
            "start": "2026-02-02T23:00:00Z",
            "end": "2026-02-03T23:00:00Z",
            "group": {"court": "1"},
            "quantity": "1.5",
            "events": 1,
        }
    ]
}


@routes.get("/v1/usage", responses=says(shown.Windows, _EXAMPLE, codes="not_found invalid_input"))
async def get_usage(
    context: Doors,
    call: Calling,
    customer: str,
    meter: str,
    starts: Annotated[str | None, Query(alias="from", description="Instant or date; 30 days before `to`.")] = None,
    ends: Annotated[str | None, Query(alias="to", description="Instant or date, not included; now.")] = None,
    window: Window = "day",
    group_by: Annotated[str | None, Query(description="Properties of the meter's `group_by`, by commas.")] = None,
) -> Response:
    """What a meter counted, in windows that begin at local midnight, hour or month; windows without use are left out."""
    who = await named(context, call, customer)
    counted = next((one for one in await known_meters(context.pool) if one.key == meter), None)
    if counted is None:
        raise NotFound(f"no meter {meter}")
    ends_at = call.at if ends is None else _instant(ends, "to", who.timezone)
    starts_at = ends_at - _SPAN if starts is None else _instant(starts, "from", who.timezone)
    edges = _edges(starts_at, ends_at, window, who.timezone)
    dimensions = _dimensions(group_by, counted)
    windows = await usage_by_window(context.pool, who.id, meter, edges, dimensions)
    return answer({"data": [_shown(window, dimensions) for window in windows]})


def _shown(window: UsageWindow, dimensions: tuple[str, ...]) -> shown.Window:
    return {
        "start": showing.instant(window.starts_at),
        "end": showing.instant(window.ends_at),
        "group": dict(zip(dimensions, window.group, strict=True)) if dimensions else None,
        "quantity": plain(window.quantity),
        "events": window.events,
    }


def _edges(starts_at: datetime, ends_at: datetime, window: Window, timezone: str) -> list[datetime]:
    """The instants that cut `[starts_at, ends_at)`; the first and last window are as long as what was asked for."""
    if not starts_at < ends_at:
        raise invalid([FieldError(("from",), "must lie before `to`")])
    edges = [starts_at]
    for edge in _boundaries(starts_at, window, timezone):
        if edge >= ends_at:
            break
        if edge > starts_at:
            edges.append(edge)
        if len(edges) > MOST_WINDOWS:
            raise invalid([FieldError(("window",), f"makes more than {MOST_WINDOWS} windows; choose a longer one")])
    return [*edges, ends_at]


def _boundaries(starts_at: datetime, window: Window, timezone: str) -> Iterator[datetime]:
    first = local_day(starts_at, timezone)
    months = Cadence(Interval.MONTH, 1, date(first.year, first.month, 1), 1)
    for k in range(100_000):
        match window:
            case "hour":
                yield first_instant(first, timezone) + k * _HOUR
            case "day":
                yield first_instant(first + timedelta(days=k), timezone)
            case "month":
                yield first_instant(months.boundary(k), timezone)


def _dimensions(group_by: str | None, meter: Meter) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(name for name in (group_by or "").split(",") if name))
    unknown = [name for name in wanted if name not in meter.group_by]
    if unknown:
        known = ", ".join(meter.group_by) or "none"
        raise invalid([FieldError(("group_by",), f"meter {meter.key} has no {', '.join(unknown)}; there are: {known}")])
    return wanted


def _instant(text: str, name: str, timezone: str) -> datetime:
    """An instant, or a date: its first instant in the customer's zone."""
    loc: Loc = (name,)
    try:
        found = first_instant(date.fromisoformat(text), timezone) if len(text) == 10 else instant(text, loc)
    except (ValueError, OverflowError, InvalidInput):
        raise invalid([FieldError(loc, "must be a date, or an RFC 3339 instant with an offset")]) from None
    if not 1970 <= found.year <= 2200:
        raise invalid([FieldError(loc, "must lie between 1970 and 2200")])
    return found
