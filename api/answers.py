"""Answers: JSON out, pages, and how long a caller is willing to wait for what follows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Query, Response
from pydantic_core import to_json

from api.bodies import instant
from api.reading import invalid
from api.shapes import duration
from domain.errors import Changed, FieldError, InvalidInput
from store.lists import LARGEST_PAGE, Asked

V = TypeVar("V")

LONGEST_WAIT = timedelta(seconds=60)
_FIRST_LOOK_S, _SLOWEST_LOOK_S = 0.02, 0.5


class Answer(Response):
    """JSON. `kept` is what an Idempotency-Key gives again where that differs: a secret is told once."""

    media_type = "application/json"
    kept: bytes | None = None


def answer(body: Mapping[str, object], status: int = 200, *, kept: Mapping[str, object] | None = None) -> Answer:
    """`body` as JSON."""
    response = Answer(to_json(body), status)
    if kept is not None:
        response.kept = to_json(kept)
    return response


def pdf(content: bytes, name: str) -> Response:
    """A document to look at, or to save under `name`."""
    return Response(
        content, media_type="application/pdf", headers={"content-disposition": f'inline; filename="{name}"'}
    )


async def _asked(
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at most.")] = 50,
    cursor: Annotated[str | None, Query(max_length=100, description="`next_cursor` of the page before.")] = None,
    since: Annotated[str | None, Query(alias="from", description="Since this instant, or date in UTC.")] = None,
    until: Annotated[str | None, Query(alias="to", description="Before this instant, or date in UTC.")] = None,
) -> Asked:
    return Asked(limit=limit, cursor=cursor, since=instant_asked(since, "from"), until=instant_asked(until, "to"))


def instant_asked(text: str | None, name: str) -> datetime | None:
    """The instant, or the first of a date in UTC, that the query `name` asks for. Raises InvalidInput."""
    if text is None:
        return None
    try:
        return instant(f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text, (name,))
    except InvalidInput:
        why = "must be a date, or an RFC 3339 instant with an offset"
        raise invalid([FieldError((name,), why)]) from None


Paged = Annotated[Asked, Depends(_asked)]


async def _wait(
    wait: Annotated[str | None, Query(description="Wait for what follows, at most this long: PT10S.")] = None,
) -> timedelta:
    if wait is None:
        return timedelta(0)
    read = duration(wait)
    if read is None or not timedelta(0) <= read <= LONGEST_WAIT:
        raise invalid([FieldError(("wait",), "must be an ISO 8601 duration from PT0S to PT60S, such as PT10S")])
    return read


Wait = Annotated[timedelta, Depends(_wait)]


def etag_of(body: bytes) -> str:
    """The version of what is read: it changes with anything that is shown."""
    return f'"{sha256(body).hexdigest()[:32]}"'


def among_etags(given: str, etag: str) -> bool:
    """Whether an `If-Match` or `If-None-Match` names `etag`, or any version."""
    named = {one.strip().removeprefix("W/") for one in given.split(",")}
    return bool(named & {"*", etag})


async def _if_match(
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="The `ETag` that was read: 412 if it has changed since.")
    ] = None,
) -> str | None:
    return if_match


IfMatch = Annotated[str | None, Depends(_if_match)]


def expect(if_match: str | None, shown: Mapping[str, object]) -> None:
    """Raises Changed unless `shown`, the thing as it is read now, is the version that the caller knows."""
    if if_match is not None and not among_etags(if_match, etag_of(to_json(shown))):
        raise Changed("it has changed since you read it: read it again, and decide anew")


async def settled(
    read: Callable[[], Awaitable[V]], is_settled: Callable[[V], bool], *, first: V | None = None, within: timedelta
) -> V:
    """What `read` finds once it is settled, or when the wait is over; `first` is what is known already."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within.total_seconds()
    found = first if first is not None else await read()
    pause = _FIRST_LOOK_S
    while not is_settled(found) and (left := deadline - loop.time()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, _SLOWEST_LOOK_S)
        found = await read()
    return found
