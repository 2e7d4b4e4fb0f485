"""Usage: events in, one answer per batch that says what became of each; and what the meters counted.

    batch ──shape──► customer ──► meter, its value and price ──► age ──► stored, in one statement; then answered
      └─ each event alone may be rejected with a code; the others go on

No workflow is asked: usage is taken while Temporal is down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Query, Request, Response

from api import showing, shown
from api.access import Calling
from api.answers import Paged, answer
from api.bodies import read_json, unstorable
from api.cloud_events import CloudEvent, read_event
from api.context import Context, Doors
from api.docs import says
from api.endpoint import router
from api.metrics import USAGE
from api.reading import invalid
from api.showing import Shown
from domain.acceptance import refusal
from domain.errors import FieldError, InFuture, Refused, TooOld, UnknownCustomer
from store.lists import list_refused_usage
from store.naming import customers_named
from store.refused_usage import Refusal, RefusedUsage, note
from store.sold_usage import SoldUsage, sold_usage
from store.usage import StoredEvent, record

routes = router("usage")

MOST_EVENTS = 10_000

_SENT: list[Shown] = [
    {
        "specversion": "1.0",
        "id": "e1",
        "source": "door-3",
        "type": "pool.entered",
        "subject": "ada",
        "time": "2026-02-03T17:00:00Z",
        "data": {},
    }
]
_TAKES: Shown = {
    "requestBody": {
        "required": True,
        "description": "CloudEvents 1.0: a batch, or one event. `subject` is the customer, by id or key.",
        "content": {
            "application/cloudevents-batch+json": {"example": _SENT},
            "application/cloudevents+json": {"example": _SENT[0]},
            "application/json": {"example": _SENT},
        },
    }
}
_EXAMPLE = {
    "accepted": 1,
    "duplicates": 0,
    "rejected": [{"index": 1, "id": "e2", "code": "unknown_customer", "detail": "no customer bob"}],
}

_REFUSED = {
    "subject": "bob",
    "type": "pool.entered",
    "code": "unknown_customer",
    "times": 3,
    "first_at": "2026-02-03T17:00:00Z",
    "last_at": "2026-02-04T08:00:00Z",
    "last_id": "e2",
    "detail": "no customer bob",
}


@dataclass(slots=True)
class _Batch:
    """A batch on its way: what may be stored, and what may not, by place."""

    fit: list[StoredEvent]
    rejected: list[tuple[int, str | None, Refused]]
    refusals: list[Refusal]

    def shown(self, new: Sequence[bool]) -> shown.Taken:
        return {
            "accepted": sum(new),
            "duplicates": len(new) - sum(new),
            "rejected": [
                {"index": index, "id": name, "code": why.code, "detail": why.detail}
                for index, name, why in sorted(self.rejected, key=lambda one: one[0])
            ],
        }


@routes.post("/v1/usage", status_code=202, openapi_extra=_TAKES, responses=says(shown.Taken, _EXAMPLE, status=202))
async def take_usage(request: Request, context: Doors, call: Calling) -> Response:
    """Store usage events. What is answered as accepted is on disk; an event that was sent before is a duplicate.

    What is rejected is told here with its reason. What is an event at all is found again under `/v1/usage/refused`; what is
    malformed is not kept, so its answer is all there is.
    """
    content = read_json(await request.body(), strict=False)
    events = cast("list[object]", content) if isinstance(content, list) else [content]
    if not events or len(events) > MOST_EVENTS:
        raise invalid([FieldError((), f"must be 1 to {MOST_EVENTS} events")])
    batch = await _sorted_out(context, events, call)
    new = await record(context.pool, batch.fit, call.at)
    await note(context.pool, batch.refusals, call.at)
    taken = batch.shown(new)
    USAGE.labels("accepted").inc(taken["accepted"])
    USAGE.labels("duplicate").inc(taken["duplicates"])
    USAGE.labels("rejected").inc(len(taken["rejected"]))
    return answer(taken, 202)


@routes.get(
    "/v1/usage/refused", responses=says(shown.Page[shown.RefusedUsage], {"data": [_REFUSED], "next_cursor": None})
)
async def get_refused_usage(
    context: Doors,
    asked: Paged,
    code: str | None = None,
    subject: Annotated[str | None, Query(description="As it was sent.")] = None,
    type: Annotated[str | None, Query(description="The type of the events.")] = None,
) -> Response:
    """What was sent and could not be counted, by subject, type and reason: mend the cause, and send it again.

    `last_id` and `detail` are the latest's. Kept are the latest 10000 rows, for 35 days: what is older could not be sent again.
    Malformed events are not kept.
    """
    page = await list_refused_usage(context.engine, asked, code=code, subject=subject, type=type)
    return answer(showing.page(map(_refused, page.data), page.next_cursor))


def _refused(usage: RefusedUsage) -> shown.RefusedUsage:
    return {
        "subject": usage.subject,
        "type": usage.type,
        "code": usage.code,
        "times": usage.times,
        "first_at": showing.instant(usage.first_at),
        "last_at": showing.instant(usage.last_at),
        "last_id": usage.last_id,
        "detail": usage.detail,
    }


async def _sorted_out(context: Context, events: Sequence[object], call: Calling) -> _Batch:
    """What may be stored, each event judged by itself."""
    batch = _Batch([], [], [])
    read: list[tuple[int, CloudEvent]] = []
    for index, event in enumerate(events):
        found = read_event(event, call.at)
        if isinstance(found, CloudEvent):
            read.append((index, found))
        else:
            batch.rejected.append((index, _id(event), found))
    customers = await customers_named(context.pool, (event.subject for _, event in read))
    types = {event.type for _, event in read if event.subject in customers}
    counting = await sold_usage(context.pool, customers.values(), types) if types else SoldUsage({}, ())
    for index, event in read:
        customer_id = customers.get(event.subject)
        if customer_id is None:
            wrong = UnknownCustomer(f"no customer {event.subject}")
        else:
            sold = counting.sold.get(customer_id, ())
            wrong = refusal(event.type, event.time, event.data, sold=sold, offered=counting.offered)
            wrong = wrong or _age_problem(context, event, call)
        if wrong is None and customer_id is not None:
            batch.fit.append(event.stored(customer_id))
        elif wrong is not None:
            batch.rejected.append((index, event.id, wrong))
            about = Refusal(subject=event.subject, type=event.type, code=wrong.code, id=event.id, detail=wrong.detail)
            batch.refusals.append(about)
    return batch


def _age_problem(context: Context, event: CloudEvent, call: Calling) -> Refused | None:
    if event.time > call.at + context.usage_max_ahead:
        return InFuture(f"dated {event.time:%Y-%m-%dT%H:%M:%SZ}, after now")
    if event.time < call.at - context.usage_max_age:
        return TooOld(f"older than {context.usage_max_age.days} days")
    return None


def _id(event: object) -> str | None:
    name = cast(Shown, event).get("id") if isinstance(event, dict) else None
    return name if isinstance(name, str) and not unstorable(name) else None
