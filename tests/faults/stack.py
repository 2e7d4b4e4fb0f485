"""The dev stack as its tests see it: the API, the sandbox's back door, each process, and what must be so in the end."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.client import WorkflowExecutionStatus as Status
from temporalio.service import RPCError, RPCStatusCode

from store.connections import engine_of
from store.invariants import violations
from workers.dev import DATABASE, DevStack
from workflows.names import collection_workflow, order_workflow, quote_workflow, subscription_workflow

GYM = Path(__file__).parents[2] / "examples" / "gym" / "catalog.yaml"
PATIENCE_S = 120
SERVICES = ("postgres", "temporal", "sandbox", "worker", "api")


class Stack:
    """The dev stack, its API as an administrator, and the sandbox's back door."""

    def __init__(self, dev: DevStack) -> None:
        self.dev = dev
        headers = {"Authorization": f"Bearer {dev.admin_key}"}
        self.api = httpx.AsyncClient(base_url=f"{dev.api_url}/v1", headers=headers, timeout=30, trust_env=False)
        self.sandbox = httpx.AsyncClient(base_url=dev.sandbox_url, timeout=30, trust_env=False)

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


@asynccontextmanager
async def running(dev: DevStack) -> AsyncIterator[Stack]:
    """The whole stack, up, with the gym's price book; when the block is left it must leave no process behind."""
    async with dev.supervisor:
        stack = Stack(dev)
        content = {"content": GYM.read_bytes(), "headers": {"Content-Type": "application/yaml"}}
        (await stack.api.put("/catalog", **content)).raise_for_status()
        assert len(processes_of(dev.data_dir)) >= 5
        yield stack
        assert {stack.pid(name) for name in SERVICES} <= processes_of(dev.data_dir)
        await stack.close()
    assert not processes_of(dev.data_dir)


def processes_of(folder: Path) -> set[int]:
    """Whatever runs for the stack in `folder`: it is named in the command, or in the environment."""
    found: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if str(folder).encode() in told and int(process.name) != os.getpid():
                found.add(int(process.name))
    return found


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
