"""Crash points: whichever activity dies, wherever it dies, the story comes out to the last byte as if nothing had been.

Every activity of the gym's story dies once right before its work, and once right after its work was committed; of the other
story, the first and the last of each kind. And each dies once inside, after every transaction, call and message of its own.
Only the `workflows` counts are not compared. By default every tenth point is tried; with `PERENNIAL_EVERY_CRASH=1` each.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity

from activities.billing import BillingActivities
from activities.collecting import ChargeInvoice, CollectingActivities
from activities.customers import CustomerActivities
from activities.ordering import OrderingActivities
from activities.quoting import QuotingActivities
from domain.audit import AuditEvent
from domain.dunning import Collection
from tests.faults.crashes import Crashes, Point, Variant, crashing_world, difference
from tests.faults.stories import GYM_STORY, STARTS, Story, gym, text_of, troubles
from tests.postgres import Databases

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ALL = (QuotingActivities, OrderingActivities, BillingActivities, CollectingActivities, CustomerActivities)
SHARES = 4
STEP = 1 if os.environ.get("PERENNIAL_EVERY_CRASH") else 10


@dataclass
class Theatre:
    """Tells a story as often as one likes, each time in a new world."""

    databases: Databases
    folder: Path
    undisturbed: dict[str, tuple[str, Crashes]] = field(default_factory=dict[str, tuple[str, Crashes]])
    numbers: Any = field(default_factory=count)

    async def told(self, story: Story, crashes: Crashes) -> str:
        """The story with these crashes, as text: what the product says, and what it wrote to customers."""
        folder = self.folder / str(next(self.numbers))
        starts: datetime = GYM_STORY.starts if story is gym else STARTS
        async with (
            self.databases.fresh() as url,
            crashing_world(crashes, starts=starts, database_url=url, folder=folder) as world,
        ):
            result: Mapping[str, Any] = await story(world)
        assert not result["violations"], f"{crashes.at}: {result['violations']}"
        return text_of({**result, "mails": {path.name: path.read_text() for path in sorted(folder.rglob("*.eml"))}})

    async def as_it_should_be(self, story: Story) -> tuple[str, Crashes]:
        """The story undisturbed, and what was executed in it."""
        if story.__name__ not in self.undisturbed:
            crashes = Crashes()
            self.undisturbed[story.__name__] = await self.told(story, crashes), crashes
        return self.undisturbed[story.__name__]

    async def survives(self, story: Story, points: Sequence[Point]) -> None:
        """At each of `points` a crash changes nothing."""
        expected, _ = await self.as_it_should_be(story)
        assert points
        for point in points:
            crashes = Crashes(point)
            came_out = await self.told(story, crashes)
            assert crashes.struck, f"{point} was never reached"
            assert came_out == expected, f"{point}:\n{difference(expected, came_out)}"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def theatre(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    yield Theatre(databases, tmp_path_factory.mktemp("stories"))


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


class TestPlantedMistakes:
    """What the comparison is for: each of these looks fine until the activity runs a second time."""

    async def test_a_cause_that_counts_is_found_out_by_a_crash_after_the_work(self, theatre: Theatre):
        await planted(theatre, lambda: noting_with_a_counter(count()), Point("subscription settle", 1, "after"))

    async def test_a_payment_numbered_by_the_activitys_tries_is_found_out_by_a_crash_after_the_charge(
        self, theatre: Theatre
    ):
        at = Point("subscription settle", 1, "confirm_intent 1")
        await planted(theatre, lambda: numbered_by_its_tries, at)


async def planted(theatre: Theatre, variant: Callable[[], Variant], at: Point) -> None:
    """The variant alone is told the same twice; with a crash it is not."""
    assert at in {*(await theatre.as_it_should_be(gym))[1].edges(), *(await theatre.as_it_should_be(gym))[1].inside()}
    once, again = [await theatre.told(gym, Crashes(variants={"settle": variant()})) for _ in range(2)]
    assert once == again
    crashes = Crashes(at, variants={"settle": variant()})
    try:
        crashed = await theatre.told(gym, crashes)
    except AssertionError as broken:  # an invariant saw it even before the comparison did
        crashed = str(broken)
    assert crashes.struck
    assert crashed != once


def noting_with_a_counter(numbers: Any) -> Variant:
    """Writes the cause of what it records by counting in the process."""

    async def settle(real: CollectingActivities, command: ChargeInvoice) -> Collection:
        collection = await real.settle(command)
        async with real._open_books() as books:
            cause = f"{command.invoice_id}/{next(numbers)}"
            await books.audit.add(
                AuditEvent(
                    type="payment.noted",
                    cause=cause,
                    at=command.at,
                    customer_id=collection.customer_id,
                    subject=command.invoice_id,
                )
            )
        return collection

    return settle


async def numbered_by_its_tries(real: CollectingActivities, command: ChargeInvoice) -> Collection:
    """Takes the number of the attempt, and so the id of the payment, from how often the activity has run."""
    return await real.settle(replace(command, attempt=activity.info().attempt))


DEFINITION = "__temporal_activity_definition"
