"""The audit trail: who did what, when, why, and what it changed."""

from datetime import timedelta

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def events(api, **query):
    query.setdefault("limit", 200)
    found = await api.http.get("/v1/events", params={name.rstrip("_"): value for name, value in query.items()})
    assert found.status_code == 200, found.text
    return found.json()["data"]


class TestAnEvent:
    async def test_says_who_and_what_changed(self, api):
        ada = await api.customer()
        key = await api.quote(ada)
        async with api.as_("sales", label="web shop") as http:
            assert (await http.post(f"/v1/quotes/{key}/withdraw", json={})).status_code == 200
        [told] = await events(api, customer=ada, type="quote.withdrawn")
        assert (told["actor_role"], told["actor_label"]) == ("sales", "web shop")
        assert (told["before"]["state"], told["after"]["state"]) == ("draft", "withdrawn")
        assert told["before"].keys() == told["after"].keys() == {"state", "changed_at"}

    async def test_of_what_time_did_has_no_key(self, api):
        ada = await api.customer(payment_method="pm_card_visa")
        await api.sold(ada)
        [told] = await events(api, customer=ada, type="order.completed")
        assert (told["actor"], told["actor_role"], told["actor_label"]) == ("perennial", None, None)
        assert (told["before"]["state"], told["after"]["state"]) == ("provisioning", "completed")
        [paid] = await events(api, customer=ada, type="invoice.paid")
        assert (paid["before"]["state"], paid["after"]["amount_paid"]) == ("open", "58.31 EUR")

    async def test_tells_that_personal_data_changed_and_not_what_it_was(self, api):
        ada = await api.customer(email="ada@example.com")
        changed = {"email": "new@example.com", "timezone": "Europe/Paris"}
        assert (await api.http.patch(f"/v1/customers/{ada}", json=changed)).status_code == 200
        [told] = await events(api, customer=ada, type="customer.changed")
        assert told["before"] == {"email": "(not kept)", "timezone": "Europe/Berlin"}
        assert told["after"] == {"email": "(not kept)", "timezone": "Europe/Paris"}

    async def test_gives_the_reason_that_was_given(self, api):
        api.world.world.sandbox.provisioning.fail(202)
        ada = await api.customer()
        key = await api.quote(ada)
        await api.http.post(f"/v1/quotes/{key}/accept?wait=PT10S", json={})
        await api.http.post(f"/v1/orders/{key}/steps/account/fail?wait=PT10S", json={"detail": "no such door"})
        [told] = await events(api, customer=ada, type="order.step_failed")
        assert told["reason"] == "no such door"

    async def test_of_a_thing_that_is_new_shows_no_change(self, api):
        ada = await api.customer()
        [told] = await events(api, customer=ada)
        assert (told["type"], told["before"], told["after"]) == ("customer.created", {}, {})


class TestFilters:
    async def test_by_actor_and_subject(self, api):
        key = await api.quote(await api.customer())
        quote = (await api.http.get(f"/v1/quotes/{key}")).json()
        [told] = await events(api, subject=quote["id"])
        assert told["type"] == "quote.created"
        async with api.as_("sales", label="another") as http:
            await http.post(f"/v1/quotes/{key}/withdraw", json={})
        [withdrawn] = await events(api, subject=quote["id"], type="quote.withdrawn")
        assert {one["actor"] for one in await events(api, actor=withdrawn["actor"])} == {withdrawn["actor"]}

    async def test_by_time_half_open(self, api):
        ada = await api.customer()
        now = api.world.now.isoformat()
        await api.world.reach(api.world.now + timedelta(hours=1))
        later = api.world.now.isoformat()
        await api.quote(ada)
        assert [one["type"] for one in await events(api, customer=ada, from_=later)] == ["quote.created"]
        assert [one["type"] for one in await events(api, customer=ada, from_=now, to=later)] == ["customer.created"]

    @pytest.mark.parametrize("noun", "customers quotes orders subscriptions invoices collections".split())
    async def test_by_time_hold_for_every_list(self, api, noun):
        ada = await api.customer()
        await api.sold(ada)
        day = api.world.now.date().isoformat()
        there = (await api.http.get(f"/v1/{noun}?limit=200&from={day}")).json()["data"]
        assert ada in {one["key"] if noun == "customers" else one["customer"] for one in there}
        assert (await api.http.get(f"/v1/{noun}?to=2026-01-01")).json()["data"] == []
        wrong = await api.http.get(f"/v1/{noun}?from=yesterday")
        assert (wrong.status_code, wrong.json()["errors"][0]["loc"]) == (422, ["from"])
