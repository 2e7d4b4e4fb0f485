"""What is sold, or offered, keeps its meaning whatever the price book says later; and only what can be billed is offered."""

from typing import Any

import pytest
import yaml

from tests.api.conftest import BOOK

pytestmark = pytest.mark.asyncio(loop_scope="module")


def book(**changed: Any) -> dict[str, Any]:
    return {**yaml.safe_load(BOOK.read_text()), **changed}


async def test_a_meter_that_something_sold_uses_cannot_change(api):
    await api.sold(await api.customer(payment_method="pm_card_visa"))
    meters = book()["meters"]
    meters[1]["value"] = "minutes"
    refused = await api.http.put("/v1/catalog", json=book(meters=meters))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert [error["loc"] for error in refused.json()["errors"]] == [["meters", 1, "value"]]
    assert "new key" in refused.json()["detail"]
    assert (await api.http.get("/v1/catalog")).json()["meters"][1]["value"] == "hours"


async def test_an_offer_comes_alive_though_its_feature_is_no_longer_in_the_book(api):
    key = await api.quote(await api.customer(payment_method="pm_card_visa"))
    plans = book()["plans"]
    plans[0]["entitlements"] = [{"feature": "weights"}]
    features = [one for one in book()["features"] if one["key"] == "weights"]
    assert (await api.http.put("/v1/catalog", json=book(plans=plans, features=features))).status_code == 200
    accepted = await api.http.post(f"/v1/quotes/{key}/accept?wait=PT20S", json={"accepted_by": "Ada"})
    assert accepted.json()["state"] == "completed"
    assert (await api.http.put("/v1/catalog", json=book())).status_code == 200


async def test_a_plan_that_cannot_be_billed_as_it_says_is_not_offered(api):
    meters = [*book()["meters"], {"key": "leads", "event": "lead.won", "aggregation": "count", "outcome": True}]
    charge = {"key": "lead", "model": "per_unit", "unit_amount": "9.00", "timing": "arrears", "meter": "leads"}
    plans = [*book()["plans"], {"key": "leads", "name": "Leads", "currency": "EUR", "charges": [charge]}]
    assert (await api.http.put("/v1/catalog", json=book(meters=meters, plans=plans))).status_code == 200
    body = {"key": api.fresh("q"), "customer": await api.customer(), "lines": [{"plan": "leads"}]}
    refused = await api.http.post("/v1/quotes", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_supported")
    assert "plan leads, charge lead" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["quotes", "quotes?preview=true"])
async def test_what_no_invoice_could_hold_is_not_offered(api, path: str):
    charges = [
        {"key": "seat", "model": "per_unit", "unit_amount": "10000.00", "timing": "advance"},
        {"key": "base", "model": "flat", "amount": "0.01", "timing": "advance"},
    ]
    plans = [*book()["plans"], {"key": "dear", "name": "Dear", "currency": "EUR", "charges": charges}]
    assert (await api.http.put("/v1/catalog", json=book(plans=plans))).status_code == 200
    lines = [{"plan": "dear", "quantity": 999_999_998}, {"plan": "dear", "quantity": 1_000_000_000}]
    body = {"key": api.fresh("q"), "customer": await api.customer(), "lines": lines}
    refused = await api.http.post(f"/v1/{path}", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert [error["loc"] for error in refused.json()["errors"]] == [["lines", 1, "quantity"]]
    assert "10000000000000.00 EUR" in refused.json()["errors"][0]["msg"]
    assert (await api.http.post(f"/v1/{path}", json={**body, "lines": lines[:1]})).status_code in {200, 201}
