"""kill -9, for real: each process of the stack is killed in the middle of provisionings and of charges.

    asked      the target has been asked for a step and does not answer
    waiting    the target has taken a step on and will call back
    in-flight  the provider has been asked for the money and has not moved it yet
    unheard    the provider has moved the money, and its answer is not heard

One blow for all four. After the restart each deal ends as if nothing had happened: one order, one subscription, one grant
of each feature, one invoice, one charge, no workflow but the subscription's, books that balance.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.faults.stack import (
    Stack,
    books_are_whole,
    charges,
    ended_as_if_nothing_had_happened,
    is_paid,
    nobody_fails,
    none_left,
    running,
    until,
)
from workers.dev import DevStack
from workers.process import free_port

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running(DevStack(tmp_path_factory.mktemp("stack"), port=free_port())) as stack:
        yield stack


@pytest.mark.parametrize("victim", ["worker", "api", "temporal", "postgres"])
async def test_a_kill_in_the_middle_changes_nothing(stack: Stack, victim: str):
    asked, waiting, in_flight, unheard = (f"{victim}-{how}" for how in ("asked", "waiting", "in-flight", "unheard"))

    await stack.fault(fail="timeout")
    await stack.deal(asked)
    await until(lambda: nobody_fails(stack), "the target is asked")
    await stack.fault(kind="in_flight", on="confirm_intent")
    await stack.deal(in_flight)
    await until(lambda: none_left(stack), "the charge is in flight")
    await stack.fault(kind="timeout_after_charge")
    await stack.deal(unheard)
    await until(lambda: none_left(stack), "the charge is made")
    await stack.fault(fail=202)
    await stack.deal(waiting)
    await until(lambda: nobody_fails(stack), "the target has taken it on")

    await stack.kill(victim)
    assert len(await charges(stack)) == len(set(await charges(stack)))
    (await stack.sandbox.post("/_sandbox/release")).raise_for_status()

    for deal in (asked, waiting, in_flight, unheard):
        await until(lambda deal=deal: is_paid(stack, deal), f"{deal} is paid")
        await ended_as_if_nothing_had_happened(stack, deal)
    await books_are_whole(stack)


async def test_who_was_waiting_for_an_answer_of_the_killed_api_asks_again_and_gets_the_same(stack: Stack):
    await stack.fault(fail="timeout")
    await stack.offer("interrupted")
    path = "/quotes/interrupted/accept?wait=PT30S"
    accepting = asyncio.create_task(stack.api.post(path, json={"accepted_by": "interrupted"}))
    await until(lambda: nobody_fails(stack), "the target is asked")
    order = await stack.ask("GET", "/orders/interrupted")
    await stack.kill("api")
    with pytest.raises(httpx.TransportError):
        await accepting
    assert (await stack.ask("POST", "/quotes/interrupted/accept", {"accepted_by": "interrupted"}))["id"] == order["id"]
    await until(lambda: is_paid(stack, "interrupted"), "interrupted is paid")
    await ended_as_if_nothing_had_happened(stack, "interrupted")
    await books_are_whole(stack)
