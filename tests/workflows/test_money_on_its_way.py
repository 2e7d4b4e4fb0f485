"""Money that is on its way, or comes by another way than ours: heard of without a webhook, never given up, never lost."""

from typing import Any

import httpx

from tests.workflows.worlds import CARD, Line, offer, price_book
from workflows import names

ASKS_THE_CUSTOMER, NEVER_SETTLES = "pm_sandbox_parked", "pm_processing_de"


async def intent(line: Line) -> str:
    """The one of the first invoice."""
    return line.world.world.sandbox.payments.storage.all("payment_intent")[0]["id"]


async def pays_on_screen(line: Line, ref: str) -> int:
    """The customer confirms with another card, there and then; answers the provider's status."""
    transport = httpx.ASGITransport(line.world.world.sandbox)
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        answer = await client.post(
            f"/v1/payment_intents/{ref}/confirm",
            data={"payment_method": CARD},
            headers={"Authorization": "Bearer sk_test_sandbox", "Idempotency-Key": f"screen/{ref}"},
        )
    return answer.status_code


async def states(line: Line) -> list[tuple[str, str | None]]:
    return [(attempt["state"], attempt["decline_code"]) for attempt in (await line.collection("ada"))["attempts"]]


async def webhooks_are_lost(line: Line) -> None:
    await line.sandbox("webhooks", do="hold")


class TestHeardWithoutAWebhook:
    async def test_a_customer_who_answers_the_bank_has_paid(self, line: Line):
        await webhooks_are_lost(line)
        await line.sold("ada", ASKS_THE_CUSTOMER)
        assert (await line.collection("ada"))["state"] == "awaiting_customer"
        await line.sandbox(f"intents/{await intent(line)}/authenticate")
        await line.later(hours=1)
        await line.paid_once("ada")

    async def test_one_who_cannot_answer_the_bank_is_waited_for_and_asked_rarely(self, line: Line):
        await webhooks_are_lost(line)
        await line.sold("ada", ASKS_THE_CUSTOMER)
        await line.sandbox(f"intents/{await intent(line)}/authenticate", succeeds=False)
        await line.later(hours=1)
        assert await states(line) == [("failed", "payment_intent_authentication_failure")]
        assert (await line.collection("ada"))["state"] == "awaiting_customer"
        await line.sound()

    async def test_a_customer_whose_card_wanted_an_answer_and_who_pays_on_screen_has_paid(self, line: Line):
        await webhooks_are_lost(line)
        await line.sold("ada", "pm_card_authenticationRequired")
        assert await states(line) == [("failed", "authentication_required")]
        assert await pays_on_screen(line, await intent(line)) == 200
        await line.later(days=1)
        assert await states(line) == [("failed", "authentication_required"), ("succeeded", None)]
        assert (await line.collection("ada"))["state"] == "paid"
        await line.sound()

    async def test_one_who_pays_on_screen_after_a_hard_no_is_not_reminded_nor_shut_out(self, line: Line):
        await webhooks_are_lost(line)
        await line.sold("ada", "pm_card_chargeDeclinedLostCard", email="ada@example.com")
        await line.later(hours=2)
        assert await pays_on_screen(line, await intent(line)) == 200
        await line.later(days=20)
        assert (await line.collection("ada"))["state"] == "paid"
        events = {event["type"] for event in (await line.get("events", limit="200"))["data"]}
        assert not events & {"collection.stuck", "entitlement.suspended"}
        await line.sound()


class TestHeardByWebhook:
    async def test_a_customer_who_pays_on_screen_what_was_declined_has_paid_once(self, line: Line):
        await line.sold("ada", "pm_card_chargeDeclinedLostCard")
        assert await pays_on_screen(line, await intent(line)) == 200
        await line.settle()
        assert await states(line) == [("failed", "lost_card"), ("succeeded", None)]
        await line.later(days=70)
        first = await line.collection("ada")
        assert (first["state"], len(first["attempts"])) == ("paid", 2)
        await line.sound()


