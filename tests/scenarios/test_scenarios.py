"""Every shared scenario, through the real workflows, twice: the expected figures, the same bytes, no invariant broken.

A scenario with a step that does not exist yet must be refused for exactly that reason; the day the step exists, it runs.
"""

import json
from pathlib import Path

import pytest

from domain.errors import InvalidInput
from store.invariants import violations
from tests.postgres import Databases
from workers.scenario import REQUESTS, Scenario, read_scenario
from workers.simulation import simulation
from workers.story import misses, tell

ROOT = Path(__file__).parents[2]
CASES = sorted((ROOT / "tests" / "cases").glob("*scenario-*.yaml"))
STORIES = [*sorted((ROOT / "examples").rglob("story.yaml")), *CASES]
# Steps of the contract that later work brings; a scenario that takes one of them waits for it.
LATER = {
    "amend", "cancel", "pause", "resume", "renew", "opt_out", "consume", "assign_seat", "grant", "confirm_outcome",
    "retry_payment", "promise_to_pay", "mark_paid", "write_off", "credit_note", "refund", "void", "provider", "provisioning",
}  # fmt: skip


def verbs(path: Path) -> set[str]:
    import re

    return set(re.findall(r"^  - \{at: [^,]+, (\w+):", path.read_text(), re.MULTILINE))


def waits(path: Path) -> bool:
    return bool(verbs(path) - set(REQUESTS))


async def run(scenario: Scenario, databases: Databases, folder: Path) -> dict[str, object]:
    async with databases.fresh() as url, simulation(starts=scenario.starts, database_url=url, folder=folder) as world:
        result = await tell(scenario, world)
        assert not [f"{v.name}: {v.rows}" for v in await violations(world.engine)]
        return result


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in STORIES if not waits(path)], ids=lambda path: path.stem)
async def test_comes_out_as_expected_twice(path: Path, databases: Databases, tmp_path: Path):
    scenario = read_scenario(path)
    first = await run(scenario, databases, tmp_path)
    assert not misses(first, scenario.expect)
    second = await run(scenario, databases, tmp_path)
    assert json.dumps(first, indent=1) == json.dumps(second, indent=1)


@pytest.mark.parametrize("path", [path for path in CASES if verbs(path) - set(REQUESTS)], ids=lambda path: path.stem)
def test_waits_for_a_step_that_is_to_come(path: Path):
    missing = verbs(path) - set(REQUESTS)
    assert missing <= LATER
    with pytest.raises(InvalidInput) as refusal:
        read_scenario(path)
    assert any(f"no step '{verb}'" in error.msg for error in refusal.value.errors for verb in missing)


def test_enough_of_them_run():
    assert sum(not waits(path) for path in STORIES) >= 40
