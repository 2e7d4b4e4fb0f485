"""The network on the way to each room fails in each way, while a deal runs, usage comes and access is asked for.

Afterwards: the deal ended as if nothing had happened, with one charge; what was acknowledged of the usage is there, once; no
check hung, and none said less than what was acknowledged before it, or more than was ever sent.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from time import monotonic

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.faults.network import ROOMS, LinkedStack
from tests.faults.stack import (
    Stack,
    books_are_whole,
    ended_as_if_nothing_had_happened,
    is_paid,
    nobody_fails,
    running,
    until,
)
from workers.dev import DATABASE

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LASTS_S = float(os.environ.get("PERENNIAL_FAULTS_LAST", "2"))
CHECK_WITHIN_S = 15
STEADY = "steady"


@dataclass
class Traffic:
    """One customer's usage and checks, while a deal of another's runs. What was seen is judged in the end.

    `already` is how many events there are of the customer before.
    """

    stack: Stack
    already: int
    acknowledged: set[str] = field(default_factory=set[str])
    sent: set[str] = field(default_factory=set[str])
    slowest_s: float = 0
    wrong: list[str] = field(default_factory=list[str])
    stopped: bool = False

    async def usage(self) -> None:
        """An event at a time; one that is not acknowledged is sent again."""
        for number in count():
            event = f"{self.already}-{number}"
            self.sent.add(event)
            while not self.stopped and event not in self.acknowledged:
                if (answer := await self.asked("POST", "/usage", event)) is not None and answer.status_code == 202:
                    self.acknowledged.add(event)
            if self.stopped:
                return

    async def checks(self) -> None:
        """Again and again: may they still?"""
        while not self.stopped:
            before = len(self.acknowledged)
            began = monotonic()
            answer = await self.asked("GET", f"/entitlements/{STEADY}/pool")
            self.slowest_s = max(self.slowest_s, monotonic() - began)
            if answer is not None and answer.status_code == 200:
                used = int(answer.json()["used"]) - self.already
                if not before <= used <= len(self.sent):
                    self.wrong.append(f"{used} used, {before} acknowledged, {len(self.sent)} sent")
            elif answer is not None and answer.status_code != 503:
                self.wrong.append(answer.text)

    async def asked(self, method: str, path: str, event: str | None = None) -> httpx.Response | None:
        """One request, never tried again; None when there was no answer."""
        more = {"specversion": "1.0", "source": "gate", "type": "pool.entered", "subject": STEADY}
        try:
            return await self.stack.api.request(method, path, json=[{**more, "id": event}] if event else None)
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            return None


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def linked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[LinkedStack, Stack]]:
    dev = LinkedStack(tmp_path_factory.mktemp("linked"))
    async with dev.linked(), running(dev) as stack:
        await stack.deal(STEADY)
        await until(lambda: is_paid(stack, STEADY), "it is paid")
        yield dev, stack


@pytest.mark.parametrize("mode", ["delay", "cut", "hole", "deaf"])
@pytest.mark.parametrize("room", ROOMS)
async def test_a_deal_survives_its_network(linked: tuple[LinkedStack, Stack], room: str, mode: str):
    dev, stack = linked
    deal = f"{room}-{mode}"
    await stack.offer(deal)
    traffic = Traffic(stack, len(await stored(stack)))
    running = [asyncio.create_task(one) for one in (traffic.usage(), traffic.checks())]
    accepting = asyncio.create_task(stack.ask("POST", f"/quotes/{deal}/accept", {"accepted_by": deal}))
    # As far into the deal as chance has it, but not always before it.
    await asyncio.sleep(0.02)
    await dev.links[room].turn(mode)
    await asyncio.sleep(LASTS_S)
    await dev.links[room].turn("through")

    await accepting
    await until(lambda: is_paid(stack, deal), f"{deal} is paid")
    traffic.stopped = True
    await asyncio.gather(*running)
    await ended_as_if_nothing_had_happened(stack, deal)
    await books_are_whole(stack)
    assert not traffic.wrong
    assert traffic.slowest_s < CHECK_WITHIN_S
    assert traffic.acknowledged <= await stored(stack)
    assert traffic.acknowledged


async def test_who_asks_again_after_the_database_was_away_does_not_hear_that_it_is_still_being_carried_out(
    linked: tuple[LinkedStack, Stack],
):
    dev, stack = linked
    await stack.offer("again")
    await stack.fault(fail="timeout")
    key = {"Idempotency-Key": "again"}
    path, body = "/quotes/again/accept?wait=PT7S", {"accepted_by": "again"}
    accepting = asyncio.create_task(stack.api.post(path, json=body, headers=key))
    await until(lambda: nobody_fails(stack), "the target is asked")
    await dev.links["postgres"].turn("cut")
    assert (await accepting).status_code == 503
    await dev.links["postgres"].turn("through")

    async def answered() -> bool:
        return (await stack.api.post("/quotes/again/accept?wait=PT7S", json=body, headers=key)).status_code == 202

    async with asyncio.timeout(40):
        await until(answered, "it is answered")
    await until(lambda: is_paid(stack, "again"), "again is paid")
    await ended_as_if_nothing_had_happened(stack, "again")


async def test_a_check_and_an_event_that_the_database_does_not_answer_are_refused_in_time_to_be_sent_again(
    linked: tuple[LinkedStack, Stack],
):
    dev, stack = linked
    traffic = Traffic(stack, len(await stored(stack)))
    await dev.links["postgres"].turn("hole")
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            checked = traffic.asked("GET", f"/entitlements/{STEADY}/pool")
            answers = await asyncio.gather(checked, traffic.asked("POST", "/usage", "unheard-1"))
    finally:
        await dev.links["postgres"].turn("through")
    assert [answer and answer.status_code for answer in answers] == [503, 503]

    async def taken() -> bool:
        answer = await traffic.asked("POST", "/usage", "unheard-1")
        return answer is not None and answer.status_code == 202

    await until(taken, "the event is taken")
    assert "unheard-1" in await stored(stack)


async def stored(stack: Stack) -> set[str]:
    """The ids of all events in the books."""
    connection = await asyncpg.connect(stack.dev.postgres.url(DATABASE).replace("+asyncpg", ""))
    try:
        return {row["id"] for row in await connection.fetch("SELECT id FROM usage_events")}
    finally:
        await connection.close()
