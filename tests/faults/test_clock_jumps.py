"""Clocks jump, and no two machines' agree: the same is billed and charged all the same, once.

Compared are numbers, amounts and states, not dates; no jump is combined with a crash.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle, repeat
from pathlib import Path

import pytest

from activities.ports import Clock
from tests.faults.crashes import Crashes
from tests.faults.stories import gym
from tests.faults.theatre import Theatre, money
from tests.workflows.worlds import Line, line_of

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)


class Jumping:
    """As far off, whenever it is asked, as the next of `jumps`."""

    def __init__(self, clock: Clock, jumps: Iterator[timedelta]) -> None:
        self._clock, self._jumps = clock, jumps

    def now(self) -> datetime:
        return self._clock.now() + next(self._jumps)


@pytest.mark.parametrize("jump", [HOUR, 6 * HOUR, 72 * HOUR], ids=str)
async def test_a_workers_clock_that_jumps_back_and_forth_moves_no_money(theatre: Theatre, jump: timedelta):
    undisturbed, _ = await theatre.as_it_should_be(gym)
    crashes = Crashes(clock=lambda clock: Jumping(clock, cycle([jump, -jump, timedelta(0), -jump, jump])))
    assert money(await theatre.told(gym, crashes)) == money(undisturbed)


@pytest.mark.parametrize("jump", [timedelta(seconds=-1), -HOUR, -72 * HOUR], ids=str)
async def test_an_api_whose_clock_is_behind_sells_once(database_url: str, tmp_path: Path, jump: timedelta):
    async with line_of(database_url, tmp_path) as line:
        await line.customer("ada")
        await line.quote("ada")
        with_clock(line, Jumping(line.world.world.doors.clock, repeat(jump)))
        await line.accept("ada")
        await line.sold_once("ada")
        await line.paid_once("ada")


def with_clock(line: Line, clock: Clock) -> None:
    """The API reads another clock from now on."""
    state = line.world.world.api.state
    state.context = replace(state.context, clock=clock)
