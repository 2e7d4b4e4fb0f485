"""kill -9 wherever it strikes: ten deals run, and meanwhile one process after another is killed, at moments that a seed gives.

A seed decides who is killed and when; what it meets there is the machine's. `PERENNIAL_KILL_SEEDS=100` tries a hundred.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from random import Random  # noqa: TID251 - the seed is told

import pytest
import pytest_asyncio

from tests.faults.stack import Stack, books_are_whole, ended_as_if_nothing_had_happened, is_paid, running, until
from workers.dev import DevStack
from workers.process import free_port

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SEEDS = int(os.environ.get("PERENNIAL_KILL_SEEDS", "1"))
DEALS, KILLS, WITHIN_S = 10, 4, 1.5
VICTIMS = ("worker", "api", "temporal", "postgres")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running(DevStack(tmp_path_factory.mktemp("stack"), port=free_port())) as stack:
        yield stack


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_ten_deals_end_as_if_nobody_had_been_killed(stack: Stack, seed: int):
    chance = Random(seed)
    plan = [(chance.uniform(0, WITHIN_S), chance.choice(VICTIMS)) for _ in range(KILLS)]
    print(f"seed {seed}: {plan}")
    deals = [f"seed{seed}-{number}" for number in range(DEALS)]
    for deal in deals:
        await stack.offer(deal)
    accepting = [
        asyncio.create_task(stack.ask("POST", f"/quotes/{deal}/accept", {"accepted_by": deal})) for deal in deals
    ]
    for wait_s, victim in plan:
        await asyncio.sleep(wait_s)
        await stack.kill(victim)
    await asyncio.gather(*accepting)
    for deal in deals:
        await until(lambda deal=deal: is_paid(stack, deal), f"{deal} is paid")
        await ended_as_if_nothing_had_happened(stack, deal)
    await books_are_whole(stack)
