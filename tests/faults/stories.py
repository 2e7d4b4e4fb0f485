"""The two stories that crashes are tried on, and all that the product says when one is over.

gym       examples/gym/story.yaml: quote to renewal, one card without money
troubles  what the gym is spared: revision, rejection, expiry, a target that calls back, one that is away, one that
          refuses; a card that never pays, to the last; invoices with terms; a bank that takes its time
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from store.invariants import violations
from workers.scenario import read_scenario
from workers.simulation import Simulation
from workers.story import everything, tell

GYM = Path(__file__).parents[2] / "examples" / "gym"
GYM_STORY = read_scenario(GYM / "story.yaml")
STARTS = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
LISTS = ("customers", "quotes", "orders", "subscriptions", "invoices", "collections", "events")

Between = Callable[[Simulation], Awaitable[None]]
Story = Callable[..., Awaitable[Mapping[str, Any]]]
CARD, NO_MONEY, LOST = "pm_card_visa", "pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedLostCard"


def price_book() -> dict[str, Any]:
    """The gym's, which gives up sooner, with terms for those who ask for them."""
    book = yaml.safe_load((GYM / "catalog.yaml").read_text())
    book["collections"]["default"]["write_off_after"] = "P33D"
    book["collections"]["terms"] = {"net_days": 10, "retries": ["P1D"], "reminders": ["P0D"]}
    return book


async def nothing(_: Simulation) -> None:
    """What happens between the steps of a story that nobody disturbs."""


async def gym(world: Simulation, between: Between = nothing) -> Mapping[str, Any]:
    """The gym's story, without what it cost. `between` is called when a step is answered, before what follows is done."""

    async def progress(verb: str, answer: dict[str, Any]) -> None:
        if verb != "event":
            await between(world)

    result = await tell(GYM_STORY, world, None if between is nothing else progress)
    return {name: value for name, value in result.items() if name != "workflows"} | await recorded(world)


async def troubles(world: Simulation, between: Between = nothing) -> Mapping[str, Any]:
    """All that can go wrong by itself in six weeks; no two subscriptions have the same boundary."""
    said: list[Any] = []
    sandbox = world.world.sandbox
    target, webhooks = sandbox.provisioning, sandbox.payments.webhooks

    async def ask(method: str, path: str, body: object) -> None:
        answer = await world.http.request(method, f"/v1/{path}", json=body)
        # Of the rest an answer shows as much as was done when it was written.
        said.append([path, answer.status_code, answer.json().get("code")])
        await between(world)
        await world.settle(world.now)

    async def at(instant: str) -> None:
        await world.reach(datetime.fromisoformat(f"2026-{instant}+00:00"))

    await ask("PUT", "catalog", price_book())
    for key, more in CUSTOMERS.items():
        await ask("POST", "customers", {"key": key, "name": key, "country": "DE", **BERLIN, **more})
    for key, percent in (("bob", "25"), ("eve", None), ("fay", None), ("gil", "50"), ("hal", None)):
        await ask("POST", "quotes", offer(key, percent=percent))
    await at("01-05 09:00")
    await ask("POST", "quotes/bob/revise", {"lines": offer("bob", percent="30")["lines"]})
    await ask("POST", "quotes/bob/submit", {})
    await ask("POST", "quotes/fay/withdraw", {})
    await ask("POST", "quotes/gil/submit", {})
    await at("01-05 09:30")
    await ask("POST", "quotes/bob/approve", {"as": "sales-manager"})
    await ask("POST", "quotes/gil/reject", {"as": "sales-manager"})
    target.fail(202)
    target.fail(503)
    await ask("POST", "quotes/bob/accept", {"accepted_by": "Bob"})
    await at("01-05 10:00")
    await ask("POST", "orders/bob/steps/account/complete", {"detail": "by hand"})
    # A step is done, then the next one never will be.
    await at("01-05 10:30")
    target.fail(202)
    target.fail(422)
    await ask("POST", "quotes/eve/accept", {"accepted_by": "Eve"})
    await ask("POST", "orders/eve/steps/account/complete", {})
    await at("01-07 10:00")
    await ask("POST", "quotes", offer("kay"))
    await ask("POST", "quotes/kay/accept", {"accepted_by": "Kay"})
    # The bank's answer comes by webhook alone, and after a while.
    await at("01-11 10:00")
    webhooks.hold()
    await ask("POST", "quotes", offer("dan", plan="off-peak"))
    await ask("POST", "quotes/dan/accept", {"accepted_by": "Dan"})
    await at("01-11 10:10")
    await webhooks.release(times=2, newest_first=True)
    await until(lambda: is_paid(world, "dan"))
    await at("01-25 12:00")
    await ask("POST", "customers/bob/payment-methods", {"use": LOST})
    await at("02-20 12:00")
    return {"said": said, **await recorded(world)}


BERLIN = {"currency": "EUR", "timezone": "Europe/Berlin"}
CUSTOMERS = {
    "bob": {"payment_method": NO_MONEY, "email": "bob@example.com"},
    "eve": {"payment_method": CARD},
    "fay": {},
    "gil": {},
    "hal": {},
    "kay": {"payment_method": CARD, "collections": "terms"},
    "dan": {"payment_method": "pm_success_de"},
}


def offer(key: str, *, plan: str = "all-access", percent: str | None = None) -> dict[str, Any]:
    """The body of a quote over one line, for the customer of that key."""
    discounts = {"discounts": [{"percent": percent}]} if percent else {}
    return {"key": key, "customer": key, "lines": [{"plan": plan, **discounts}]}


async def is_paid(world: Simulation, key: str) -> bool:
    """Whether every invoice of the customer is."""
    invoices = (await world.http.get("/v1/invoices", params={"customer": key})).json()["data"]
    return bool(invoices) and all(invoice["state"] == "paid" for invoice in invoices)


async def until(holds: Callable[[], Awaitable[bool]], within: int = 60) -> None:
    """Return once it holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(within):
        while not await holds():
            await asyncio.sleep(0.02)


async def recorded(world: Simulation) -> dict[str, Any]:
    """All that the books, the provider and the target have, and which invariants are broken."""
    found: dict[str, Any] = {name: await everything(world.http, f"/v1/{name}") for name in LISTS}
    found["entitlements"] = {
        customer["key"]: (await world.http.get(f"/v1/entitlements/{customer['key']}")).json()
        for customer in found["customers"]
    }
    found["trial balance"] = (await world.http.get("/v1/ledger/trial-balance")).json()
    sandbox = world.world.sandbox
    found["movements"] = [asdict(movement) for movement in sandbox.payments.account.movements()]
    found["provisioned"] = sandbox.provisioning.steps()
    found["violations"] = [f"{broken.name}: {broken.rows}" for broken in await violations(world.engine)]
    return found


def text_of(result: Mapping[str, Any]) -> str:
    """`result` to the last byte."""
    return json.dumps(result, indent=1, default=str)
