"""Restart from the books: whatever is lost of the workflows, the records alone carry the story to the same end.

After every step of a story, while what follows from it is still under way, the Temporal server is lost with all workflows
and their histories. An empty one takes its place, and `restart_everything` starts what the books say is open.

    server 1 ──step──> lost    server 2 ──restart, step──> lost    server 3 …        books, clock, provider, target: the same
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from store.due import open_lifecycles
from tests.faults.crashes import difference
from tests.faults.stories import GYM_STORY, STARTS, Between, Story, gym, nothing, text_of, troubles
from tests.postgres import Databases
from tests.workflows.worlds import eventually, status_of
from workers.lifecycles import TemporalLifecycles
from workers.plugin import plugin
from workers.restart import restart_everything, workflow_of
from workers.simulation import TASK_QUEUE, Simulation, simulation
from workers.story import everything
from workers.temporal_server import register_search_attributes, start_time_skipping
from workers.worker import build_worker
from workflows import names
from workflows.names import SEARCH_ATTRIBUTES

pytestmark = pytest.mark.slow


class Phoenix(Simulation):
    """A world whose Temporal server can be lost. All else stays: books, API, provider, target, clock."""

    def __init__(self, first: Simulation) -> None:
        self.losses = 0
        self.lost = 0
        self._stack = AsyncExitStack()
        Simulation.__init__(self, first._env, first.world, first._clock, first._offset)

    async def lose_the_server(self) -> None:
        """All workflows are gone; those of what is open begin again from its record."""
        self.losses += 1
        self.lost += len(await open_lifecycles(self.engine))
        await self._stack.aclose()
        env = await self._stack.enter_async_context(await start_time_skipping([plugin()]))
        await register_search_attributes(env.client, SEARCH_ATTRIBUTES)
        offset = self.now - await env.get_current_time()
        lifecycles = TemporalLifecycles(env.client, task_queue=TASK_QUEUE, offset=offset)
        world = replace(self.world, doors=replace(self.world.doors, lifecycles=lifecycles))
        world.api.state.context = replace(world.api.state.context, temporal=env.client, offset=offset)
        Simulation.__init__(self, env, world, self._clock, offset)
        self._stack.enter_context(env.auto_time_skipping_disabled())
        await self._stack.enter_async_context(build_worker(env.client, world.doors, task_queue=TASK_QUEUE))
        await restart_everything(self.engine, lifecycles)

    async def close(self) -> None:
        """Let the last server go."""
        await self._stack.aclose()


@asynccontextmanager
async def phoenix(databases: Databases, folder: Path, starts: datetime) -> AsyncIterator[Phoenix]:
    async with databases.fresh() as url, simulation(starts=starts, database_url=url, folder=folder) as first:
        world = Phoenix(first)
        try:
            yield world
        finally:
            await world.close()


async def told(story: Story, databases: Databases, folder: Path, between: Between = nothing) -> tuple[str, Phoenix]:
    """What came of the story, and the world in which it was told."""
    async with phoenix(databases, folder, GYM_STORY.starts if story is gym else STARTS) as world:
        result: Mapping[str, Any] = await story(world, between)
        await eventually(all_that_is_open_runs_and_nothing_else, world)
    return text_of(result), world


async def undisturbed(story: Story, databases: Databases, folder: Path) -> str:
    """What comes of the story when nothing is lost; told once, for all tests of this process."""
    if story not in _undisturbed:
        _undisturbed[story], _ = await told(story, databases, folder)
    return _undisturbed[story]


_undisturbed: dict[Story, str] = {}


async def all_that_is_open_runs_and_nothing_else(world: Simulation) -> bool:
    """Invariant 7, both ways round."""
    is_open = {workflow_of(record) for record in await open_lifecycles(world.engine)}
    running: set[str] = set()
    for book, id_, named in BOOKS:
        for row in await everything(world.http, f"/v1/{book}"):
            if await status_of(world.client, named(row[id_])) is WorkflowExecutionStatus.RUNNING:
                running.add(named(row[id_]))
    return running == is_open


BOOKS = (
    ("quotes", "id", names.quote_workflow),
    ("orders", "id", names.order_workflow),
    ("subscriptions", "id", names.subscription_workflow),
    ("collections", "invoice_id", names.collection_workflow),
)


@pytest.mark.parametrize("story", [gym, troubles])
async def test_with_everything_lost_after_each_step_a_story_ends_the_same(
    story: Story, databases: Databases, tmp_path: Path
):
    async def between(world: Simulation) -> None:
        assert isinstance(world, Phoenix)
        await world.lose_the_server()

    expected = await undisturbed(story, databases, tmp_path / "undisturbed")
    came_out, world = await told(story, databases, tmp_path / "restarted", between)
    assert world.losses >= 20
    assert world.lost >= 20
    assert came_out == expected, difference(expected, came_out)


@pytest.mark.parametrize("story", [gym, troubles])
async def test_restarting_what_runs_already_changes_nothing(story: Story, databases: Databases, tmp_path: Path):
    async def between(world: Simulation) -> None:
        for _ in range(2):
            await restart_everything(world.engine, world.world.doors.lifecycles)

    expected = await undisturbed(story, databases, tmp_path / "undisturbed")
    came_out, _ = await told(story, databases, tmp_path / "restarted", between)
    assert came_out == expected, difference(expected, came_out)
