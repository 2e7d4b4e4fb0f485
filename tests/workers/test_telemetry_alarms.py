"""What keeps failing is told at level error, with its id and its cause, once for each cause."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import structlog
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from domain.errors import NotFound
from workers import alarms
from workers.logging import core_runtime
from workers.metrics import TASK_FAILURES
from workers.plugin import plugin
from workers.temporal_server import start_time_skipping

troubles: list[Exception | None] = []
tries: list[str] = []
order: list[Callable[..., Any]] = []


@activity.defn(name="close_period")
async def shaky(_: str) -> str:
    """Fails with what lies on top of the heap."""
    tries.append("activity")
    if troubles and (trouble := troubles[-1]):
        raise trouble
    return "done"


@activity.defn(name="another")
async def another(_: str) -> str:
    return "done"


@workflow.defn(sandboxed=False)
class Shaky:
    def __init__(self) -> None:
        self._go_on = False

    @workflow.run
    async def run(self, what: str) -> str:
        if what == "code":
            tries.append("code")
            if troubles and (trouble := troubles[-1]):
                raise trouble
            return "done"
        retries = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_interval=timedelta(milliseconds=10))
        done = await workflow.execute_activity(
            order[0], what, start_to_close_timeout=timedelta(seconds=5), retry_policy=retries
        )
        await workflow.wait_condition(lambda: self._go_on or what != "replay")
        return done

    @workflow.signal
    def go_on(self) -> None:
        self._go_on = True


@pytest.fixture(autouse=True)
def nothing_is_wrong():
    alarms.listen()
    order[:] = [shaky]
    yield
    for heap in (troubles, tries, order):
        heap.clear()


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[Client]:
    async with await start_time_skipping([plugin()], **options) as env:
        yield env.client


def at_work(client: Client) -> Worker:
    return Worker(client, task_queue="q", workflows=[Shaky], activities=[shaky, another], max_cached_workflows=0)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


def alarmed(lines: list[Any]) -> list[dict[str, Any]]:
    return [line for line in lines if line["log_level"] == "error"]


async def test_an_error_in_workflow_code_is_told_once_for_each_cause_and_counted_each_time():
    def counted() -> float:
        return TASK_FAILURES.labels("Shaky")._value.get()  # pyright: ignore[reportPrivateUsage]

    before = counted()
    with structlog.testing.capture_logs() as lines:
        async with world() as client, at_work(client):
            troubles.append(ValueError("Ada Lovelace owes 12.30"))
            handle = await client.start_workflow(Shaky.run, "code", id="shaky/code", task_queue="q")
            await until(lambda: len(tries) >= 2)
            troubles.append(KeyError("ada@example.com"))
            await until(lambda: len(alarmed(lines)) == 2)
            troubles.append(None)
            assert await handle.result() == "done"
    assert [(line["event"], line["workflow_id"]) for line in alarmed(lines)] == [
        ("workflow_task_failing", "shaky/code")
    ] * 2
    assert [line["cause"].split(" at ")[0] for line in alarmed(lines)] == ["ValueError", "KeyError"]
    assert "Ada" not in str(lines) and "ada@" not in str(lines)
    assert counted() - before >= 3


async def test_an_activity_that_keeps_failing_is_told_once_for_each_cause_and_a_hiccup_is_not():
    with structlog.testing.capture_logs() as lines:
        async with world() as client, at_work(client):
            troubles.append(NotFound("no customer ada"))
            handle = await client.start_workflow(Shaky.run, "activity", id="shaky/1", task_queue="q")
            await until(lambda: len(tries) >= alarms.KEEPS_FAILING + 3)
            troubles.append(ConnectionError("ada@example.com"))
            await until(lambda: len(alarmed(lines)) == 2)
            troubles.append(None)
            assert await handle.result() == "done"
    told = [
        (line["event"], line["workflow_id"], line["activity"], line["cause"].split(" at ")[0])
        for line in alarmed(lines)
    ]
    assert told == [
        ("activity_keeps_failing", "shaky/1", "close_period", "not_found"),
        ("activity_keeps_failing", "shaky/1", "close_period", "ConnectionError"),
    ]
    assert alarmed(lines)[0]["attempt"] == alarms.KEEPS_FAILING
    assert "ada" not in str(lines)


async def test_a_history_that_does_not_replay_is_told():
    with structlog.testing.capture_logs() as lines:
        async with world(runtime=core_runtime(core_metrics=False)) as client:
            async with at_work(client):
                handle = await client.start_workflow(Shaky.run, "replay", id="shaky/replay", task_queue="q")
                async with asyncio.timeout(60):
                    # A task after the activity: its end is in the history that must replay.
                    while len((await handle.fetch_history()).events) < 10:
                        await asyncio.sleep(0.01)
            order[:] = [another]
            async with at_work(client):
                await handle.signal(Shaky.go_on)
                await until(lambda: alarmed(lines))
    [alarm] = alarmed(lines)
    assert (alarm["event"], alarm["workflow_id"]) == ("workflow_task_failing", "shaky/replay")
    assert alarm["cause"].startswith("[TMPRL1100] Nondeterminism error")


async def test_a_workflow_that_fails_for_good_is_told():
    with structlog.testing.capture_logs() as lines:
        async with world() as client, at_work(client):
            troubles.append(ApplicationError("Ada", type="TooBad", non_retryable=True))
            handle = await client.start_workflow(Shaky.run, "activity", id="shaky/2", task_queue="q")
            with pytest.raises(Exception, match="failed"):
                await handle.result()
    [alarm] = alarmed(lines)
    assert (alarm["event"], alarm["workflow_id"]) == ("workflow_failed", "shaky/2")
    assert alarm["cause"].startswith("ActivityError of TooBad at ")


def test_a_cause_is_a_place_in_our_code_and_what_lies_beneath():
    def asks() -> None:
        try:
            int("Ada")
        except ValueError as error:
            raise NotFound("Ada") from error

    with pytest.raises(NotFound) as outer:
        asks()
    assert re.fullmatch(r"not_found of ValueError at test_telemetry_alarms\.py:\d+", alarms.cause_of(outer.value))
    with pytest.raises(AttributeError) as ours:
        alarms.cause_of(None)  # pyright: ignore[reportArgumentType]
    assert re.fullmatch(r"AttributeError at workers/alarms\.py:\d+", alarms.cause_of(ours.value))
