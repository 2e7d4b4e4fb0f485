"""Quotes: decisions, acceptance, and what their rules refuse."""

import asyncio
from datetime import timedelta

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(api, path, body=None, client=None):
    answer = await (client or api.http).post(path, json={} if body is None else body)
    return answer.status_code, answer.json()


class TestDecisions:
    async def test_a_quote_that_needs_none_may_be_accepted_as_it_is(self, api):
        key = await api.quote(await api.customer())
        quote = (await api.http.get(f"/v1/quotes/{key}")).json()
        assert (quote["state"], quote["approvals"], quote["waiting_on"]) == ("draft", [], "customer")
        status, order = await post(api, f"/v1/quotes/{key}/accept", {"accepted_by": "Ada"})
        assert (status, order["key"]) == (202, key)

    async def test_a_deep_discount_waits_for_its_approver(self, api):
        key = await api.quote(await api.customer(), discounts=[{"percent": "30"}])
        status, problem = await post(api, f"/v1/quotes/{key}/accept")
        assert (status, problem["code"]) == (409, "approval_required")
        status, quote = await post(api, f"/v1/quotes/{key}/submit")
        assert (quote["state"], quote["waiting_on"]) == ("in_approval", "approver")
        status, quote = await post(api, f"/v1/quotes/{key}/approve", {"as": "sales-manager"})
        assert (status, quote["state"]) == (200, "approved")
        assert quote["approvals"][0]["approved"] is True
        assert (await post(api, f"/v1/quotes/{key}/accept"))[0] == 202

    async def test_only_who_carries_the_name_decides(self, api):
        key = await api.quote(await api.customer(), plan="yearly")
        async with api.as_("sales", approver=["sales-manager"]) as http:
            status, problem = await post(api, f"/v1/quotes/{key}/approve", {"as": "finance"}, http)
            assert (status, problem["code"]) == (409, "not_an_approver")
        async with api.as_("sales") as http:
            status, problem = await post(api, f"/v1/quotes/{key}/approve", {}, http)
            assert (status, problem["errors"][0]["loc"]) == (422, ["as"])
        async with api.as_("finance", approver=["finance"]) as http:
            assert (await http.get(f"/v1/quotes/{key}")).status_code == 200
            status, quote = await post(api, f"/v1/quotes/{key}/approve", None, http)
            assert (status, quote["state"]) == (200, "approved")
        async with api.as_("finance") as http:
            assert (await http.post(f"/v1/quotes/{key}/approve", json={"as": "finance"})).status_code == 403

    async def test_an_approver_who_is_not_asked_decides_nothing(self, api):
        key = await api.quote(await api.customer(), plan="yearly")
        status, problem = await post(api, f"/v1/quotes/{key}/approve", {"as": "janitor"})
        assert (status, problem["code"]) == (409, "not_an_approver")

    async def test_a_rejected_quote_is_closed(self, api):
        key = await api.quote(await api.customer(), plan="yearly")
        _, quote = await post(api, f"/v1/quotes/{key}/reject", {"as": "finance"})
        assert (quote["state"], quote["waiting_on"], quote["next_action_at"]) == ("rejected", None, None)
        for verb, body in (("accept", {}), ("submit", {}), ("withdraw", {}), ("approve", {"as": "finance"})):
            status, problem = await post(api, f"/v1/quotes/{key}/{verb}", body)
            assert (status, problem["code"]) == (409, "invalid_state"), verb
            assert "rejected" in problem["detail"]

    async def test_a_revision_makes_decisions_void(self, api):
        key = await api.quote(await api.customer(), discounts=[{"percent": "30"}])
        await post(api, f"/v1/quotes/{key}/approve", {"as": "sales-manager"})
        status, quote = await post(
            api, f"/v1/quotes/{key}/revise", {"lines": [{"plan": "all-access", "quantity": "2"}]}
        )
        assert (status, quote["state"], quote["approvals"]) == (200, "draft", [])
        assert quote["lines"][0]["quantity"] == "2"

    async def test_a_withdrawn_quote_cannot_be_revised(self, api):
        key = await api.quote(await api.customer())
        assert (await post(api, f"/v1/quotes/{key}/withdraw"))[1]["state"] == "withdrawn"
        status, problem = await post(api, f"/v1/quotes/{key}/revise", {"lines": [{"plan": "all-access"}]})
        assert (status, problem["code"]) == (409, "invalid_state")


