"""Unsold: usage that was taken and that nobody will ever bill, for whoever asks where the money is."""

from typing import Annotated

from fastapi import Query, Response

from api import showing, shown
from api.access import Calling
from api.answers import answer, instant_asked
from api.context import Doors
from api.docs import says
from api.endpoint import router
from domain.metering import USAGE_MAX_AGE
from store.lists import LARGEST_PAGE
from store.unsold_usage import unsold_usage

routes = router("usage")

_EXAMPLE = {
    "data": [
        {
            "customer": "ada",
            "type": "court.booked",
            "meters": ["court_hours"],
            "events": 3,
            "first_at": "2026-02-03T17:00:00Z",
            "last_at": "2026-02-04T08:00:00Z",
        }
    ]
}


@routes.get("/v1/usage/unsold", responses=says(shown.UnsoldUsages, _EXAMPLE))
async def get_unsold_usage(
    context: Doors,
    call: Calling,
    customer: str | None = None,
    since: Annotated[str | None, Query(alias="from", description="Instant or date in UTC; 35 days ago.")] = None,
    until: Annotated[str | None, Query(alias="to", description="Instant or date in UTC, not included; now.")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at most.")] = 50,
) -> Response:
    """Usage that was accepted though its customer had bought nothing that counts it at its time, by customer and type.

    The latest first. What a later sale covers is still not billed: an offer counts from its activation.
    """
    starts_at = instant_asked(since, "from") or call.at - USAGE_MAX_AGE
    ends_at = instant_asked(until, "to") or call.at + context.usage_max_ahead
    found = await unsold_usage(context.pool, starts_at, ends_at, customer=customer, limit=limit)
    rows: list[shown.UnsoldUsage] = [
        {
            "customer": one.customer,
            "type": one.type,
            "meters": list(one.meters),
            "events": one.events,
            "first_at": showing.instant(one.first_at),
            "last_at": showing.instant(one.last_at),
        }
        for one in found
    ]
    return answer({"data": rows})
