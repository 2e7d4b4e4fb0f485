"""Unsold usage: what was taken and nobody will bill can be found."""

from datetime import timedelta

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def use(api, who, type_, id_, at, **data):
    event = {"specversion": "1.0", "id": id_, "source": "s", "type": type_, "subject": who, "time": at.isoformat()}
    answer = await api.http.post("/v1/usage", json=[{**event, "data": data}])
    assert answer.json()["accepted"] == 1, answer.text


async def unsold(api, **query):
    found = await api.http.get("/v1/usage/unsold", params={name.rstrip("_"): value for name, value in query.items()})
    assert found.status_code == 200, found.text
    return [(one["customer"], one["type"], one["events"]) for one in found.json()["data"]]


async def test_is_what_happened_before_anything_was_bought_or_is_not_in_the_plan(api):
    ada = await api.customer(payment_method="pm_card_visa")
    before = api.world.now - timedelta(hours=2)
    await use(api, ada, "court.booked", "e1", before, hours="1", court="1", peak="no")
    await use(api, ada, "pool.entered", "e2", before)
    assert await unsold(api, customer=ada) == [(ada, "court.booked", 1), (ada, "pool.entered", 1)]
    await api.sold(ada)
    now = api.world.now
    await use(api, ada, "court.booked", "e3", now, hours="1", court="1", peak="no")  # billed by its plan
    await use(api, ada, "pool.entered", "e4", now)  # counted against its limit
    await use(api, ada, "door.opened", "e5", now, member="m1")  # in no plan of theirs
    assert set(await unsold(api, customer=ada)) == {
        (ada, "court.booked", 1),
        (ada, "pool.entered", 1),
        (ada, "door.opened", 1),
    }
    assert await unsold(api, customer=ada, from_=now.isoformat()) == [(ada, "door.opened", 1)]
    assert (await api.http.get("/v1/usage/unsold?customer=" + ada)).json()["data"][0]["meters"] == ["members"]


async def test_is_found_over_all_customers_by_finance(api):
    ada, bob = await api.customer(), await api.customer()
    for who in (ada, bob):
        await use(api, who, "pool.entered", "x", api.world.now)
    async with api.as_("finance") as http:
        found = (await http.get("/v1/usage/unsold?limit=200")).json()["data"]
        assert {ada, bob} <= {one["customer"] for one in found}
        wrong = await http.get("/v1/usage/unsold?from=never")
    assert (wrong.status_code, wrong.json()["errors"][0]["loc"]) == (422, ["from"])
