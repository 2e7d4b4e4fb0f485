"""What an operator does with an installation: from nothing to a paid deal, stop, upgrade beside running processes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from store.migrate import newest_revision
from tests.production.installation import GYM, Installation, installed, running

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def empty(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installed(tmp_path) as installation:
        yield installation


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with running(tmp_path_factory.mktemp("installation")) as installation:
        yield installation


async def test_from_nothing_to_a_paid_deal_by_environment_only(empty: Installation):
    for command in ("api", "worker", "reconcile"):
        status, _, err = await empty.run(command)
        assert (status, err.count("\n")) == (1, 1)
        assert "perennial migrate" in err
    assert (await empty.run("migrate"))[0] == 0
    await empty.start_sandbox()
    await empty.start_api()
    assert (await empty.run("catalog", "apply", str(GYM)))[0] == 0
    # The API alone takes orders; the worker, when it comes, carries them out.
    await asyncio.gather(empty.start_worker(), empty.deal("ada"))
    invoice = await empty.invoice("ada", "paid")
    assert invoice["total"] == "88.06"
    assert (await empty.ask("GET", "entitlements/ada/weights"))["allowed"]
    assert (await empty.run("doctor"))[0] == 0
    assert (await empty.run("reconcile"))[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_stop_api_and_worker_end_well_and_what_runs_goes_on_after(
    stack: Installation, number: signal.Signals
):
    await stack.deal(number.name)
    assert await stack.stop("worker", number) == 0
    assert await stack.stop("api", number) == 0
    await asyncio.gather(stack.start_worker(), stack.start_api())
    await stack.invoice(number.name, "paid")
    for name in ("api", "worker"):
        assert "Traceback" not in stack.log(name)


async def test_of_two_that_migrate_at_once_both_succeed_and_one_does_it(empty: Installation):
    both = await asyncio.gather(empty.run("migrate"), empty.run("migrate"))
    assert [status for status, _, _ in both] == [0, 0], both
    assert await empty.rows("SELECT version_num FROM alembic_version") == [(newest_revision(),)]


async def test_migrating_beside_running_processes_disturbs_nobody(stack: Installation):
    async def migrated() -> None:
        for _ in range(3):
            status, _, err = await stack.run("migrate")
            assert status == 0, err

    async def sold() -> None:
        for n in range(3):
            await stack.deal(f"beside-{n}")
            await stack.invoice(f"beside-{n}", "paid")

    await asyncio.gather(migrated(), sold())
    assert (await stack.run("reconcile"))[0] == 0
    assert "activity_failed" not in stack.log("worker")