class TestAcceptance:
    async def test_again_answers_the_order_again(self, api):
        key = await api.quote(await api.customer())
        first = await post(api, f"/v1/quotes/{key}/accept?wait=PT20S", {"accepted_by": "Ada"})
        for body in ({"accepted_by": "Ada"}, {}):
            again = await post(api, f"/v1/quotes/{key}/accept", body)
            assert (again[0], again[1]["id"]) == (202, first[1]["id"])

    async def test_by_somebody_else_comes_too_late(self, api):
        key = await api.quote(await api.customer())
        await post(api, f"/v1/quotes/{key}/accept", {"accepted_by": "Ada"})
        status, problem = await post(api, f"/v1/quotes/{key}/accept", {"accepted_by": "Bob"})
        assert (status, problem["code"]) == (409, "invalid_state")
        assert (await api.http.get(f"/v1/quotes/{key}")).json()["accepted_by"] == "Ada"

    async def test_by_many_at_once_makes_one_order(self, api):
        ada = await api.customer()
        key = await api.quote(ada)
        answers = await asyncio.gather(*(post(api, f"/v1/quotes/{key}/accept") for _ in range(6)))
        assert {status for status, _ in answers} == {202}
        assert len({order["id"] for _, order in answers}) == 1
        assert len((await api.http.get(f"/v1/orders?customer={ada}")).json()["data"]) == 1

    async def test_waits_for_what_follows(self, api):
        key = await api.quote(await api.customer())
        _, order = await post(api, f"/v1/quotes/{key}/accept?wait=PT20S")
        assert order["state"] == "completed"
        assert order["subscription"] == (await api.http.get(f"/v1/subscriptions/{key}")).json()["id"]

    async def test_is_seen_by_the_next_read(self, api):
        key = await api.quote(await api.customer())
        await post(api, f"/v1/quotes/{key}/accept")
        assert (await api.http.get(f"/v1/quotes/{key}")).json()["state"] == "accepted"
        assert (await api.http.get(f"/v1/orders/{key}")).status_code == 200

    async def test_by_the_customer_itself(self, api):
        ada = await api.customer()
        key = await api.quote(ada)
        async with api.as_("customer", customer=ada) as http:
            assert (await post(api, f"/v1/quotes/{key}/accept", None, http))[0] == 202
        assert (await api.http.get(f"/v1/quotes/{key}")).json()["accepted_by"] == ada

    async def test_after_the_last_instant_is_refused(self, api):
        ada, key = await api.customer(), api.fresh("q")
        body = {"key": key, "customer": ada, "lines": [{"plan": "all-access"}], "valid_for": "PT1H"}
        assert (await post(api, "/v1/quotes", body))[0] == 201
        await api.world.reach(api.world.now + timedelta(hours=2))
        status, problem = await post(api, f"/v1/quotes/{key}/accept")
        assert (status, problem["code"]) == (409, "invalid_state")
        assert "expired" in problem["detail"]


class TestAnOfferThatCannotBe:
    @pytest.mark.parametrize(
        ("line", "loc"),
        [
            ({"plan": "gold"}, ["lines", 0, "plan"]),
            ({"plan": "all-access", "quantity": 0}, ["lines", 0, "quantity"]),
            ({"plan": "all-access", "quantity": "-1"}, ["lines", 0, "quantity"]),
            ({"plan": "all-access", "quantity": "1e3"}, ["lines", 0, "quantity"]),
            ({"plan": "all-access", "quantity": "9" * 25}, ["lines", 0, "quantity"]),
            ({"plan": "all-access", "quantity": "0.0000000000001"}, ["lines", 0, "quantity"]),
            ({"plan": "all-access", "discounts": [{}]}, ["lines", 0, "discounts", 0]),
            ({"plan": "all-access", "discounts": [{"percent": "10", "amount": "1"}]}, ["lines", 0, "discounts", 0]),
            ({"plan": "all-access", "discounts": [{"percent": "101"}]}, ["lines", 0, "discounts", 0, "percent"]),
            ({"plan": "all-access", "discounts": [{"amount": "0.005"}]}, ["lines", 0, "discounts", 0, "amount"]),
            ({"plan": "all-access", "discounts": [{"amount": "-1"}]}, ["lines", 0, "discounts", 0, "amount"]),
            (
                {"plan": "all-access", "discounts": [{"percent": "10", "periods": 0}]},
                ["lines", 0, "discounts", 0, "periods"],
            ),
        ],
    )
    async def test_is_told_where(self, api, line, loc):
        ada = await api.customer()
        status, problem = await post(api, "/v1/quotes", {"customer": ada, "lines": [line]})
        assert (status, problem["code"]) == (422, "invalid_input"), problem
        assert problem["errors"][0]["loc"] == loc
        assert not (await api.http.get(f"/v1/quotes?customer={ada}")).json()["data"]

    async def test_needs_lines(self, api):
        for lines in ([], [{"plan": "all-access"}] * 51):
            status, problem = await post(api, "/v1/quotes", {"customer": await api.customer(), "lines": lines})
            assert (status, problem["errors"][0]["loc"]) == (422, ["lines"])

    async def test_in_another_currency(self, api):
        body = {"customer": await api.customer(), "lines": [{"plan": "dollars"}]}
        status, problem = await post(api, "/v1/quotes", body)
        assert (status, problem["code"]) == (409, "currency_mismatch")

    async def test_of_two_rhythms(self, api):
        body = {"customer": await api.customer(), "lines": [{"plan": "all-access"}, {"plan": "yearly"}]}
        status, problem = await post(api, "/v1/quotes", body)
        assert (status, problem["code"]) == (409, "mixed_cadence")


class TestLists:
    async def test_are_newest_first_and_paged_without_gaps(self, api):
        ada = await api.customer()
        keys = [await api.quote(ada) for _ in range(5)]
        found, cursor = [], None
        while True:
            params = {"customer": ada, "limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await api.http.get("/v1/quotes", params=params)).json()
            found += [quote["key"] for quote in page["data"]]
            assert len(page["data"]) <= 2
            cursor = page["next_cursor"]
            if cursor is None:
                break
            if len(found) == 2:
                await api.quote(ada)  # what comes later never moves a page
        assert found == keys[::-1]

    async def test_are_filtered_by_state(self, api):
        ada = await api.customer()
        draft, gone = await api.quote(ada), await api.quote(ada)
        await post(api, f"/v1/quotes/{gone}/withdraw")
        for state, key in (("draft", draft), ("withdrawn", gone)):
            page = (await api.http.get("/v1/quotes", params={"customer": ada, "state": state})).json()
            assert [quote["key"] for quote in page["data"]] == [key]
