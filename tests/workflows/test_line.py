"""The line, told twice, at once, late, out of order and through outages: each thing happens once, and when it should."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from store.invariants import violations
from tests.workflows.worlds import CARD, Line, eventually, offer
from workflows import names

NINE = datetime.fromisoformat("2026-01-05T09:00:00+00:00")


def text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


async def types(line: Line) -> list[str]:
    """What happened, oldest first."""
    return [event["type"] for event in (await line.get("events", limit="200"))["data"]][::-1]


class TestOneQuote:
    async def test_the_same_offer_under_the_same_key_is_the_one_that_is_there(self, line: Line):
        await line.customer("ada")
        status, quote = await line.post("quotes", offer("ada"))
        again, same = await line.post("quotes", offer("ada"))
        assert (status, again) == (201, 200)
        assert same == quote

    async def test_another_offer_under_its_key_is_refused(self, line: Line):
        await line.customer("ada")
        await line.quote("ada")
        status, problem = await line.post("quotes", offer("ada", quantity=2))
        assert (status, problem["code"]) == (409, "already_exists")
        assert (await line.get("quotes/ada"))["lines"][0]["quantity"] == "1"

    async def test_five_at_once_are_one(self, line: Line):
        await line.customer("ada")
        answers = await asyncio.gather(*(line.post("quotes", offer("ada")) for _ in range(5)))
        assert {status for status, _ in answers} <= {200, 201}
        assert len({quote["id"] for _, quote in answers}) == 1
        assert len((await line.get("quotes"))["data"]) == 1
        assert (await types(line)).count("quote.created") == 1

    async def test_of_two_different_ones_at_once_one_is_refused(self, line: Line):
        await line.customer("ada")
        answers = await asyncio.gather(*(line.post("quotes", offer("ada", quantity=n)) for n in (1, 2)))
        assert sorted(status for status, _ in answers) == [201, 409]
        assert len((await line.get("quotes"))["data"]) == 1

    async def test_it_expires_by_itself_and_cannot_be_accepted_any_more(self, line: Line):
        await line.customer("ada")
        quote = await line.quote("ada")
        await line.later(days=29, hours=23)
        assert (await line.get("quotes/ada"))["state"] == "draft"
        await line.later(hours=1)
        assert (await line.get("quotes/ada"))["state"] == "expired"
        assert await line.status(names.quote_workflow(quote["id"])) is WorkflowExecutionStatus.COMPLETED
        status, problem = await line.post("quotes/ada/accept")
        assert (status, problem["code"]) == (409, "invalid_state")
        assert not (await line.get("orders"))["data"]

    async def test_accepted_while_it_expires_it_is_one_or_the_other(self, line: Line):
        await line.customer("ada")
        for number in range(8):
            await line.quote(f"q{number}", customer="ada")
            await line.later(seconds=10)
        await line.later(days=30, seconds=-81)
        ends = [datetime.fromisoformat((await line.get(f"quotes/q{n}"))["valid_until"]) for n in range(8)]
        for number, end in enumerate(ends):
            await line.world.reach(end - timedelta(milliseconds=number * 100))
            accepted = line.post(f"quotes/q{number}/accept")
            (status, answer), _ = await asyncio.gather(accepted, line.world.reach(end + timedelta(seconds=1)))
            await line.settle()
            state = (await line.get(f"quotes/q{number}"))["state"]
            code = None if status == 202 else answer["code"]
            assert (status, state, code) in {
                (202, "accepted", None),
                (409, "expired", "quote_expired"),
                (409, "expired", "invalid_state"),
            }
        quotes, orders = (await line.get("quotes"))["data"], (await line.get("orders"))["data"]
        assert {quote["key"] for quote in quotes if quote["state"] == "accepted"} == {order["key"] for order in orders}
        assert not [quote for quote in quotes if quote["state"] not in {"accepted", "expired"}]
        await line.sound()

    async def test_one_whose_process_was_lost_answers_all_the_same(self, line: Line):
        await line.customer("ada")
        quote = await line.quote("ada")
        await line.world.client.get_workflow_handle(names.quote_workflow(quote["id"])).terminate()
        assert (await line.done("quotes/ada/submit"))["state"] == "approved"
        await line.accept("ada")
        await line.sold_once("ada")


class TestOneOrder:
    async def test_accepted_three_times_at_once_and_again_later_there_is_one_order(self, line: Line):
        await line.customer("ada")
        await line.quote("ada")
        answers = await asyncio.gather(*(line.post("quotes/ada/accept", {"accepted_by": "Ada"}) for _ in range(3)))
        await line.settle()
        assert [status for status, _ in answers] == [202] * 3
        stays = ("id", "key", "quote", "customer", "items", "accepted_at")
        assert len({str([order[name] for name in stays]) for _, order in answers}) == 1
        await line.later(days=3)
        later = [await line.post("quotes/ada/accept", {"accepted_by": "Ada"}) for _ in range(2)]
        assert later[0] == later[1]
        assert later[0][0] == 202
        assert [later[0][1][name] for name in stays] == [answers[0][1][name] for name in stays]
        assert (await line.post("quotes/ada/accept", {"accepted_by": "Somebody else"}))[0] == 409
        order = await line.sold_once("ada")
        assert order["accepted_at"] == text(NINE)
        assert (await line.get("quotes/ada"))["accepted_by"] == "Ada"
        assert (await types(line)).count("order.created") == 1
        await line.paid_once("ada")

    async def test_a_target_that_is_away_three_times_is_asked_again_and_the_order_lives_from_its_answer(
        self, line: Line
    ):
        await line.customer("ada")
        await line.quote("ada")
        line.world.world.sandbox.provisioning.fail(503, times=3)
        await line.accept("ada")
        assert (await line.order("ada"))["state"] == "provisioning"
        await line.later(hours=1)
        order = await line.sold_once("ada")
        # Tried at once, after 1 minute, after 5 more, and after 30 more with success.
        answered = NINE + timedelta(minutes=36)
        assert [(step["name"], step["at"]) for step in order["steps"]] == [
            ("account", text(answered)),
            ("all-access-1", text(answered)),
        ]
        [invoice] = (await line.get("invoices"))["data"]
        assert invoice["issued_at"] == text(answered)
        assert (await line.get("subscriptions/ada"))["period"]["starts_at"] == "2026-01-04T23:00:00Z"
        activated = [e for e in (await line.get("events"))["data"] if e["type"] == "subscription.activated"]
        assert [event["at"] for event in activated] == [text(answered)]
        await line.paid_once("ada")

    async def test_a_target_that_never_will_takes_all_back_the_last_first(self, line: Line):
        await line.customer("ada")
        lines = [{"plan": "all-access"}, {"plan": "all-access", "quantity": 2}]
        await line.done("quotes", {"key": "ada", "customer": "ada", "lines": lines})
        target = line.world.world.sandbox.provisioning
        target.fail(202, times=2)
        target.fail(422)
        await line.accept("ada")
        for step in ("account", "all-access-1"):
            await line.done(f"orders/ada/steps/{step}/complete")
            await line.settle()
        await cancelled(line)
        undone = [e["data"]["step"] for e in (await line.get("events"))["data"] if e["type"] == "order.step_undone"]
        assert undone[::-1] == ["all-access-1", "account"]
        assert {step["step"]: step["state"] for step in target.steps()} == {
            "account": "undone",
            "all-access-1": "undone",
            "all-access-2": "failed",
        }

    async def test_a_target_that_calls_back_completes_it(self, line: Line):
        await line.customer("ada")
        await line.quote("ada")
        line.world.world.sandbox.provisioning.fail(202)
        await line.accept("ada")
        assert (await line.order("ada"))["state"] == "waiting"
        await line.later(days=2)
        for _ in range(2):
            await line.done("orders/ada/steps/account/complete", {"detail": "the door opens"})
            await line.settle()
        order = await line.sold_once("ada")
        assert (order["steps"][0]["at"], order["steps"][0]["detail"]) == (
            text(NINE + timedelta(days=2)),
            "the door opens",
        )
        assert (await line.collection("ada"))["issued_at"] == text(NINE + timedelta(days=2))

    async def test_a_target_that_was_not_heard_and_calls_back_has_done_it(self, line: Line):
        await line.customer("ada")
        await line.quote("ada")
        line.world.world.sandbox.provisioning.fail(503)
        await line.accept("ada")
        await line.done("orders/ada/steps/account/complete")
        await line.settle()
        await line.sold_once("ada")

    async def test_a_target_that_calls_back_that_it_cannot_takes_all_back(self, line: Line):
        await line.customer("ada")
        await line.quote("ada")
        line.world.world.sandbox.provisioning.fail(202)
        await line.accept("ada")
        await line.done("orders/ada/steps/account/fail", {"detail": "no such door"})
        await line.settle()
        order = await cancelled(line)
        assert (order["steps"][0]["state"], order["steps"][0]["detail"]) == ("failed", "no such door")

    async def test_a_target_that_does_not_call_back_within_seven_days_takes_all_back(self, line: Line):
        await line.customer("ada")
        await line.quote("ada")
        target = line.world.world.sandbox.provisioning
        target.fail(202)
        await line.accept("ada")
        await line.later(days=6, hours=23)
        assert (await line.order("ada"))["state"] == "waiting"
        await line.later(hours=2)
        order = await cancelled(line)
        assert order["steps"][0]["at"] == text(NINE + timedelta(days=7))
        assert order["steps"][0]["detail"] == "no call back"
        # It may have been at it all the same.
        assert [step["state"] for step in target.steps()] == ["undone"]
        status, problem = await line.post("orders/ada/steps/account/complete")
        assert (status, problem["code"]) == (409, "invalid_state")
        await cancelled(line)

    async def test_one_whose_process_was_lost_hears_its_target_all_the_same(self, line: Line):
        await line.customer("ada")
        await line.quote("ada")
        line.world.world.sandbox.provisioning.fail(202)
        order = await line.accept("ada")
        await line.world.client.get_workflow_handle(names.order_workflow(order["id"])).terminate()
        await line.done("orders/ada/steps/account/complete")
        await line.settle()
        await line.sold_once("ada")


class TestOneCharge:
    async def test_webhooks_twice_late_and_the_last_first_have_one_effect(self, line: Line):
        await line.sandbox("webhooks", do="hold")
        await line.sold("ada", "pm_success_de")
        assert (await line.collection("ada"))["state"] == "processing"
        await line.later(minutes=10)
        await line.sandbox("webhooks", do="release", times=2, newest_first=True)
        await eventually(is_paid, line)
        collection = await line.paid_once("ada")
        assert len(collection["attempts"]) == 1
        events = [event for event in (await line.get("events"))["data"] if event["type"] == "invoice.paid"]
        assert [event["at"] for event in events] == [text(NINE + timedelta(minutes=10))]
        # And the clock finds nothing left to look up.
        await line.later(days=10)
        assert await line.collection("ada") == collection

    async def test_a_webhook_that_never_comes_is_not_needed(self, line: Line):
        await line.sandbox("webhooks", do="hold")
        await line.sold("ada", "pm_success_de")
        await line.later(minutes=20)
        await line.paid_once("ada")

    async def test_no_answer_though_it_was_charged_is_one_charge(self, line: Line):
        await line.sandbox("faults", kind="timeout_after_charge")
        await line.sold("ada")
        collection = await line.paid_once("ada")
        assert [attempt["attempt"] for attempt in collection["attempts"]] == [1]

    async def test_no_answer_and_not_charged_is_one_charge(self, line: Line):
        await line.sandbox("faults", kind="timeout_before_charge", times=3)
        await line.sold("ada")
        await line.paid_once("ada")

    @pytest.mark.parametrize("times", [1, 3, 8])
    @pytest.mark.parametrize(
        "fault", ["rate_limit", "unavailable", "stored_500", "stored_500_after_charge", "timeout_before_charge"]
    )
    @pytest.mark.parametrize("on", ["create_intent", "confirm_intent"])
    async def test_an_outage_is_no_decline(self, line: Line, fault: str, times: int, on: str):
        await line.sandbox("faults", kind=fault, times=times, on=on)
        await line.sold("ada")
        await line.later(hours=24)
        collection = await line.paid_once("ada")
        decline_codes = {attempt["decline_code"] for attempt in collection["attempts"]}
        assert decline_codes <= {None, "not_executed"}
        assert [attempt["state"] for attempt in collection["attempts"]].count("succeeded") == 1

    async def test_what_is_in_flight_is_waited_for(self, line: Line):
        await line.sandbox("faults", kind="in_flight")
        await line.sold("ada")
        assert (await line.collection("ada"))["state"] == "processing"
        assert not await line.charges()
        await line.sandbox("release")
        await line.later(hours=1)
        await line.paid_once("ada")

    async def test_a_new_card_while_the_outcome_is_unknown_is_not_charged_as_well(self, line: Line):
        await line.sandbox("faults", kind="in_flight")
        await line.sold("ada")
        await line.done("customers/ada/payment-methods", {"use": CARD})
        await line.settle()
        await line.sandbox("release")
        await line.later(hours=1)
        await line.paid_once("ada")


async def is_paid(line: Line) -> bool:
    return (await line.collection("ada"))["state"] == "paid"


async def cancelled(line: Line) -> Any:
    """The order is cancelled, and nothing is left of it."""
    order = await line.order("ada")
    assert (order["state"], order["subscription"]) == ("cancelled", None)
    assert not (await line.get("subscriptions"))["data"]
    assert not (await line.get("invoices"))["data"]
    assert not await line.charges()

    async def has_ended() -> bool:
        return await line.status(names.order_workflow(order["id"])) is WorkflowExecutionStatus.COMPLETED

    await eventually(has_ended)
    assert not await violations(line.world.engine)
    return order
