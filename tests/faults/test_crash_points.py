"""Crash points: whichever activity dies, wherever it dies, the story comes out to the last byte as if nothing had been.

Every activity of the gym's story dies once right before its work, and once right after its work was committed; of the other
story, the first and the last of each kind. And each dies once inside, after every transaction, call and message of its own.
Only the `workflows` counts are not compared. By default every tenth point is tried; with `PERENNIAL_EVERY_CRASH=1` each.
"""

import os

import pytest

from activities.billing import BillingActivities
from activities.collecting import CollectingActivities
from activities.customers import CustomerActivities
from activities.ordering import OrderingActivities
from activities.quoting import QuotingActivities
from tests.faults.crashes import Crashes, difference
from tests.faults.stories import Story, gym, troubles
from tests.faults.theatre import Theatre

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ALL = (QuotingActivities, OrderingActivities, BillingActivities, CollectingActivities, CustomerActivities)
SHARES = 4
STEP = 1 if os.environ.get("PERENNIAL_EVERY_CRASH") else 10


@pytest.mark.parametrize("story", [gym, troubles])
async def test_undisturbed_a_story_comes_out_the_same_twice(theatre: Theatre, story: Story):
    expected, _ = await theatre.as_it_should_be(story)
    again = await theatre.told(story, Crashes())
    assert again == expected, difference(expected, again)


async def test_there_is_no_activity_that_the_stories_leave_out(theatre: Theatre):
    defined = {name for kind in ALL for name, made in vars(kind).items() if hasattr(made, DEFINITION)}
    ran = [(await theatre.as_it_should_be(story))[1].activities for story in (gym, troubles)]
    assert set.union(*ran) == defined
    assert len(defined) >= 16


@pytest.mark.parametrize("share", range(SHARES))
async def test_before_and_after_every_activity_of_the_gym(theatre: Theatre, share: int):
    _, executed = await theatre.as_it_should_be(gym)
    points = executed.edges()
    assert len(points) >= 40
    await theatre.survives(gym, points[share :: SHARES * STEP])


@pytest.mark.parametrize("share", range(SHARES))
async def test_before_and_after_every_kind_of_activity_in_trouble(theatre: Theatre, share: int):
    _, executed = await theatre.as_it_should_be(troubles)
    # Before its work an activity has done nothing yet: once for each will do.
    points = [at for at in executed.edges(of_each_kind=1) if at.moment == "after" or at.nth == 1]
    await theatre.survives(troubles, points[share :: SHARES * STEP])


@pytest.mark.parametrize("share", range(SHARES))
async def test_after_each_thing_that_an_activity_does(theatre: Theatre, share: int):
    _, executed = await theatre.as_it_should_be(troubles)
    await theatre.survives(troubles, executed.inside()[share :: SHARES * STEP])


DEFINITION = "__temporal_activity_definition"
