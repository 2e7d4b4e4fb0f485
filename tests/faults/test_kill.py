"""kill -9, for real: each process of the stack is killed in the middle of provisionings and of charges.

    asked      the target has been asked for a step and does not answer
    waiting    the target has taken a step on and will call back
    in-flight  the provider has been asked for the money and has not moved it yet
    unheard    the provider has moved the money, and its answer is not heard

One blow for all four. After the restart each deal ends as if nothing had happened: one order, one subscription, one grant
of each feature, one invoice, one charge, no workflow but the subscription's, books that balance.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.client import WorkflowExecutionStatus as Status
from temporalio.service import RPCError, RPCStatusCode

from store.connections import engine_of
from store.invariants import violations
from workers.dev import DATABASE, DevStack
from workers.process import free_port
from workflows.names import collection_workflow, order_workflow, quote_workflow, subscription_workflow

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
GYM = Path(__file__).parents[2] / "examples" / "gym" / "catalog.yaml"
PATIENCE_S = 120


class Stack:
    """The dev stack, its API as an administrator, and the sandbox's back door."""

    def __init__(self, dev: DevStack) -> None:
        self.dev = dev
        headers = {"Authorization": f"Bearer {dev.admin_key}"}
        self.api = httpx.AsyncClient(base_url=f"{dev.api_url}/v1", headers=headers, timeout=30, trust_env=False)
        sandbox = dev.environment()["PERENNIAL_STRIPE_API_BASE"]
        self.sandbox = httpx.AsyncClient(base_url=sandbox, timeout=30, trust_env=False)

    def pid(self, service: str) -> int:
        """Its process now, as `stack.json` says."""
        return int(json.loads(self.dev.supervisor.stack_file.read_text())["services"][service]["pid"])

    async def kill(self, service: str) -> None:
        """kill -9, and wait until it is up again under another pid."""
        was = self.pid(service)
        os.kill(was, signal.SIGKILL)
        await until(lambda: self._is_back(service, was), f"{service} is up again")

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request; an outage while something is down is waited out, under one idempotency key."""
        headers = {"Idempotency-Key": f"{path}/{json.dumps(body)}"}
        deadline = monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self.api.request(method, path, json=body, headers=headers)
                if answer.status_code < 500 and answer.status_code != 409:
                    assert answer.is_success, answer.text
                    return answer.json()
            except httpx.TransportError:
                pass
            assert monotonic() < deadline, f"{method} {path} was never answered"
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Let the connections go."""
        await self.api.aclose()
        await self.sandbox.aclose()

    async def deal(self, key: str) -> None:
        """A customer with a good card, a quote, its acceptance."""
        await self.offer(key)
        await self.ask("POST", f"/quotes/{key}/accept", {"accepted_by": key})

    async def offer(self, key: str) -> None:
        """A customer with a good card, and a quote."""
        customer = {"key": key, "name": key, "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
        await self.ask("POST", "/customers", {**customer, "payment_method": "pm_card_visa"})
        await self.ask("POST", "/quotes", {"key": key, "customer": key, "lines": [{"plan": "all-access"}]})

    async def fault(self, **fault: object) -> None:
        """Tell the sandbox to misbehave."""
        path = "/_sandbox/provisioning/faults" if "fail" in fault else "/_sandbox/faults"
        (await self.sandbox.post(path, json=fault)).raise_for_status()

    async def _is_back(self, service: str, was: int) -> bool:
        try:
            return self.pid(service) != was
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return False


async def until(holds: Callable[[], Awaitable[object]], what: str) -> None:
    """Poll until it holds; fails when it never does."""
    deadline = monotonic() + PATIENCE_S
    while not await holds():
        assert monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.05)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The whole stack, up; when the tests are done it must leave no process behind."""
    folder = tmp_path_factory.mktemp("stack")
    dev = DevStack(folder, port=free_port())
    async with dev.supervisor:
        stack = Stack(dev)
        content = {"content": GYM.read_bytes(), "headers": {"Content-Type": "application/yaml"}}
        (await stack.api.put("/catalog", **content)).raise_for_status()
        assert len(processes_of(folder)) >= 5
        yield stack
        assert {stack.pid(name) for name in SERVICES} <= processes_of(folder)
        await stack.close()
    assert not processes_of(folder)


SERVICES = ("postgres", "temporal", "sandbox", "worker", "api")


def processes_of(folder: Path) -> set[int]:
    """Whatever runs for the stack in `folder`: it is named in the command, or in the environment."""
    found: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if str(folder).encode() in told and int(process.name) != os.getpid():
                found.add(int(process.name))
    return found


@pytest.mark.parametrize("victim", ["worker", "api", "temporal", "postgres"])
async def test_a_kill_in_the_middle_changes_nothing(stack: Stack, victim: str):
    asked, waiting, in_flight, unheard = (f"{victim}-{how}" for how in ("asked", "waiting", "in-flight", "unheard"))

    await stack.fault(fail="timeout")
    await stack.deal(asked)
    await until(lambda: nobody_fails(stack), "the target is asked")
    await stack.fault(kind="in_flight", on="confirm_intent")
    await stack.deal(in_flight)
    await until(lambda: none_left(stack), "the charge is in flight")
    await stack.fault(kind="timeout_after_charge")
    await stack.deal(unheard)
    await until(lambda: none_left(stack), "the charge is made")
    await stack.fault(fail=202)
    await stack.deal(waiting)
    await until(lambda: nobody_fails(stack), "the target has taken it on")

    await stack.kill(victim)
    assert len(await charges(stack)) == len(set(await charges(stack)))
    (await stack.sandbox.post("/_sandbox/release")).raise_for_status()

    for deal in (asked, waiting, in_flight, unheard):
        await until(lambda deal=deal: is_paid(stack, deal), f"{deal} is paid")
        await ended_as_if_nothing_had_happened(stack, deal)
    await books_are_whole(stack)


async def test_who_was_waiting_for_an_answer_of_the_killed_api_asks_again_and_gets_the_same(stack: Stack):
    await stack.fault(fail="timeout")
    await stack.offer("interrupted")
    path = "/quotes/interrupted/accept?wait=PT30S"
    accepting = asyncio.create_task(stack.api.post(path, json={"accepted_by": "interrupted"}))
    await until(lambda: nobody_fails(stack), "the target is asked")
    order = await stack.ask("GET", "/orders/interrupted")
    await stack.kill("api")
    with pytest.raises(httpx.TransportError):
        await accepting
    assert (await stack.ask("POST", "/quotes/interrupted/accept", {"accepted_by": "interrupted"}))["id"] == order["id"]
    await until(lambda: is_paid(stack, "interrupted"), "interrupted is paid")
    await ended_as_if_nothing_had_happened(stack, "interrupted")
    await books_are_whole(stack)


async def nobody_fails(stack: Stack) -> bool:
    """Whether the target has nothing left to do wrong."""
    nothing = {"fail": 202, "times": 0}
    return not (await stack.sandbox.post("/_sandbox/provisioning/faults", json=nothing)).json()["failures"]


async def none_left(stack: Stack) -> bool:
    return not (await stack.sandbox.get("/_sandbox/faults")).json()["faults"]


async def is_paid(stack: Stack, deal: str) -> bool:
    """Whether it is; a step that could not be asked for is asked for again now, not in a minute."""
    order = await stack.ask("GET", f"/orders/{deal}")
    if order["state"] == "provisioning" and any(step["state"] == "unavailable" for step in order["steps"]):
        await stack.ask("POST", f"/orders/{deal}/retry", {})
    invoices = (await stack.ask("GET", f"/invoices?customer={deal}"))["data"]
    return bool(invoices) and all(invoice["state"] == "paid" for invoice in invoices)


async def ended_as_if_nothing_had_happened(stack: Stack, deal: str) -> None:
    order = await stack.ask("GET", f"/orders/{deal}")
    assert order["state"] == "completed"
    assert [step["state"] for step in order["steps"]] == ["done", "done"]
    assert len((await stack.ask("GET", f"/subscriptions?customer={deal}"))["data"]) == 1
    invoices = (await stack.ask("GET", f"/invoices?customer={deal}"))["data"]
    assert [invoice["total"] for invoice in invoices] == ["88.06"]
    collection = await stack.ask("GET", f"/collections/{invoices[0]['number']}")
    succeeded = [attempt for attempt in collection["attempts"] if attempt["state"] == "succeeded"]
    assert (collection["state"], len(succeeded)) == ("paid", 1)
    events = (await stack.ask("GET", f"/events?customer={deal}&limit=200"))["data"]
    granted = [event["data"]["feature"] for event in events if event["type"] == "entitlement.granted"]
    assert sorted(granted) == ["guests", "pool", "weights"]
    assert (await stack.ask("GET", f"/entitlements/{deal}/weights"))["allowed"]
    told = [event["type"] for event in events]
    for once in ("quote.accepted", "order.completed", "subscription.activated", "invoice.issued", "invoice.paid"):
        assert told.count(once) == 1, f"{once}: {told}"
    subscription = (await stack.ask("GET", f"/subscriptions/{deal}"))["id"]
    for workflow_id in (quote_workflow(order["quote"]), order_workflow(order["id"])):
        await until(lambda workflow_id=workflow_id: has(stack, workflow_id, Status.COMPLETED), f"{workflow_id} ends")
    assert await has(stack, subscription_workflow(subscription), Status.RUNNING)
    collecting = collection_workflow(collection["invoice_id"])
    await until(lambda: has(stack, collecting, Status.COMPLETED, None), f"{collecting} ends")


async def has(stack: Stack, workflow_id: str, *statuses: Status | None) -> bool:
    """Whether the workflow's last run has one of `statuses`; None: there never was one."""
    client = await Client.connect(stack.dev.temporal.address, namespace=stack.dev.temporal.namespace)
    try:
        return (await client.get_workflow_handle(workflow_id).describe()).status in statuses
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None in statuses


async def charges(stack: Stack) -> list[str]:
    """The intents for which money has moved."""
    return [one["payment_intent"] for one in (await stack.sandbox.get("/_sandbox/charges")).json()["data"]]


async def books_are_whole(stack: Stack) -> None:
    intents = await charges(stack)
    assert len(intents) == len(set(intents)), "an invoice was charged twice"
    invoices = (await stack.ask("GET", "/invoices?limit=200"))["data"]
    assert len(intents) == len(invoices) == sum(invoice["state"] == "paid" for invoice in invoices)
    assert (await stack.ask("GET", "/ledger/trial-balance"))["balanced"]
    engine = engine_of(stack.dev.postgres.url(DATABASE))
    try:
        assert not await violations(engine)
    finally:
        await engine.dispose()
