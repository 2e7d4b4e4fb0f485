"""Clocks jump, and no two machines' agree: what is due is done once, in its order, at the time it should have had."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path

import pytest

from activities.ports import Clock
from tests.faults.crashes import Crashes
from tests.faults.stories import gym
from tests.faults.theatre import Theatre, money
from tests.postgres import Databases
from tests.workflows.worlds import Line, line_of

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)


class Restless:
    """Another time whenever it is asked."""

    def __init__(self, clock: Clock, jumps: Iterator[timedelta]) -> None:
        self._clock, self._jumps = clock, jumps

    def now(self) -> datetime:
        return self._clock.now() + next(self._jumps)


@pytest.mark.parametrize("jump", [HOUR, 6 * HOUR, 72 * HOUR], ids=str)
async def test_a_workers_clock_that_jumps_back_and_forth_moves_no_money(
    databases: Databases, tmp_path: Path, jump: timedelta
):
    theatre = Theatre(databases, tmp_path)
    undisturbed, _ = await theatre.as_it_should_be(gym)
    crashes = Crashes()
    crashes.clock = lambda clock: Restless(clock, cycle([jump, -jump, timedelta(0), -jump, jump]))
    assert money(await theatre.told(gym, crashes)) == money(undisturbed)


@pytest.mark.parametrize("jump", [timedelta(seconds=-1), -HOUR, -72 * HOUR], ids=str)
async def test_an_api_whose_clock_is_behind_sells_once(database_url: str, tmp_path: Path, jump: timedelta):
    async with line_of(database_url, tmp_path) as line:
        await line.customer("ada")
        await line.quote("ada")
        with_clock(line, Restless(line.world.world.doors.clock, cycle([jump])))
        await line.accept("ada")
        await line.sold_once("ada")
        await line.paid_once("ada")


def with_clock(line: Line, clock: Clock) -> None:
    """The API reads another clock from now on."""
    state = line.world.world.api.state
    state.context = replace(state.context, clock=clock)
