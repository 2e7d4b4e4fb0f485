import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from temporalio import workflow
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.testing import TimeSkipper
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.workers.processes import Script, all_gone, eventually
from workers.process import DirectoryInUse, StartFailed, command_line, free_port
from workers.temporal_server import TemporalServer, register_search_attributes, start_time_skipping

pytestmark = pytest.mark.slow

CUSTOMER = SearchAttributeKey.for_keyword("Customer")
AMOUNT = SearchAttributeKey.for_float("AmountDue")

HOLDS_A_SERVER = """
import asyncio, sys
from pathlib import Path
from workers.temporal_server import TemporalServer

async def main():
    server = TemporalServer(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
HOLDS_A_TEST_SERVER = """
import asyncio
from workers.temporal_server import start_time_skipping

async def main():
    env = await start_time_skipping([])
    print(env.client.service_client.config.target_host.rpartition(":")[2], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@workflow.defn
class Hibernation:
    """Sleeps 45 days. Id: the test's. Ends awake."""

    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(timedelta(days=45))
        return "awake"


@asynccontextmanager
async def running(data_dir: Path, **options: Any) -> AsyncIterator[TemporalServer]:
    server = TemporalServer(data_dir, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def client_of(server: TemporalServer) -> Client:
    return await Client.connect(server.address, namespace=server.namespace)


async def start_hibernation(client: Client, *attributes: SearchAttributePair[Any]):
    return await client.start_workflow(
        Hibernation.run, id="hibernation", task_queue="cave", search_attributes=TypedSearchAttributes(attributes)
    )


def servers_on(port: str) -> list[int]:
    """The test servers that listen on `port`, found by their command line."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [number for number in numbers if command_line(number).endswith(f"temporal-test-server {port}")]


async def test_it_starts_with_namespace_and_retention_and_leaves_no_process(tmp_path: Path):
    async with running(tmp_path / "temporal", namespace="books") as server:
        client = await client_of(server)
        described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="books"))
        assert described.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)
        assert server.ui_url is None
        pid = server.pid
        assert pid is not None
    assert server.pid is None
    await all_gone([pid])


async def test_its_web_page_is_there_as_soon_as_it_has_started(tmp_path: Path):
    port = free_port()
    async with running(tmp_path / "temporal", ui_port=port, durable=False) as server:
        assert server.ui_url == f"http://127.0.0.1:{port}"
        assert set(server.ports) == {"grpc", "ui"}
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
            assert (await browser.get(server.ui_url)).is_success


async def test_killed_it_says_so_and_starts_again_with_its_workflows_on_the_same_port(tmp_path: Path):
    async with running(tmp_path / "temporal", search_attributes=[("Customer", "Keyword")]) as server:
        await start_hibernation(await client_of(server), SearchAttributePair(CUSTOMER, "cus_1"))
        first, address = server.pid, server.address
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await server.start()
        assert server.pid != first
        assert server.address == address
        described = await (await client_of(server)).get_workflow_handle("hibernation").describe()
        assert described.status is WorkflowExecutionStatus.RUNNING
        assert described.typed_search_attributes[CUSTOMER] == "cus_1"


async def test_a_search_attribute_that_came_later_is_known_after_the_next_start(tmp_path: Path):
    async with running(tmp_path / "temporal", search_attributes=[("Customer", "Keyword")]):
        pass
    both = [("Customer", "Keyword"), ("AmountDue", "Double")]
    async with running(tmp_path / "temporal", search_attributes=both) as server:
        client = await client_of(server)
        await start_hibernation(client, SearchAttributePair(CUSTOMER, "cus_1"), SearchAttributePair(AMOUNT, 12.5))
        described = await client.get_workflow_handle("hibernation").describe()
        assert described.typed_search_attributes[AMOUNT] == 12.5


async def test_a_search_attribute_that_changed_its_type_is_refused(tmp_path: Path):
    async with running(tmp_path / "temporal", search_attributes=[("Customer", "Keyword")]):
        pass
    server = TemporalServer(tmp_path / "temporal", search_attributes=[("Customer", "Int")])
    with pytest.raises(StartFailed, match="Customer exists in namespace perennial with another type"):
        await server.start()
    assert server.pid is None


async def test_two_run_side_by_side_and_one_folder_has_one_owner(tmp_path: Path):
    async with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        await start_hibernation(await client_of(one))
        assert one.address != two.address
        assert not [found async for found in (await client_of(two)).list_workflows()]
        with pytest.raises(DirectoryInUse):
            await TemporalServer(tmp_path / "one").start()


async def test_a_taken_port_is_refused_with_its_number(tmp_path: Path):
    async with running(tmp_path / "one", durable=False) as one:
        port = one.ports["grpc"]
        with pytest.raises(StartFailed, match=f"port {port} .*already in use"):
            await TemporalServer(tmp_path / "two", port=port, durable=False).start()


@pytest.mark.skipif(
    not Path("/proc").exists(), reason="elsewhere the kernel does not tell children; the next start does"
)
async def test_it_dies_with_its_killed_parent_and_the_next_one_starts(tmp_path: Path):
    with Script(HOLDS_A_SERVER, str(tmp_path / "temporal")) as parent:
        pid = int(await parent.line())
        await parent.ended_by(signal.SIGKILL)
        await all_gone([pid])
    async with running(tmp_path / "temporal") as server:
        assert server.pid not in {None, pid}


async def test_a_single_workflow_of_the_full_server_can_be_moved_ahead(tmp_path: Path):
    async with running(tmp_path / "temporal", time_skipping=True, durable=False) as server:
        client = await client_of(server)
        async with Worker(
            client, task_queue="cave", workflows=[Hibernation], workflow_runner=UnsandboxedWorkflowRunner()
        ):
            handle = await start_hibernation(client)
            await TimeSkipper(client).fast_forward(handle, timedelta(days=46))
            assert await handle.result() == "awake"


async def test_the_test_server_skips_time_and_learns_search_attributes():
    begun = monotonic()
    async with await start_time_skipping([]) as env:
        for _ in range(2):
            await register_search_attributes(env.client, [("Customer", "Keyword"), ("AmountDue", "Double")])
        async with Worker(
            env.client, task_queue="cave", workflows=[Hibernation], workflow_runner=UnsandboxedWorkflowRunner()
        ):
            handle = await start_hibernation(env.client, SearchAttributePair(AMOUNT, 12.5))
            assert await handle.result() == "awake"
    assert monotonic() - begun < 30


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the process by /proc")
async def test_the_test_server_ends_when_it_is_told_to_and_when_its_user_is_killed():
    async with await start_time_skipping([]) as env:
        port = env.client.service_client.config.target_host.rpartition(":")[2]
        assert len(servers_on(port)) == 1
    await eventually(lambda: not servers_on(port), "its end")
    with Script(HOLDS_A_TEST_SERVER) as script:
        port = await script.line()
        assert len(servers_on(port)) == 1
        await script.ended_by(signal.SIGKILL)
        await eventually(lambda: not servers_on(port), "its end")
