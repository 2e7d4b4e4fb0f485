"""Versions: what was read is told by its ETag, is not sent twice, and guards what is decided on it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from activities.quoting import Move, MoveQuote, QuotingActivities
from domain.errors import Changed
from tests.api.test_idempotency import crashed

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def version(api, path):
    return (await api.http.get(path)).headers["etag"]


class TestReading:
    async def test_what_is_known_already_is_not_sent_again(self, api):
        ada = await api.customer(payment_method="pm_card_visa")
        key = await api.sold(ada)
        for path in (
            "customers/" + ada,
            f"quotes/{key}",
            f"orders/{key}",
            f"subscriptions/{key}",
            f"invoices/{key}%231",
        ):
            first = await api.http.get(f"/v1/{path}")
            again = await api.http.get(f"/v1/{path}", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"]), path
            fresh = await api.http.get(f"/v1/{path}", headers={"If-None-Match": '"other"'})
            assert (fresh.status_code, fresh.content) == (200, first.content)

    async def test_a_change_is_another_version(self, api):
        ada = await api.customer()
        was = await version(api, f"/v1/customers/{ada}")
        await api.http.patch(f"/v1/customers/{ada}", json={"name": "Bob"})
        answer = await api.http.get(f"/v1/customers/{ada}", headers={"If-None-Match": was})
        assert (answer.status_code, answer.json()["name"]) == (200, "Bob")

    async def test_a_list_has_none(self, api):
        assert "etag" not in (await api.http.get("/v1/quotes")).headers


class TestDeciding:
    @pytest.mark.parametrize("verb", ["submit", "withdraw", "accept", "revise", "approve", "reject"])
    async def test_on_a_quote_that_has_changed_meanwhile_does_nothing(self, api, verb):
        ada, key = await api.customer(), api.fresh("q")
        lines = [{"plan": "all-access", "discounts": [{"percent": "30"}]}]
        await api.http.post("/v1/quotes", json={"key": key, "customer": ada, "lines": lines})
        path = f"/v1/quotes/{key}"
        read = await version(api, path)
        longer = {"lines": lines, "valid_for": "P60D"}
        assert (await api.http.post(f"{path}/revise", json=longer)).status_code == 200
        bodies = {"revise": {"lines": [{"plan": "all-access"}]}, "approve": {"as": "sales-manager"}}
        body = bodies.get(verb, bodies["approve"] if verb == "reject" else {})
        before = (await api.http.get(path)).json()
        for query in ("", "?preview=true"):
            answer = await api.http.post(f"{path}/{verb}{query}", json=body, headers={"If-Match": read})
            assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        assert (await api.http.get(path)).json() == before
        answer = await api.http.post(f"{path}/{verb}", json=body, headers={"If-Match": await version(api, path)})
        assert answer.status_code in {200, 202, 409}, answer.text

    async def test_on_the_version_that_was_read_is_done(self, api):
        key = await api.quote(await api.customer())
        path = f"/v1/quotes/{key}"
        answer = await api.http.post(f"{path}/withdraw", json={}, headers={"If-Match": await version(api, path)})
        assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn")

    async def test_sent_again_after_a_crash_is_answered_as_done(self, api):
        key = await api.quote(await api.customer())
        path = f"/v1/quotes/{key}"
        headers = {"If-Match": await version(api, path), "Idempotency-Key": api.fresh("i")}
        first = await api.http.post(f"{path}/withdraw", json={}, headers=headers)
        await crashed(api, headers)
        again = await api.http.post(f"{path}/withdraw", json={}, headers=headers)
        assert (again.status_code, again.json()) == (200, first.json())

    async def test_is_judged_where_the_decision_is_written(self, api):
        key = await api.quote(await api.customer())
        doors = api.world.world.doors
        moving = QuotingActivities(open_books=doors.open_books, lifecycles=doors.lifecycles)
        async with doors.open_books() as books:
            quote = await books.quotes.get(key)
        late = MoveQuote(
            quote_id=quote.id, move=Move.WITHDRAW, at=api.world.now, cause="t", known_at=quote.version_at - timedelta(1)
        )
        with pytest.raises(Changed):
            await moving.move(late)
        assert (await moving.move(replace(late, known_at=quote.version_at))).state == "withdrawn"

    async def test_on_a_customer_and_an_order(self, api):
        ada = await api.customer()
        answer = await api.http.patch(f"/v1/customers/{ada}", json={"name": "B"}, headers={"If-Match": '"old"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        assert (await api.http.get(f"/v1/customers/{ada}")).json()["name"] == "Ada"
        api.world.world.sandbox.provisioning.fail(202)
        key = await api.quote(ada)
        await api.http.post(f"/v1/quotes/{key}/accept?wait=PT10S", json={})
        step = f"/v1/orders/{key}/steps/account/complete?wait=PT10S"
        assert (await api.http.post(step, json={}, headers={"If-Match": '"old"'})).status_code == 412
        known = {"If-Match": await version(api, f"/v1/orders/{key}")}
        assert (await api.http.post(step, json={}, headers=known)).json()["state"] == "completed"
