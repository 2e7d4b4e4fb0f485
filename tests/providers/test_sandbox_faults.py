"""What goes wrong between us and a payment provider: each time money moves at most once, and we come to know it."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.ports import OutcomeUnknown, ProviderRejected, ProviderUnavailable
from domain.money import Money
from domain.payment import Decline, PaymentState
from providers.sandbox import Storage, in_process
from providers.sandbox.faults import KINDS
from providers.stripe import StripePayments
from tests.providers.loopback import SandboxProcess, free_port, served, speaking
from tests.providers.stripe_world import World

ONE_CHARGE = [("charge", 4900)]


async def at_work(world: World) -> tuple[str, str]:
    """An intent and a good card."""
    return await world.intent(), await world.method("pm_card_visa")


async def arrived(world: World) -> None:
    """Return when the fault that was ordered has struck."""
    async with asyncio.timeout(5):
        while world.sandbox.faults.left:
            await asyncio.sleep(0.001)


class TestNoAnswer:
    async def test_a_charge_whose_answer_was_lost_is_found_by_reading(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("timeout_after_charge")
        with pytest.raises(OutcomeUnknown):
            await world.confirm(intent, card)
        assert (await world.provider.read_intent(intent_ref=intent)).state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE

    async def test_sending_it_again_under_its_key_answers_and_does_not_charge_again(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("timeout_after_charge", times=2)
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await world.confirm(intent, card)
        assert (await world.confirm(intent, card)).state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE

    async def test_a_decline_whose_answer_was_lost_is_still_a_decline(self, world: World):
        intent, card = await world.intent(), await world.method("pm_card_chargeDeclined")
        world.sandbox.faults.add("timeout_after_charge")
        with pytest.raises(OutcomeUnknown):
            await world.confirm(intent, card)
        read = await world.provider.read_intent(intent_ref=intent)
        assert read == await world.confirm(intent, card)
        assert read.state is PaymentState.FAILED

    async def test_a_request_that_never_arrived_left_no_trace_and_goes_through_when_sent_again(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("timeout_before_charge")
        with pytest.raises(OutcomeUnknown):
            await world.confirm(intent, card)
        read = await world.provider.read_intent(intent_ref=intent)
        assert (read.state, read.charge_ref) == (PaymentState.PENDING, None)
        assert (await world.confirm(intent, card)).state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE

    async def test_a_lost_refund_is_sent_again_and_paid_once(self, world: World):
        intent, card = await at_work(world)
        await world.confirm(intent, card)
        world.sandbox.faults.add("timeout_after_charge", on="refund")
        with pytest.raises(OutcomeUnknown):
            await world.provider.refund(intent_ref=intent, amount=Money(900, "EUR"), key="re:1")
        await world.provider.refund(intent_ref=intent, amount=Money(900, "EUR"), key="re:1")
        assert world.moved == [*ONE_CHARGE, ("refund", 900)]

    async def test_a_read_without_an_answer_is_no_more_than_that(self, world: World):
        intent, _ = await at_work(world)
        world.sandbox.faults.add("unavailable")
        with pytest.raises(ProviderUnavailable):
            await world.provider.read_intent(intent_ref=intent)


class TestWhateverHappens:
    @settings(max_examples=40, deadline=None)
    @given(
        troubles=st.lists(st.sampled_from(sorted(KINDS)), max_size=6),
        card=st.sampled_from(["pm_card_visa", "pm_card_chargeDeclined", "pm_success_de", "pm_sandbox_parked"]),
    )
    def test_a_caller_who_resends_under_its_key_and_then_reads_charges_at_most_once(
        self, troubles: list[str], card: str
    ):
        async def told() -> None:
            world = World()
            intent, method = await world.intent(), await world.method(card)
            for kind in troubles:
                world.sandbox.faults.add(kind, on="confirm_intent")
            heard: set[PaymentState] = set()
            for _ in range(len(troubles) + 1):
                with contextlib.suppress(OutcomeUnknown, ProviderUnavailable):
                    heard.add((await world.confirm(intent, method)).state)
                await world.sandbox.release()
            known = await world.provider.read_intent(intent_ref=intent)
            charges = world.sandbox.account.movements(intent)
            assert len(charges) <= 1
            assert (len(charges) == 1) == (known.charge_ref is not None)
            assert heard <= {known.state, PaymentState.PROCESSING}
            await world.provider.close()

        asyncio.run(told())


class TestStillRunning:
    async def test_while_the_first_is_at_it_the_same_key_hears_that_and_a_read_shows_the_old_state(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("in_flight")
        with pytest.raises(OutcomeUnknown):
            await world.confirm(intent, card)
        assert (await world.provider.read_intent(intent_ref=intent)).state is PaymentState.PENDING
        with pytest.raises(ProviderUnavailable, match="409 idempotency_key_in_use"):
            await world.confirm(intent, card)
        await world.sandbox.release()
        assert (await world.confirm(intent, card)).state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE

    async def test_another_request_on_the_same_intent_has_to_wait(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("in_flight")
        with pytest.raises(OutcomeUnknown):
            await world.confirm(intent, card)
        with pytest.raises(ProviderUnavailable, match="429 lock_timeout"):
            await world.provider.cancel_intent(intent_ref=intent, key="cx")
        await world.sandbox.release()
        assert (await world.provider.cancel_intent(intent_ref=intent, key="cx")).state is PaymentState.SUCCEEDED

    async def test_two_at_once_under_one_key_charge_once(self, world: World):
        intent, card = await at_work(world)
        answers = await asyncio.gather(*(world.confirm(intent, card) for _ in range(5)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert all(isinstance(answer, ProviderUnavailable) for answer in refused)
        assert len(refused) < len(answers)
        assert world.moved == ONE_CHARGE


class TestBrokenAnswers:
    async def test_a_stored_500_is_heard_for_ever_under_its_key_and_reading_tells_that_nothing_happened(
        self, world: World
    ):
        intent, card = await at_work(world)
        world.sandbox.faults.add("stored_500")
        for heard in ("500", "replayed", "replayed"):
            with pytest.raises(OutcomeUnknown, match=heard):
                await world.confirm(intent, card)
        assert (await world.provider.read_intent(intent_ref=intent)).charge_ref is None
        assert (await world.confirm(intent, card, attempt=2)).state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE

    async def test_a_500_after_the_charge_is_told_by_reading(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("stored_500_after_charge")
        with pytest.raises(OutcomeUnknown):
            await world.confirm(intent, card)
        assert (await world.provider.read_intent(intent_ref=intent)).state is PaymentState.SUCCEEDED
        assert (await world.confirm(intent, card, attempt=2)).state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE

    @pytest.mark.parametrize(
        ("kind", "trouble"), [("rate_limit", ProviderUnavailable), ("unavailable", OutcomeUnknown)]
    )
    async def test_what_was_turned_away_at_the_door_goes_through_under_the_same_key(
        self, world: World, kind: str, trouble: type[Exception]
    ):
        intent, card = await at_work(world)
        world.sandbox.faults.add(kind, times=2)
        for _ in range(2):
            with pytest.raises(trouble):
                await world.confirm(intent, card)
        assert (await world.confirm(intent, card)).state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE

    async def test_a_page_of_a_broken_proxy_is_no_answer(self):
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>hi!")
            await writer.drain()
            writer.close()

        async with speaking(talk) as address:
            provider = StripePayments("sk_test_1", address=address, timeout_seconds=2)
            with pytest.raises(OutcomeUnknown):
                await provider.confirm_intent(intent_ref="pi_1", method_ref="pm_1", key="k")
            with pytest.raises(ProviderUnavailable):
                await provider.read_intent(intent_ref="pi_1")
            await provider.close()

    async def test_no_error_of_ours_carries_the_key_or_a_client_secret(self, world: World):
        intent, card = await at_work(world)
        await world.confirm(intent, card)
        with pytest.raises(ProviderRejected) as caught:
            await world.provider.refund(intent_ref=intent, amount=Money(10**6, "EUR"), key="re:1")
        assert caught.value.__cause__ is None
        assert not [word for word in ("secret", "sk_test") if word in repr(caught.value)]


class TestTheNetwork:
    async def test_a_provider_that_was_not_reached_did_nothing(self):
        provider = StripePayments("sk_test_1", address=f"http://127.0.0.1:{free_port()}", timeout_seconds=2)
        with pytest.raises(ProviderUnavailable, match="not reached"):
            await provider.confirm_intent(intent_ref="pi_1", method_ref="pm_1", key="k")
        await provider.close()

    async def test_a_line_cut_after_sending_leaves_it_open(self):
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()

        async with speaking(talk) as address:
            provider = StripePayments("sk_test_1", address=address, timeout_seconds=2)
            with pytest.raises(OutcomeUnknown):
                await provider.confirm_intent(intent_ref="pi_1", method_ref="pm_1", key="k")
            await provider.close()

    async def test_a_silent_provider_is_waited_for_no_longer_than_agreed(self, world: World):
        intent, card = await at_work(world)
        async with served(world.sandbox) as address:
            provider = StripePayments("sk_test_1", address=address, timeout_seconds=0.2)
            world.sandbox.faults.add("timeout_after_charge")
            with pytest.raises(OutcomeUnknown):
                await provider.confirm_intent(intent_ref=intent, method_ref=card, key="cf:1")
            paid = await provider.confirm_intent(intent_ref=intent, method_ref=card, key="cf:1")
            assert paid.state is PaymentState.SUCCEEDED
            await provider.close()
        assert world.moved == ONE_CHARGE

    async def test_so_it_is_without_a_network(self, world: World):
        intent, card = await at_work(world)
        plain = httpx.ASGITransport(world.sandbox)
        provider = StripePayments("sk_test_1", address="http://sandbox", transport=plain, timeout_seconds=0.2)
        world.sandbox.faults.add("timeout_after_charge")
        with pytest.raises(OutcomeUnknown):
            await provider.confirm_intent(intent_ref=intent, method_ref=card, key="cf:1")
        assert world.moved == ONE_CHARGE
        await provider.close()


class TestTheCallerGoes:
    async def test_a_cancelled_caller_hears_that_it_is_unknown_and_the_charge_is_made_once(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("in_flight")
        plain = httpx.ASGITransport(world.sandbox)
        provider = StripePayments("sk_test_1", address="http://sandbox", transport=plain)
        call = asyncio.create_task(provider.confirm_intent(intent_ref=intent, method_ref=card, key="cf:1"))
        await arrived(world)
        call.cancel()
        with pytest.raises(OutcomeUnknown, match="cancelled"):
            await call
        assert world.moved == []
        await world.sandbox.release()
        paid = await provider.confirm_intent(intent_ref=intent, method_ref=card, key="cf:1")
        assert paid.state is PaymentState.SUCCEEDED
        assert world.moved == ONE_CHARGE
        await provider.close()

    async def test_over_the_network_too(self, world: World):
        intent, card = await at_work(world)
        world.sandbox.faults.add("in_flight")
        async with served(world.sandbox) as address:
            provider = StripePayments("sk_test_1", address=address, timeout_seconds=5)
            call = asyncio.create_task(provider.confirm_intent(intent_ref=intent, method_ref=card, key="cf:1"))
            await arrived(world)
            call.cancel()
            with pytest.raises(OutcomeUnknown):
                await call
            await world.sandbox.release()
            assert (await provider.read_intent(intent_ref=intent)).state is PaymentState.SUCCEEDED
            await provider.close()
        assert world.moved == ONE_CHARGE

    async def test_cancelling_a_read_is_cancelling(self, world: World):
        async def never(_: object, __: object, ___: object) -> None:
            await asyncio.Event().wait()

        provider = StripePayments("sk_test_1", address="http://x", transport=httpx.ASGITransport(never))
        call = asyncio.create_task(provider.read_intent(intent_ref="pi_1"))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await provider.close()


class TestAfterADay:
    async def test_a_forgotten_key_is_a_new_request_which_an_intent_survives(self, world: World):
        intent, card = await at_work(world)
        first = await world.confirm(intent, card)
        world.clock.passes(timedelta(hours=25))
        assert await world.confirm(intent, card) == first, "the intent is paid: a second charge cannot be made on it"
        assert world.moved == ONE_CHARGE

    async def test_a_forgotten_key_makes_a_second_intent(self, world: World):
        first = await world.intent()
        world.clock.passes(timedelta(hours=25))
        assert await world.intent() != first


class TestTheControls:
    async def test_faults_can_be_ordered_over_http(self, world: World):
        async with httpx.AsyncClient(transport=in_process(world.sandbox), base_url="http://sandbox") as client:
            ordered = await client.post("/_sandbox/faults", json={"kind": "rate_limit", "times": 2})
            assert ordered.json() == {"faults": [{"kind": "rate_limit", "times": 2, "on": "any"}]}
            assert (await client.post("/_sandbox/faults", json={"kind": "earthquake"})).status_code == 400
            assert (await client.post("/_sandbox/faults", json={"kind": "rate_limit", "times": 0})).status_code == 400
            assert (await client.delete("/_sandbox/faults")).json() == {"faults": []}
        assert await world.customer()

    async def test_the_list_of_charges_tells_every_movement(self, world: World):
        intent = await world.intent()
        await world.confirm(intent, await world.method("pm_card_chargeDeclined"))
        await world.confirm(intent, await world.method("pm_card_visa"), attempt=2)
        await world.provider.refund(intent_ref=intent, amount=Money(900, "EUR"), key="re:1")
        await world.pay("pm_card_visa", "inv_2")
        async with httpx.AsyncClient(transport=in_process(world.sandbox), base_url="http://sandbox") as client:
            answer = await client.get("/_sandbox/charges", params={"payment_intent": intent})
        told = [(each["kind"], each["status"], each["amount"], each["currency"]) for each in answer.json()["data"]]
        assert told == [
            ("charge", "failed", 4900, "eur"),
            ("charge", "succeeded", 4900, "eur"),
            ("refund", "succeeded", 900, "eur"),
        ]

    async def test_a_customer_who_authenticates_pays(self, world: World):
        intent = (await world.pay("pm_sandbox_parked")).ref
        async with httpx.AsyncClient(transport=in_process(world.sandbox), base_url="http://sandbox") as client:
            await client.post(f"/_sandbox/intents/{intent}/authenticate", json={"succeeds": False})
            failed = await world.provider.read_intent(intent_ref=intent)
            await world.confirm(intent, await world.method("pm_sandbox_parked"), attempt=2)
            await client.post(f"/_sandbox/intents/{intent}/authenticate")
        assert failed.decline == Decline(code="payment_intent_authentication_failure")
        assert (await world.provider.read_intent(intent_ref=intent)).state is PaymentState.SUCCEEDED


class TestDeath:
    async def test_a_sandbox_killed_in_its_tracks_keeps_its_charges_and_its_keys(self, tmp_path: Path):
        process = SandboxProcess(tmp_path, free_port())
        await process.start()
        provider = StripePayments("sk_test_1", address=process.address, timeout_seconds=5)
        try:
            customer = await provider.create_customer(customer_id="cus_ada", key="customer")
            card = await provider.attach_method(customer_ref=customer, method="pm_card_visa", key="method")
            intent = await provider.create_intent(
                customer_ref=customer, amount=Money(4900, "EUR"), invoice_id="inv_1", key="pi:1"
            )
            paid = await provider.confirm_intent(intent_ref=intent.ref, method_ref=card.ref, key="cf:1")
            await process.kill()
            with pytest.raises((ProviderUnavailable, OutcomeUnknown)):
                await provider.confirm_intent(intent_ref=intent.ref, method_ref=card.ref, key="cf:1")
            await process.start()
            assert await provider.read_intent(intent_ref=intent.ref) == paid
            assert await provider.confirm_intent(intent_ref=intent.ref, method_ref=card.ref, key="cf:1") == paid
            async with httpx.AsyncClient(trust_env=False) as client:
                movements = (await client.get(f"{process.address}/_sandbox/charges")).json()["data"]
            assert [(each["kind"], each["amount"]) for each in movements] == ONE_CHARGE
        finally:
            await process.kill()
            await provider.close()

    async def test_killed_between_asking_and_charging_nothing_was_done_and_the_key_is_free(self, tmp_path: Path):
        process = SandboxProcess(tmp_path, free_port())
        await process.start()
        impatient = StripePayments("sk_test_1", address=process.address, timeout_seconds=0.5)
        try:
            customer = await impatient.create_customer(customer_id="cus_ada", key="customer")
            intent = await impatient.create_intent(
                customer_ref=customer, amount=Money(4900, "EUR"), invoice_id="inv_1", key="pi:1"
            )
            async with httpx.AsyncClient(trust_env=False, base_url=process.address) as client:
                await client.post("/_sandbox/faults", json={"kind": "in_flight"})
                with pytest.raises(OutcomeUnknown):
                    await impatient.confirm_intent(intent_ref=intent.ref, method_ref="pm_card_visa", key="cf:1")
            await process.kill()
            await process.start()
            assert await impatient.read_intent(intent_ref=intent.ref) == intent
            paid = await impatient.confirm_intent(intent_ref=intent.ref, method_ref="pm_card_visa", key="cf:1")
            assert paid.state is PaymentState.SUCCEEDED
        finally:
            await process.kill()
            await impatient.close()

    async def test_state_is_found_again_in_its_file(self, tmp_path: Path):
        before = World(Storage(tmp_path / "s.sqlite"))
        paid = await before.pay("pm_card_visa")
        after = World(Storage(tmp_path / "s.sqlite"))
        assert await after.provider.read_intent(intent_ref=paid.ref) == paid
        assert await after.pay("pm_card_visa") == paid
        assert after.moved == ONE_CHARGE
