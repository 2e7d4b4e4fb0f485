"""Theatre: one story told again and again, with crashes and without, and what of it is compared."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from tests.faults.crashes import Crashes, Point, crashing_world, difference
from tests.faults.stories import GYM_STORY, STARTS, Story, gym, text_of
from tests.postgres import Databases


@dataclass
class Theatre:
    """Tells a story as often as one likes, each time in a new world."""

    databases: Databases
    folder: Path
    undisturbed: dict[str, tuple[str, Crashes]] = field(default_factory=dict[str, tuple[str, Crashes]])
    numbers: Iterator[int] = field(default_factory=count)

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


def money(told: str) -> Any:
    """What was billed, and what the provider moved."""
    result = json.loads(told)
    return [(one["number"], one["total"], one["state"]) for one in result["invoices"]], [
        (one["kind"], one["amount"]) for one in result["movements"]
    ]
