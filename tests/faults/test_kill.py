"""kill -9, for real: each process of the stack is killed in the middle of a provisioning and of a charge.

After its restart both deals end as if nothing had happened: one order, one subscription, one grant of each feature, one
invoice, one charge, books that balance.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
import pytest_asyncio

from store.connections import engine_of
from store.invariants import violations
from workers.dev import DATABASE, DevStack
from workers.process import free_port

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

    async def deal(self, key: str) -> None:
        """A customer with a good card, a quote, its acceptance."""
        customer = {"key": key, "name": key, "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
        await self.ask("POST", "/customers", {**customer, "payment_method": "pm_card_visa"})
        await self.ask("POST", "/quotes", {"key": key, "customer": key, "lines": [{"plan": "all-access"}]})
        await self.ask("POST", f"/quotes/{key}/accept", {"accepted_by": key})

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
    dev = DevStack(tmp_path_factory.mktemp("stack"), port=free_port())
    async with dev.supervisor:
        stack = Stack(dev)
        content = {"content": GYM.read_bytes(), "headers": {"Content-Type": "application/yaml"}}
        (await stack.api.put("/catalog", **content)).raise_for_status()
        yield stack
        pids = [stack.pid(name) for name in ("postgres", "temporal", "sandbox", "worker", "api")]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("victim", ["worker", "api", "temporal", "postgres"])
async def test_a_kill_in_the_middle_changes_nothing(stack: Stack, victim: str):
    provisioned, charged = f"{victim}-provisioned", f"{victim}-charged"

    await stack.fault(fail="timeout" if victim == "worker" else 202)
    await stack.deal(provisioned)
    await until(lambda: asked_to_provision(stack, provisioned), "the target is asked")
    await stack.fault(kind="in_flight", on="confirm_intent")
    await stack.deal(charged)
    await until(lambda: none_left(stack), "the charge is in flight")

    await stack.kill(victim)
    (await stack.sandbox.post("/_sandbox/release")).raise_for_status()

    for deal in (provisioned, charged):
        await until(lambda deal=deal: is_paid(stack, deal), f"{deal} is paid")
        await ended_as_if_nothing_had_happened(stack, deal)
    await books_are_whole(stack)


async def test_the_provider_charges_and_its_answer_is_lost(stack: Stack):
    await stack.fault(kind="timeout_after_charge")
    await stack.deal("unheard")
    await until(lambda: is_paid(stack, "unheard"), "unheard is paid")
    await ended_as_if_nothing_had_happened(stack, "unheard")
    await books_are_whole(stack)


async def asked_to_provision(stack: Stack, deal: str) -> bool:
    order = await stack.ask("GET", f"/orders/{deal}")
    if order["state"] == "waiting":
        return True
    failures = (await stack.sandbox.post("/_sandbox/provisioning/faults", json={"fail": 202, "times": 0})).json()
    return not failures["failures"]


async def none_left(stack: Stack) -> bool:
    return not (await stack.sandbox.get("/_sandbox/faults")).json()["faults"]


async def is_paid(stack: Stack, deal: str) -> bool:
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


async def books_are_whole(stack: Stack) -> None:
    movements = (await stack.sandbox.get("/_sandbox/charges")).json()["data"]
    intents = [movement["payment_intent"] for movement in movements]
    assert len(intents) == len(set(intents)), "an invoice was charged twice"
    invoices = (await stack.ask("GET", "/invoices?limit=200"))["data"]
    assert len(movements) == sum(invoice["state"] == "paid" for invoice in invoices)
    assert (await stack.ask("GET", "/ledger/trial-balance"))["balanced"]
    engine = engine_of(stack.dev.postgres.url(DATABASE))
    try:
        assert not await violations(engine)
    finally:
        await engine.dispose()
