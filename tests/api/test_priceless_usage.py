"""Usage that would be on no invoice is refused when it comes: by what its customer bought, or else by what is on offer."""

import copy
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import yaml
from sqlalchemy import text

from store.invariants import violations
from tests.api.conftest import BOOK

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINUTES = {"key": "court_minutes", "event": "court.booked", "aggregation": "sum", "value": "minutes"}


def book(**changes: Any) -> dict[str, Any]:
    """`courts` by court, court 1 alone having a price; `trying` the same after a trial, `a-while` for two weeks."""
    read = yaml.safe_load(BOOK.read_text())
    [base, courts] = read["plans"][0]["charges"]
    price = {"match": {"court": "1"}, "unit_amount": "12.00"}
    matrix = {"key": "courts", "model": "matrix", "meter": "court_hours", "timing": "arrears", "dimensions": ["court"]}
    charged = {**read["plans"][0], "charges": [base, {**matrix, "prices": [price]}]}
    read["plans"] += [
        {**charged, "key": "courts"},
        {**charged, "key": "trying", "trial_days": 10},
        {**charged, "key": "a-while", "duration": "P14D"},
        {**charged, "key": "any-court", "charges": [base, courts]},
    ]
    return {**read, **changes}


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def priced(api):
    assert (await api.http.put("/v1/catalog", json=book())).status_code == 200


async def told(api, who: str, court: str = "7", *, days: float = 0, **used: Any) -> str | None:
    """Why an hour, or what else was `used`, on a court is refused, `days` from now."""
    time = (api.world.now + timedelta(days=days)).isoformat()
    event = {"specversion": "1.0", "id": api.fresh("e"), "source": "door", "type": "court.booked", "subject": who}
    answer = await api.http.post(
        "/v1/usage", json=event | {"data": {"court": court, **(used or {"hours": 1})}, "time": time}
    )
    [why] = [one["code"] for one in answer.json()["rejected"]] or [None]
    return why


async def buyer(api, plan: str) -> str:
    who = await api.customer(payment_method="pm_card_visa")
    await api.sold(who, plan)
    return who


async def test_of_a_group_for_which_the_plan_sold_has_no_price(api):
    ada = await buyer(api, "courts")
    assert await told(api, ada, "1") is None
    assert await told(api, ada, "7") == "unmatched_dimension"
    async with api.as_("usage") as http:
        found = (await http.get(f"/v1/usage/refused?subject={ada}")).json()["data"]
    assert [(one["code"], one["detail"]) for one in found] == [
        ("unmatched_dimension", "no price matches court='7', and there is no default")
    ]


async def test_before_it_was_sold_is_judged_by_what_is_on_offer(api):
    assert await told(api, await buyer(api, "courts"), "7", days=-1) is None


async def test_is_judged_by_the_line_that_bills_it(api):
    ada, bob = await buyer(api, "any-court"), await buyer(api, "courts")
    await api.world.reach(api.world.now + timedelta(hours=1))
    await api.sold(ada, "courts")
    await api.sold(bob, "any-court")
    assert await told(api, ada, "7") is None
    assert await told(api, bob, "7") == "unmatched_dimension"


async def test_in_a_trial_is_billed_by_nobody_and_judged_from_its_end(api):
    ada = await buyer(api, "trying")
    assert await told(api, ada, "7") is None
    await api.world.reach(api.world.now + timedelta(days=11))
    assert await told(api, ada, "7") == "unmatched_dimension"
    assert await told(api, ada, "7", days=-2) is None


async def test_after_the_end_of_what_was_sold_for_a_while(api):
    ada = await buyer(api, "a-while")
    assert await told(api, ada, "7") == "unmatched_dimension"
    await api.world.reach(api.world.now + timedelta(days=15))
    assert await told(api, ada, "7") is None
    assert await told(api, ada, "7", days=-2) == "unmatched_dimension"


async def test_a_meter_that_is_no_longer_offered_judges_only_for_whom_it_was_sold(api):
    ada, bob = await buyer(api, "courts"), await api.customer()
    changed = copy.deepcopy(book())
    changed["meters"] = [MINUTES if one["key"] == "court_hours" else one for one in changed["meters"]]
    for plan in changed["plans"]:
        plan["charges"] = [one for one in plan["charges"] if one.get("meter") != "court_hours"]
    assert (await api.http.put("/v1/catalog", json=changed)).status_code == 200
    assert await told(api, bob, minutes=60) is None
    assert await told(api, bob, hours=1) == "invalid_event"
    assert await told(api, ada, minutes=60) == "invalid_event"
    assert await told(api, ada, "1", hours=1) is None


async def test_a_meter_that_only_limits_counts_though_it_is_no_longer_offered(api):
    ada, bob = await buyer(api, "courts"), await api.customer()
    changed = book(meters=book()["meters"][1:], features=[one for one in book()["features"] if one["key"] != "pool"])
    for plan in changed["plans"]:
        plan.pop("entitlements", None)
    assert (await api.http.put("/v1/catalog", json=changed)).status_code == 200
    event = {"specversion": "1.0", "source": "door", "type": "pool.entered"}
    batch = [event | {"id": api.fresh("e"), "subject": who} for who in (ada, bob)]
    answer = (await api.http.post("/v1/usage", json=batch)).json()
    assert (answer["accepted"], [one["code"] for one in answer["rejected"]]) == (1, ["unknown_event"])


async def test_that_is_in_the_books_all_the_same_holds_up_no_invoice_and_is_told(api):
    ada = await buyer(api, "courts")
    await told(api, ada, "1", hours=2)
    await told(api, ada, "1", hours=1)
    async with api.world.engine.begin() as connection:
        moved = "UPDATE usage_events SET data = jsonb_set(data, '{court}', '\"7\"') WHERE data ->> 'hours' = '1'"
        await connection.execute(
            text(f"{moved} AND customer_id = (SELECT id FROM customers WHERE key = :who)"), {"who": ada}
        )
    await api.world.reach(api.world.now + timedelta(days=32))
    [invoice, _] = (await api.http.get(f"/v1/invoices?customer={ada}")).json()["data"]
    assert [(one["charge"], one["amount"]) for one in invoice["lines"]] == [("courts", "24.00"), ("base", "49.00")]
    [left] = (await api.http.get("/v1/events?type=usage.unpriced")).json()["data"]
    assert (left["data"]["charge"], left["data"]["plan"]) == ("courts", "courts")
    assert left["data"]["why"] == "no price matches court='7', and there is no default"
    assert await violations(api.world.engine) == []
