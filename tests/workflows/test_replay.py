"""What began under older code goes on under this: every frozen history replays. And one that must not, does not."""

import os
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.postgres import Databases
from tests.workflows import histories
from tests.workflows.incompatible import GreetingOrder, GreetingQuote, GreetingSubscription, PoliteCollection
from workers.plugin import plugin
from workers.worker import WORKFLOWS

FROZEN = sorted(histories.FOLDER.glob("*.json"))


@pytest.mark.skipif("PERENNIAL_RECORD_HISTORIES" not in os.environ, reason="only when it is asked for")
async def test_what_is_missing_is_recorded(databases: Databases, tmp_path: Path):
    print(await histories.record(databases, tmp_path))
    assert {path.stem for path in histories.FOLDER.glob("*.json")} >= set(histories.WANTED)


async def test_what_is_there_is_never_recorded_again(databases: Databases, tmp_path: Path):
    before = {path: path.read_bytes() for path in FROZEN}
    assert not histories.write(histories.FOLDER, FROZEN[0].stem, histories.read(FROZEN[-1]))
    assert await histories.record(databases, tmp_path) == []
    assert {path: path.read_bytes() for path in sorted(histories.FOLDER.glob("*.json"))} == before


def replayer(*workflows: type) -> Replayer:
    return Replayer(workflows=list(workflows), plugins=[plugin()])


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
async def test_a_frozen_history_replays(path: Path):
    await replayer(*WORKFLOWS).replay_workflow(histories.read(path))


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("quote-accepted-after-approval", GreetingQuote),
        ("order-with-a-call-back-and-a-retry", GreetingOrder),
        ("subscription-first-run", GreetingSubscription),
        ("subscription-later-run", GreetingSubscription),
        ("collection-retried-and-paid", PoliteCollection),
        ("collection-written-off", PoliteCollection),
    ],
)
async def test_code_that_asks_for_one_activity_more_does_not(name: str, changed: type):
    with pytest.raises(NondeterminismError):
        await replayer(changed).replay_workflow(frozen(name))


def frozen(name: str) -> WorkflowHistory:
    return histories.read(histories.FOLDER / f"{name}.json")


def test_there_is_one_of_everything_that_a_workflow_does():
    kept = [histories.read(path) for path in FROZEN]
    started = {history.events[0].workflow_execution_started_event_attributes.workflow_type.name for history in kept}
    assert started == {workflow.__name__ for workflow in WORKFLOWS}
    asked = {name for history in kept for name in histories.activities_of(history)}
    assert asked >= {
        *("offer", "revise", "move", "accept", "provision", "call_back", "undo", "cancel_order", "activate"),
        *("settle", "close_period", "cancel", "charge", "act", "look_up", "use_method"),
    }


@pytest.mark.parametrize(
    ("name", "activities", "timers"),
    [
        ("quote-accepted-after-approval", ["offer", "accept", "move", "move", "accept"], 1),
        ("order-with-a-call-back-and-a-retry", ["provision", "call_back", "provision", "provision", "activate"], 2),
        ("subscription-first-run", ["settle", "close_period"], 1),
        ("subscription-later-run", ["settle", "close_period"], 1),
        ("collection-retried-and-paid", ["act", "look_up", "charge"], 1),
    ],
)
def test_it_is_what_its_name_says(name: str, activities: list[str], timers: int):
    history = frozen(name)
    assert histories.activities_of(history) == activities
    assert sum(event.HasField("timer_started_event_attributes") for event in history.events) >= timers


def test_a_first_run_begins_nothing_and_a_later_one_goes_on():
    def came_from(name: str) -> str:
        return frozen(name).events[0].workflow_execution_started_event_attributes.continued_execution_run_id

    assert not came_from("subscription-first-run")
    assert came_from("subscription-later-run")


def test_no_history_names_the_machine_that_made_it():
    for path in FROZEN:
        assert os.uname().nodename not in path.read_text()
        assert path.stat().st_size < 250_000
