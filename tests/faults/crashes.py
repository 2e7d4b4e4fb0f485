"""Crashes on demand: a simulated world in which one activity fails once, at a chosen point, and is then run again.

    point   = which execution of which activity                    ("subscription settle #2")
    moment  = before its work · after its work, when all is committed · after effect n inside it
    effect  = a transaction of the books, a call of a provider, the start of a workflow, a mail

What is wrapped are the doors and the way into activities; the parts behind them are the real ones.
"""

import difflib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.plugin import SimplePlugin
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.ports import Books, Clock
from domain.errors import DomainError
from workers.clock import StoryClock
from workers.doors import Doors
from workers.plugin import plugin
from workers.simulation import TASK_QUEUE, Simulation
from workers.temporal_server import register_search_attributes, start_time_skipping
from workers.wiring import simulated_world
from workers.worker import build_worker
from workflows.names import SEARCH_ATTRIBUTES

Variant = Callable[[Any, Any], Awaitable[Any]]
"""Takes the activities' object and the message; runs instead of the activity."""
Aftermath = Callable[[Simulation], Awaitable[None]]
"""What else befalls the world in the moment of the crash."""


class Crashed(Exception):
    """The process died here, as far as the activity can tell."""


@dataclass(frozen=True)
class Point:
    """In execution number `nth` of an activity in workflows of one kind: "before", "after", or the name of an effect."""

    activity: str
    nth: int
    moment: str

    def __str__(self) -> str:
        return f"{self.activity} #{self.nth} {self.moment}"


@dataclass
class Executed:
    """What one execution of an activity has done so far."""

    name: str
    nth: int
    effects: list[str] = field(default_factory=list[str])
    refused: bool = False

    @property
    def kind(self) -> tuple[str, ...]:
        """What it is and does; where that is the same, a crash should come to the same."""
        return (self.name, *self.effects)


_running: ContextVar[Executed | None] = ContextVar("running", default=None)


class Crashes:
    """Strikes once, at `at`; keeps note of every execution. `variants` run in place of activities of that name."""

    def __init__(
        self,
        at: Point | None = None,
        variants: dict[str, Variant] | None = None,
        aftermath: Aftermath | None = None,
        clock: Callable[[Clock], Clock] = lambda clock: clock,
    ) -> None:
        self.at = at
        self.clock = clock
        self.world: Simulation | None = None
        self._aftermath = aftermath
        self.struck = False
        self.executions: list[Executed] = []
        self.variants = variants or {}
        self._numbers: Counter[str] = Counter()
        self._known: dict[tuple[str, str, str], int] = {}

    @property
    def activities(self) -> set[str]:
        """The names of all activities that ran."""
        return {executed.name.split()[1] for executed in self.executions}

    def edges(self, *, of_each_kind: int | None = None) -> list[Point]:
        """Before and after each execution; or only of the first and last so many of each kind."""
        kinds = Counter(e.kind for e in self.executions)
        seen = Counter[tuple[str, ...]]()
        found: list[Point] = []
        for e in self.executions:
            seen[e.kind] += 1
            if of_each_kind is None or seen[e.kind] <= of_each_kind or seen[e.kind] > kinds[e.kind] - of_each_kind:
                found += [Point(e.name, e.nth, moment) for moment in ("before", "after")[: 1 if e.refused else 2]]
        return found

    def inside(self) -> list[Point]:
        """After each effect inside; of executions of one kind only the first."""
        first = {e.kind: e for e in reversed(self.executions)}
        return [Point(e.name, e.nth, effect) for e in self.executions if first[e.kind] is e for effect in e.effects]

    async def execute(self, run: Callable[[], Awaitable[Any]]) -> Any:
        """One execution, struck down or not."""
        info = activity.info()
        name = f"{(info.workflow_id or '').partition('/')[0]} {info.activity_type}"
        scheduled = (info.workflow_id or "", info.workflow_run_id or "", info.activity_id)
        if scheduled not in self._known:
            self._numbers[name] += 1
            self._known[scheduled] = self._numbers[name]
        executed = Executed(name, self._known[scheduled])
        self.executions.append(executed)
        token = _running.set(executed)
        try:
            self._perhaps(executed, "before")
            result = await run()
            self._perhaps(executed, "after")
            return result
        except DomainError:
            executed.refused = True
            raise
        except Crashed:
            if self._aftermath is not None and self.world is not None:
                await self._aftermath(self.world)
            raise
        finally:
            _running.reset(token)

    def effect(self, name: str) -> None:
        """Something has just been done to the world; if an activity did it, this may be where it dies."""
        executed = _running.get()
        if executed is not None:
            times = sum(before.startswith(f"{name} ") for before in executed.effects) + 1
            executed.effects.append(f"{name} {times}")
            self._perhaps(executed, f"{name} {times}")

    def _perhaps(self, executed: Executed, moment: str) -> None:
        if not self.struck and self.at == Point(executed.name, executed.nth, moment):
            self.struck = True
            raise Crashed(str(self.at))


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, crashes: Crashes) -> None:
        super().__init__(next)
        self._crashes = crashes

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        variant = self._crashes.variants.get(activity.info().activity_type)
        if variant is None:
            return await self._crashes.execute(lambda: self.next.execute_activity(input))
        activities, message = getattr(input.fn, "__self__"), input.args[0]  # noqa: B009  (a bound method)
        return await self._crashes.execute(lambda: variant(activities, message))


