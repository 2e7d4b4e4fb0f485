"""The line, as one caller sees it: from a price book to a paid invoice and a balanced ledger."""

from datetime import timedelta

import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sold(api):
    ada = await api.customer(payment_method="pm_card_visa")
    return ada, await api.sold(ada, discounts=[{"percent": "10", "periods": 3}])


async def get(api, path, **params):
    answer = await api.http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestWhatWasSold:
    async def test_the_subscription_runs_under_the_quotes_key(self, api, sold):
        ada, key = sold
        subscription = await get(api, f"/v1/subscriptions/{key}")
        assert (subscription["key"], subscription["customer"], subscription["state"]) == (key, ada, "active")

    async def test_a_period_is_dates_and_the_exact_instants(self, api, sold):
        assert (await get(api, f"/v1/subscriptions/{sold[1]}"))["period"] == {
            "start": "2026-01-31",
            "end": "2026-02-28",
            "starts_at": "2026-01-30T23:00:00Z",
            "ends_at": "2026-02-27T23:00:00Z",
        }

    async def test_what_is_open_says_whose_move_it_is(self, api, sold):
        subscription = await get(api, f"/v1/subscriptions/{sold[1]}")
        assert (subscription["waiting_on"], subscription["next_action_at"]) == ("us", "2026-02-27T23:00:00Z")

    async def test_everything_is_found_by_id_as_well_as_by_key(self, api, sold):
        for noun in ("quotes", "orders", "subscriptions"):
            by_key = await get(api, f"/v1/{noun}/{sold[1]}")
            assert await get(api, f"/v1/{noun}/{by_key['id']}") == by_key

    async def test_the_timeline_tells_it_newest_first(self, api, sold):
        types = [event["type"] for event in (await get(api, f"/v1/subscriptions/{sold[1]}/timeline"))["data"]]
        assert types[-1] == "invoice.issued" or "subscription.activated" in types
        assert types.index("invoice.paid") < types.index("subscription.activated")

    async def test_the_quote_prints(self, api, sold):
        pdf = await api.http.get(f"/v1/quotes/{sold[1]}/pdf")
        assert pdf.content.startswith(b"%PDF")
        assert pdf.headers["content-type"] == "application/pdf"


class TestTheMoney:
    async def test_the_invoice_says_what_the_contract_says(self, api, sold):
        ada, key = sold
        [invoice] = (await get(api, "/v1/invoices", subscription=key))["data"]
        assert (invoice["customer"], invoice["subscription"]) == (ada, key)
        amounts = {name: invoice[name] for name in ("subtotal", "discount", "tax", "total", "amount_due", "state")}
        assert amounts == {
            "subtotal": "49.00",
            "discount": "4.90",
            "tax": "8.38",
            "total": "52.48",
            "amount_due": "52.48",
            "state": "paid",
        }
        line = invoice["lines"][0]
        assert (line["kind"], line["quantity"], line["unit_amount"], line["amount"]) == (
            "recurring",
            "1",
            "49.00",
            "49.00",
        )

    async def test_an_invoice_has_three_names(self, api, sold):
        named = await get(api, f"/v1/invoices/{sold[1]}%231")
        assert await get(api, f"/v1/invoices/{named['id']}") == named
        assert await get(api, f"/v1/invoices/{named['number']}") == named

    async def test_the_second_invoice_of_one_is_not_there(self, api, sold):
        assert (await api.http.get(f"/v1/invoices/{sold[1]}%232")).status_code == 404

    async def test_the_invoice_prints(self, api, sold):
        assert (await api.http.get(f"/v1/invoices/{sold[1]}%231/pdf")).content.startswith(b"%PDF")

    async def test_its_collection_is_paid_at_the_first_attempt(self, api, sold):
        collection = await get(api, f"/v1/collections/{sold[1]}%231")
        [attempt] = collection["attempts"]
        assert (collection["state"], collection["waiting_on"]) == ("paid", None)
        assert (attempt["amount"], attempt["state"], attempt["method"]) == ("52.48", "succeeded", "visa •4242")

    async def test_the_ledger_balances(self, api, sold):
        balance = await get(api, "/v1/ledger/trial-balance")
        assert balance["balanced"]

    async def test_a_posting_is_found_by_its_cause(self, api, sold):
        invoice = await get(api, f"/v1/invoices/{sold[1]}%231")
        legs = (await get(api, "/v1/ledger/entries", cause=f"invoice/{invoice['id']}"))["data"]
        assert {leg["account"]: leg["debit"] or f"-{leg['credit']}" for leg in legs} == {
            "receivable": "52.48",
            "revenue": "-44.10",
            "tax_payable": "-8.38",
        }


class TestDunning:
    async def test_a_decline_is_retried_and_a_new_method_pays(self, api):
        bob = await api.customer(payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
        key = await api.sold(bob)
        collection = await get(api, f"/v1/collections/{key}%231")
        assert (collection["state"], collection["retries_left"], collection["next_action"]) == ("retrying", 1, "charge")
        assert collection["last_decline"] == "insufficient_funds"
        # Both retries fail, and then only the customer can move it.
        await api.world.reach(api.world.now + timedelta(days=5))
        collection = await get(api, f"/v1/collections/{key}%231")
        assert (collection["state"], collection["waiting_on"]) == ("awaiting_customer", "customer")
        assert len(collection["attempts"]) == 3
        assert key in {one["subscription"] for one in (await get(api, "/v1/collections", customer=bob))["data"]}
        paid = await api.http.post(f"/v1/customers/{bob}/payment-methods?wait=PT20S", json={"use": "pm_card_visa"})
        assert paid.status_code == 200, paid.text
        await api.world.settle(api.world.now)
        assert (await get(api, f"/v1/collections/{key}%231"))["state"] == "paid"

    async def test_after_a_card_is_refused_for_good_no_retry_is_left(self, api):
        key = await api.sold(await api.customer(payment_method="pm_card_chargeDeclinedLostCard"))
        collection = await get(api, f"/v1/collections/{key}%231")
        assert (collection["cause"], collection["retries_left"]) == ("hard_decline", 0)
        assert (collection["waiting_on"], collection["next_action"]) == ("customer", "mark_stuck")

    async def test_what_needs_a_person_is_listed_as_stuck(self, api):
        eve = await api.customer()
        key = await api.sold(eve)
        assert (await get(api, f"/v1/collections/{key}%231"))["cause"] == "no_payment_method"
        await api.world.reach(api.world.now + timedelta(days=4))
        [stuck] = (await get(api, "/v1/collections", customer=eve, stuck="true"))["data"]
        assert (stuck["state"], stuck["stuck_reason"]) == ("stuck", "no_payment_method")
        assert (await get(api, "/v1/collections", customer=eve, aging="P3D"))["data"]
        assert not (await get(api, "/v1/collections", customer=eve, aging="P30D"))["data"]
        await api.world.reach(api.world.now + timedelta(days=11))
        assert (await get(api, f"/v1/subscriptions/{key}"))["state"] == "suspended"
        assert not (await get(api, f"/v1/entitlements/{eve}/weights"))["allowed"]
