"""The two stories that crashes are tried on, and all that the product says when one is over.

    gym       examples/gym/story.yaml: quote to renewal, one card without money
    troubles  what the gym is spared: revision, rejection, expiry, a target that calls back, one that is away, one that
              refuses; a card that never pays, to the last; invoices with terms; a bank that takes its time
"""

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

Story = Callable[[Simulation], Awaitable[Mapping[str, Any]]]
CARD, NO_MONEY, LOST = "pm_card_visa", "pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedLostCard"


def price_book() -> dict[str, Any]:
    """The gym's, with terms for those who ask for them."""
    book = yaml.safe_load((GYM / "catalog.yaml").read_text())
    book["collections"]["terms"] = {"net_days": 45, "retries": ["P1D"], "reminders": ["P0D"]}
    return book


async def gym(world: Simulation) -> Mapping[str, Any]:
    """The gym's story, without what it cost."""
    result = await tell(GYM_STORY, world)
    return {name: value for name, value in result.items() if name != "workflows"} | await recorded(world)


async def troubles(world: Simulation) -> Mapping[str, Any]:
    """All that can go wrong by itself in two months and a half."""
    said: list[Any] = []
    target = world.world.sandbox.provisioning

    async def ask(method: str, path: str, body: object) -> None:
        answer = await world.http.request(method, f"/v1/{path}", json=body)
        # Of the rest an answer shows as much as was done when it was written.
        said.append([path, answer.status_code, answer.json().get("code")])
        await world.settle(world.now)

    async def at(day: int, time: str) -> None:
        month, day = (1, day) if day <= 31 else (2, day - 31) if day <= 59 else (3, day - 59)
        await world.reach(datetime.fromisoformat(f"2026-{month:02}-{day:02}T{time}+00:00"))

    async def customer(key: str, **more: str) -> None:
        await ask("POST", "customers", {"key": key, "name": key, "country": "DE", **BERLIN, **more})

    async def quote(key: str, percent: str | None = None) -> None:
        line = {"plan": "all-access", **({"discounts": [{"percent": percent}]} if percent else {})}
        await ask("POST", "quotes", {"key": key, "customer": key, "lines": [line]})

    await ask("PUT", "catalog", price_book())
    for key, more in CUSTOMERS.items():
        await customer(key, **more)
    for key, percent in (("bob", "25"), ("eve", None), ("fay", None), ("gil", "50"), ("hal", None), ("kay", None), ("dan", None)):
        await quote(key, percent)
    await at(5, "09:00")
    await ask("POST", "quotes/bob/revise", {"lines": [{"plan": "all-access", "discounts": [{"percent": "30"}]}]})
    await ask("POST", "quotes/bob/submit", {})
    await ask("POST", "quotes/fay/withdraw", {})
    await ask("POST", "quotes/gil/submit", {})
    await at(5, "09:30")
    await ask("POST", "quotes/bob/approve", {"as": "sales-manager"})
    await ask("POST", "quotes/gil/reject", {"as": "sales-manager"})
    target.fail(202)
    target.fail(503)
    await ask("POST", "quotes/bob/accept", {"accepted_by": "Bob"})
    await at(5, "10:00")
    await ask("POST", "orders/bob/steps/account/complete", {"detail": "by hand"})
    await at(5, "10:30")
    # A step is done, then the next one never will be.
    target.fail(202)
    target.fail(422)
    await ask("POST", "quotes/eve/accept", {"accepted_by": "Eve"})
    await ask("POST", "orders/eve/steps/account/complete", {})
    await ask("POST", "quotes/kay/accept", {"accepted_by": "Kay"})
    await ask("POST", "quotes/dan/accept", {"accepted_by": "Dan"})
    await at(30, "12:00")
    await ask("POST", "customers/bob/payment-methods", {"use": LOST})
    await at(79, "12:00")
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