class TestTheWriteOff:
    async def test_never_gives_up_what_a_bank_still_works_on(self, line: Line):
        await line.sold("ada", NEVER_SETTLES, email="ada@example.com")
        await line.later(days=75)
        collection = await line.collection("ada")
        assert (collection["state"], collection["stuck_reason"]) == ("stuck", "processing_too_long")
        events = {event["type"] for event in (await line.get("events", limit="200"))["data"]}
        assert not events & {"collection.reminded", "entitlement.suspended", "invoice.written_off"}
        assert (await line.get("subscriptions/ada"))["state"] == "active"
        await line.sound()

    async def test_shuts_the_door_to_money_that_nobody_would_book(self, line: Line):
        await line.sold("ada", ASKS_THE_CUSTOMER)
        ref = await intent(line)
        await line.later(days=59)
        assert (await line.collection("ada"))["state"] == "stuck"
        await line.later(days=2)
        assert (await line.collection("ada"))["state"] == "written_off"
        assert await pays_on_screen(line, ref) == 400
        assert not await line.charges()
        await line.sound()

    async def test_takes_the_money_that_was_faster(self, line: Line):
        await webhooks_are_lost(line)
        await line.sold("ada", "pm_card_chargeDeclinedLostCard")
        await line.later(days=59)
        assert await pays_on_screen(line, await intent(line)) == 200
        await line.later(days=2)
        assert (await line.collection("ada"))["state"] == "paid"
        assert (await line.get("subscriptions/ada"))["ended_at"] is None
        await line.sound()

    async def test_never_opens_what_was_shut(self, line: Line):
        await line.sold("ada", "pm_card_chargeDeclinedLostCard")
        await line.later(days=61)
        assert (await line.get("subscriptions/ada"))["state"] == "ended"
        events = [event["type"] for event in (await line.get("events", limit="200"))["data"]]
        assert "entitlement.suspended" in events
        assert "entitlement.restored" not in events
        assert not (await line.get("entitlements/ada/weights"))["allowed"]
        await line.sound()

    async def test_ends_a_subscription_whose_process_was_lost(self, line: Line):
        await line.sold("ada", "pm_card_chargeDeclinedLostCard")
        subscription = (await line.get("subscriptions/ada"))["id"]
        await line.later(days=59, hours=12)
        await line.world.client.get_workflow_handle(names.subscription_workflow(subscription)).terminate()
        await line.later(days=1)
        assert (await line.get("subscriptions/ada"))["state"] == "ended"
        await line.sound()

    async def test_of_one_that_has_ended_and_whose_last_invoice_waits_ends_the_collection_too(self, line: Line):
        book = price_book(default={"retries": [], "reminders": [], "write_off_after": "P31D", "on_write_off": "cancel"})
        book["plans"][0] |= {"term": {"intervals": 1, "auto_renew": False}, "usage_grace": "P2D"}
        await line.catalog(book)
        await line.sold("ada", "pm_card_chargeDeclinedLostCard")
        await line.later(days=40)
        assert (await line.get("subscriptions/ada"))["state"] == "ended"
        assert (await line.collection("ada"))["state"] == "written_off"
        await line.sound()


class TestWhatIsOurFault:
    async def test_a_request_that_the_provider_never_takes_waits_for_us_not_for_the_customer(self, line: Line):
        await line.catalog(in_dinars())
        await line.customer("ada", CARD, currency="BHD")
        await line.done("quotes", offer("ada", "gate"))
        await line.accept("ada")
        collection = await line.collection("ada")
        assert (collection["state"], collection["stuck_reason"]) == ("stuck", "process_failing")
        assert (collection["waiting_on"], await states(line)) == ("us", [("failed", "request_rejected")])
        await line.later(days=28)
        assert (await line.collection("ada"))["state"] == "stuck"
        events = {event["type"] for event in (await line.get("events", limit="200"))["data"]}
        assert not events & {"collection.reminded", "entitlement.suspended", "invoice.written_off"}
        await line.sound()

    async def test_a_provider_that_hears_no_charge_is_not_asked_for_ever(self, line: Line):
        await line.sandbox("faults", kind="timeout_before_charge", times=1000, on="confirm_intent")
        await line.sold("ada")
        await line.later(days=25)
        collection = await line.collection("ada")
        assert (collection["state"], collection["stuck_reason"]) == ("stuck", "provider_unavailable")
        attempts = await states(line)
        assert 8 < len(attempts) < 16
        assert {state for state, _ in attempts} == {"failed"}
        assert not await line.charges()
        await line.sound()


def in_dinars() -> dict[str, Any]:
    """A price whose last digit no card network takes."""
    plan = {"key": "gate", "name": "Gate", "currency": "BHD", "interval": "month"}
    charge = {"key": "fee", "model": "flat", "amount": "1.234", "timing": "advance"}
    return {
        "version": 1,
        "entity": {"key": "gym", "legal_name": "Iron Works", "country": "BH", "invoice_prefix": "IW"},
        "taxes": {"default": "0"},
        "plans": [plan | {"charges": [charge]}],
    }
