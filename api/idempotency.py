"""Idempotency: a POST that comes twice is carried out once, and answered the same (contract section 1).

    begin ─ fresh ──carried out──> kept, unless it is a 5xx: then the next one begins afresh
          ├ done, same body ────> the first answer again
          ├ done, other body ───> idempotency_conflict
          └ being carried out ──> wait a while for the first answer, else in_progress

A process that dies in between leaves its claim; whoever comes after a while takes over, and finds by the business's own
keys what was done already. One that lives lets go of its claim as soon as the database hears it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256

from fastapi import Request, Response

from api.access import Call
from api.answers import Answer
from api.context import Context
from api.problems import IdempotencyConflict, InProgress, problem_of
from api.reading import invalid
from domain.errors import FieldError
from store import access
from store.access import Conflict, Fresh, Replay

HEADER = "idempotency-key"
STALE_AFTER = timedelta(minutes=1)
WAIT_S = 10
STEP_S = 0.05
# What runs on when its request is answered must be held by somebody.
_letting_go: set[asyncio.Task[None]] = set()
_KEPT_HEADERS = ("content-type", "location", "x-problem")


def key_of(request: Request) -> str | None:
    """The request's Idempotency-Key. Raises InvalidInput for one that cannot be one."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise invalid([FieldError(("Idempotency-Key",), "must be 1 to 255 printable ASCII characters")])
    return key


async def once(
    request: Request, call: Call, context: Context, key: str, carry_out: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer to `request` under its `key`: carried out now, or found. Raises IdempotencyConflict, InProgress."""
    body = sha256(await request.body()).hexdigest()
    named = access.Request(api_key_id=call.key.id, path=request.url.path, key=key, body_hash=body)
    claim = await _claimed(context, named)
    if isinstance(claim, Replay):
        return Response(claim.body, claim.status, {**claim.headers, "idempotent-replayed": "true"})
    try:
        response = await _carried_out(carry_out)
        if response.status_code < 500:
            await _kept(context, claim, response)
            return response
    except Exception:
        await _let_go(context, claim)
        raise
    await _let_go(context, claim)
    return response


async def _carried_out(carry_out: Callable[[], Awaitable[Response]]) -> Response:
    try:
        return await carry_out()
    except Exception as error:
        told = problem_of(error)
        if told is None:
            raise
        return told


async def _claimed(context: Context, named: access.Request) -> Fresh | Replay:
    for _ in range(int(WAIT_S / STEP_S)):
        at = context.clock.now()
        try:
            found = await access.begin(context.pool, named, at, stale_after=STALE_AFTER)
        except Exception:
            # It may have been written, and only the answer was lost.
            await _let_go(context, Fresh(named, at))
            raise
        if isinstance(found, Conflict):
            raise IdempotencyConflict()
        if isinstance(found, Fresh | Replay):
            return found
        await asyncio.sleep(STEP_S)
    raise InProgress()


async def _let_go(context: Context, claim: Fresh) -> None:
    """Abandon the claim: now, or, while the database is away, as soon as it is back; the caller does not wait for that."""

    async def abandoned() -> None:
        for _ in range(int(STALE_AFTER.total_seconds())):
            with suppress(Exception):
                await access.abandon(context.pool, claim)
                return
            await asyncio.sleep(1)

    task = asyncio.create_task(abandoned())
    _letting_go.add(task)
    task.add_done_callback(_letting_go.discard)
    await asyncio.wait({task}, timeout=STEP_S)


async def _kept(context: Context, claim: Fresh, response: Response) -> None:
    kept = response.kept if isinstance(response, Answer) and response.kept is not None else bytes(response.body)
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    await access.finish(context.pool, claim, status=response.status_code, body=kept, headers=headers)
