"""Simulation: a throw-away world on a time-skipping server, in which a story of years runs in seconds.

    StoryClock ◄── moved by the driver             Temporal test server, its clock at today
        │                                                 │  business instant = server's clock + offset
        ▼                                                 ▼
    API (in process) ──► real workflows ──► real activities ──► PostgreSQL, sandbox provider

The driver goes from instant to instant: to the next one at which something is due, by the books (every open thing has its
`next_action_at`) or at the sandbox, and on when all that is due is done. So nothing is guessed from elapsed time, and every
clock stands where the story does.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from store.due import due_by
from workers.clock import StoryClock
from workers.plugin import plugin
from workers.temporal_server import register_search_attributes, start_time_skipping
from workers.wiring import World, simulated_world
from workers.worker import build_worker
from workflows.names import SEARCH_ATTRIBUTES

TASK_QUEUE = "perennial"
STEP = timedelta(milliseconds=20)
PATIENCE_S = 60


class Stalled(Exception):
    """Something that was due did not happen: a workflow is failing."""


class Simulation:
    """One running world. Times given are instants of the story, UTC."""

    def __init__(self, env: WorkflowEnvironment, world: World, clock: StoryClock, offset: timedelta) -> None:
        self._env = env
        self._clock = clock
        self._offset = offset
        self.world = world

    @property
    def now(self) -> datetime:
        """The instant that the story has reached."""
        return self._clock.now()

    @property
    def client(self) -> Client:
        """The Temporal client of this world."""
        return self._env.client

    @property
    def http(self) -> httpx.AsyncClient:
        """The product's own API, as an administrator."""
        return self.world.http

    @property
    def engine(self) -> AsyncEngine:
        """The database of the world."""
        return self.world.engine

    async def reach(self, at: datetime) -> None:
        """Come to `at` with all done that is due by then, each thing at its own time."""
        while (soonest := await self._soonest(at)) is not None:
            await self._come_to(soonest)
        await self._come_to(at)

    async def jump_to(self, at: datetime) -> None:
        """Move the clocks, and see to nothing on the way."""
        self._clock.move_to(at)
        await self._env.sleep(at - self._offset - await self._env.get_current_time())

    async def settle(self, at: datetime) -> None:
        """Return when nothing that is due by `at` is left undone, nor anything that it set going. Raises Stalled."""
        deadline = time.monotonic() + PATIENCE_S
        step = STEP
        await self.world.sandbox.payments.idle()
        while due := await due_by(self.engine, at):
            if time.monotonic() > deadline:
                raise Stalled(", ".join(f"{kind} {id_} was due at {when:%F %T}" for kind, id_, when in due[:5]))
            await self._env.sleep(step)
            await self.world.sandbox.payments.idle()
            step = min(step * 2, timedelta(milliseconds=200))

    async def _soonest(self, at: datetime) -> datetime | None:
        """The next instant up to `at` at which time alone has an effect."""
        instants = [due.at for due in await due_by(self.engine, at)] + [self.world.sandbox.next_at]
        return min((instant for instant in instants if instant and self.now < instant <= at), default=None)

    async def _come_to(self, at: datetime) -> None:
        left = at - self._offset - await self._env.get_current_time()
        self._clock.move_to(at)
        await self.world.sandbox.tick()
        if left > timedelta(0):
            await self._env.sleep(left)
        await self.settle(at)


@asynccontextmanager
async def simulation(
    *,
    starts: datetime,
    database_url: str,
    folder: Path,
    sandbox_dir: Path | None = None,
    **options: Any,  # noqa: ANN401
) -> AsyncGenerator[Simulation]:
    """A world whose clock stands at `starts`, on an empty migrated database. What else it takes: `simulated_world`."""
    clock = StoryClock(starts)
    async with await start_time_skipping([plugin()]) as env:
        await register_search_attributes(env.client, SEARCH_ATTRIBUTES)
        offset = starts - await env.get_current_time()
        async with simulated_world(
            env.client,
            database_url=database_url,
            clock=clock,
            offset=offset,
            task_queue=TASK_QUEUE,
            folder=folder,
            sandbox_dir=sandbox_dir,
            **options,
        ) as world:
            # Awaiting a workflow's result must not let the server skip: it would skip to the workflow's own time-out.
            with env.auto_time_skipping_disabled():
                async with build_worker(env.client, world.doors, task_queue=TASK_QUEUE):
                    yield Simulation(env, world, clock, offset)
