"""A whole product on a time-skipping server for each test, and the few words in which the tests speak to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import yaml
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from store.due import open_lifecycles
from store.invariants import violations
from workers.restart import restart_everything, workflow_of
from workers.simulation import Simulation, simulation
from workflows import names

GYM = Path(__file__).parents[2] / "examples" / "gym"
STARTS = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
CARD, NO_MONEY, LOST = "pm_card_visa", "pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedLostCard"
PATIENCE_S = 60


def price_book(**policies: Any) -> dict[str, Any]:
    """The gym's, with more dunning policies."""
    book = yaml.safe_load((GYM / "catalog.yaml").read_text())
    return {**book, "collections": {**book["collections"], **policies}}


@dataclass
class Line:
    """The world, as somebody sees it who sells one thing to one customer under one key."""

    world: Simulation

    async def get(self, path: str, **params: str) -> Any:
        answer = await self.world.http.get(f"/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: object = None, *, key: str | None = None) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.world.http.post(f"/v1/{path}", json={} if body is None else body, headers=headers)
        return answer.status_code, answer.json()

    async def done(self, path: str, body: object = None) -> Any:
        status, answer = await self.post(path, body)
        assert status < 300, answer
        return answer

    async def catalog(self, book: dict[str, Any]) -> None:
        """Another price book from now on."""
        applied = await self.world.http.put("/v1/catalog", json=book)
        assert applied.status_code == 200, applied.text

    async def customer(self, name: str, method: str | None = CARD, **more: str) -> None:
        body = {"key": name, "name": name, "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE", **more}
        await self.done("customers", body | ({"payment_method": method} if method else {}))

    async def quote(self, name: str, plan: str = "all-access", **more: Any) -> Any:
        return await self.done("quotes", offer(name, plan, **more))

    async def accept(self, name: str) -> Any:
        """The order; all that follows by itself at this instant is done."""
        order = await self.done(f"quotes/{name}/accept", {"accepted_by": name})
        await self.settle()
        return order

    async def sold(self, name: str, method: str | None = CARD, plan: str = "all-access", **more: str) -> None:
        """From nothing to a subscription of that key."""
        await self.customer(name, method, **more)
        await self.quote(name, plan)
        await self.accept(name)

    async def settle(self) -> None:
        await self.world.settle(self.world.now)

    async def later(self, **by: float) -> None:
        """So much later, all done that is due by then."""
        await self.world.reach(self.world.now + timedelta(**by))

    async def away(self, **by: float) -> None:
        """Everything is down so long, and nothing is left but the books; then what is open is started from them."""
        for record in await open_lifecycles(self.world.engine):
            await self.world.client.get_workflow_handle(workflow_of(record)).terminate()
        await self.world.jump_to(self.world.now + timedelta(**by))
        await restart_everything(self.world.engine, self.world.world.doors.lifecycles)
        await self.settle()

    async def order(self, name: str) -> Any:
        return await self.get(f"orders/{name}")

    async def collection(self, name: str, nth: int = 1) -> Any:
        return await self.get(f"collections/{name}%23{nth}")

    async def charges(self) -> list[Any]:
        """What the provider has executed, declined or not."""
        return (await self.sandbox_get("charges"))["data"]

    async def sandbox_get(self, path: str) -> Any:
        return await self._sandbox("GET", path, None)

    async def sandbox(self, path: str, **body: Any) -> Any:
        """The sandbox's back door."""
        return await self._sandbox("POST", path, body)

    async def _sandbox(self, method: str, path: str, body: Any) -> Any:
        import httpx

        transport = httpx.ASGITransport(self.world.world.sandbox)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", timeout=60) as client:
            answer = await client.request(method, f"/_sandbox/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def status(self, workflow_id: str) -> WorkflowExecutionStatus | None:
        return await status_of(self.world.client, workflow_id)

    async def sound(self) -> None:
        """No invariant is broken, and the ledger balances."""
        assert not [f"{broken.name}: {broken.rows}" for broken in await violations(self.world.engine)]
        assert (await self.get("ledger/trial-balance"))["balanced"]

    async def paid_once(self, name: str) -> Any:
        """The first invoice is paid by one charge that succeeded, and no charge failed. Answers its collection."""
        collection = await self.collection(name)
        assert (collection["state"], collection["last_decline"]) == ("paid", None), collection
        assert [charge["status"] for charge in await self.charges()] == ["succeeded"]
        [invoice] = (await self.get("invoices"))["data"]
        assert (invoice["state"], invoice["outstanding"]) == ("paid", "0.00")
        events = [event["type"] for event in (await self.get("events"))["data"]]
        assert events.count("payment.succeeded") == 1
        assert "payment.failed" not in events
        await self.sound()
        return collection

    async def sold_once(self, name: str) -> Any:
        """One order that is completed, one subscription, each of its features once, no workflow left but its own."""
        [order] = (await self.get("orders"))["data"]
        assert order["state"] == "completed", order
        [subscription] = (await self.get("subscriptions"))["data"]
        assert (subscription["key"], subscription["state"]) == (name, "active")
        events = [event["type"] for event in (await self.get("events"))["data"]]
        assert events.count("entitlement.granted") == 3
        assert events.count("order.completed") == events.count("subscription.activated") == 1
        quote = await self.get(f"quotes/{name}")
        for workflow_id in (names.quote_workflow(quote["id"]), names.order_workflow(order["id"])):
            await eventually(self._has_ended, workflow_id)
        await self.sound()
        return order

    async def _has_ended(self, workflow_id: str) -> bool:
        return await self.status(workflow_id) is WorkflowExecutionStatus.COMPLETED


def offer(name: str, plan: str = "all-access", **more: Any) -> dict[str, Any]:
    """The body of a quote over one line."""
    return {"key": name, "customer": more.pop("customer", name), "lines": [{"plan": plan, **more}]}


async def status_of(client: Client, workflow_id: str) -> WorkflowExecutionStatus | None:
    """Of its latest run; None when there never was one."""
    found = await description_of(client, workflow_id)
    return WorkflowExecutionStatus(found.workflow_execution_info.status) if found else None


async def description_of(client: Client, workflow_id: str) -> DescribeWorkflowExecutionResponse | None:
    """Asked without the SDK's `describe`, which cannot read a search attribute that this server keeps as unset."""
    request = DescribeWorkflowExecutionRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id)
    )
    try:
        return await client.workflow_service.describe_workflow_execution(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


@asynccontextmanager
async def line_of(database_url: str, folder: Path, **policies: Any) -> AsyncIterator[Line]:
    """A world with the gym's price book and nobody in it."""
    async with simulation(starts=STARTS, database_url=database_url, folder=folder) as world:
        line = Line(world)
        await line.catalog(price_book(**policies))
        yield line


async def eventually(holds: Callable[..., Awaitable[object]], *args: Any, within: float = PATIENCE_S) -> None:
    """Return once `holds` does; fails after `within` seconds."""
    deadline = monotonic() + within
    while not await holds(*args):
        assert monotonic() < deadline, f"not within {within} s: {holds.__name__} {args}"
        await asyncio.sleep(0.02)
