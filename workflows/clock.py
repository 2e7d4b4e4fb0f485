"""The business clock inside workflows.

A simulation runs on a server whose clock starts today and only goes forward; a story set in another year carries the
difference as `offset` in every start message. In production it is zero. Waiting is until an instant, never for a while:
what was due is done with the instant at which it was due, however late it is done.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

# A year and a bit: the longest single timer; a later instant is waited for in several.
LONGEST = timedelta(days=400)
# Timers are cut to whole milliseconds by the server: aim just past the instant, never just before it.
MARGIN = timedelta(milliseconds=1)


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
        try:
            await workflow.wait_condition(fact, timeout=min(left + MARGIN, LONGEST), timeout_summary=summary)
        except TimeoutError:
            continue
    return True
