"""The business clock inside workflows.

A simulation runs on a server whose clock starts today and only goes forward; a story set in another year carries the
difference as `offset` in every start message. In production it is zero. Waiting is until an instant, never for a while:
what was due is done with the instant at which it was due, however late it is done.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

from temporalio import workflow

# A year and a bit: the longest single timer; a later instant is waited for in several.
LONGEST = timedelta(days=400)
# Timers are cut to whole milliseconds by the server: aim just past the instant, never just before it.
MARGIN = timedelta(milliseconds=1)
SPREAD_MS = 500


def spread(workflow_id: str) -> timedelta:
    """A part of half a second that is this workflow's own: what is due for many at one midnight comes in a steady order.

    The instant that counts stays the one at which it was due.
    """
    return timedelta(milliseconds=int.from_bytes(sha256(workflow_id.encode()).digest()[:4], "big") % SPREAD_MS)


def now(offset: timedelta) -> datetime:
    """The present instant of the story, UTC."""
    return workflow.now() + offset


async def until(due: datetime | None, offset: timedelta, fact: Callable[[], bool], summary: str) -> bool:
    """Wait until `due` (None: for ever), or until `fact` holds. Answers whether it was the fact."""
    while not fact():
        if due is None:
            await workflow.wait_condition(fact)
            return True
        left = due - now(offset)
        if left <= timedelta(0):
            return False
        late = MARGIN + spread(workflow.info().workflow_id)
        try:
            await workflow.wait_condition(fact, timeout=min(left + late, LONGEST), timeout_summary=summary)
        except TimeoutError:
            continue
    return True