class _Interceptor(Interceptor):
    def __init__(self, crashes: Crashes) -> None:
        self._crashes = crashes

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self._crashes)


class _Door:
    """A door behind which everything is as it was, but each call that has ended is told."""

    def __init__(self, door: object, name: str, crashes: Crashes) -> None:
        self._door, self._name, self._crashes = door, name, crashes

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        async def called(*args: Any, **named: Any) -> Any:
            answer = await getattr(self._door, verb)(*args, **named)
            self._crashes.effect(verb)
            return answer

        return called


def watched(doors: Doors, crashes: Crashes) -> Doors:
    """The same doors; each effect through them is told to `crashes`."""
    real = doors.open_books

    @asynccontextmanager
    async def open_books() -> AsyncIterator[Books]:
        async with real() as books:
            yield books
        crashes.effect("books")

    def door(name: str) -> Any:
        return _Door(getattr(doors, name), name, crashes)

    return replace(
        doors,
        open_books=open_books,
        payments=door("payments"),
        target=door("target"),
        mail=door("mail"),
        lifecycles=door("lifecycles"),
        clock=crashes.clock(doors.clock),
    )


@asynccontextmanager
async def crashing_world(
    crashes: Crashes, *, starts: datetime, database_url: str, folder: Path
) -> AsyncIterator[Simulation]:
    """`workers.simulation.simulation`, with `crashes` on the way into every activity and behind every door."""
    clock = StoryClock(starts)
    outermost = SimplePlugin("crashes", interceptors=[_Interceptor(crashes)])
    async with await start_time_skipping([plugin(), outermost]) as env:
        await register_search_attributes(env.client, SEARCH_ATTRIBUTES)
        offset = starts - await env.get_current_time()
        async with simulated_world(
            env.client, database_url=database_url, clock=clock, offset=offset, task_queue=TASK_QUEUE, folder=folder
        ) as world:
            with env.auto_time_skipping_disabled():
                async with build_worker(env.client, watched(world.doors, crashes), task_queue=TASK_QUEUE):
                    crashes.world = Simulation(env, world, clock, offset)
                    yield crashes.world


def difference(expected: str, came_out: str) -> str:
    """The first lines in which a story came out otherwise."""
    lines = difflib.unified_diff(
        expected.splitlines(), came_out.splitlines(), "undisturbed", "crashed", n=2, lineterm=""
    )
    return "\n".join([*lines][:80])
