"""Webhooks: believed only when signed, and harmless when they come twice, late, out of order or not at all."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.payment import PaymentState
from providers.sandbox import Storage, create_payment_sandbox, in_process
from providers.sandbox.webhooks import signature
from providers.stripe_webhooks import ProviderEvent, UnverifiedWebhook, read_event
from tests.providers.loopback import served
from tests.providers.stripe_world import SECRET, STARTS, World

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "created": int(NOW.timestamp()),
    "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
}
BODY = json.dumps(EVENT).encode()


def signed(body: bytes = BODY, at: datetime = NOW, secret: str = SECRET) -> str:
    """Signed by the official client."""
    sign = stripe.WebhookSignature.generate_signature_header  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return sign(body.decode(), secret, int(at.timestamp()))


class TestBelieving:
    def test_what_stripe_signed_is_read(self):
        assert read_event(BODY, signed(), SECRET, at=NOW) == ProviderEvent(
            id="evt_1", type="payment_intent.succeeded", intent_ref="pi_1", created_at=NOW
        )

    def test_the_official_client_believes_the_sandbox(self):
        at = datetime.now(UTC)  # noqa: TID251  its tolerance knows no other clock
        header = signature(BODY, SECRET, at)
        assert stripe.Webhook.construct_event(BODY, header, SECRET).id == "evt_1"

    @pytest.mark.parametrize(
        ("body", "header", "secret"),
        [
            (BODY, None, SECRET),
            (BODY, "", SECRET),
            (BODY, "v1=abc", SECRET),
            (BODY, "t=,v1=abc", SECRET),
            (BODY, "t=soon,v1=abc", SECRET),
            (BODY, f"t={int(NOW.timestamp())}", SECRET),
            (BODY, f"t={int(NOW.timestamp())},v1=é", SECRET),
            (BODY, f"t=1,{signed()}", SECRET),
            (BODY, signed(), "whsec_other"),
            (BODY, signed().replace("v1=", "v0="), SECRET),
            (BODY + b" ", signed(), SECRET),
            (b"\xff\xfe", signed(), SECRET),
        ],
    )
    def test_what_is_not_signed_is_not_believed(self, body: bytes, header: str | None, secret: str):
        with pytest.raises(UnverifiedWebhook):
            read_event(body, header, secret, at=NOW)

    def test_the_same_data_written_differently_is_not_the_same_body(self):
        with pytest.raises(UnverifiedWebhook):
            read_event(json.dumps(EVENT, indent=2).encode(), signed(), SECRET, at=NOW)

    @pytest.mark.parametrize("drift", [timedelta(minutes=5, seconds=1), -timedelta(minutes=5, seconds=1)])
    def test_a_signature_from_too_long_ago_or_from_the_future_is_not_believed(self, drift: timedelta):
        with pytest.raises(UnverifiedWebhook, match="too far"):
            read_event(BODY, signed(at=NOW + drift), SECRET, at=NOW)

    @pytest.mark.parametrize("drift", [timedelta(minutes=5), timedelta(0), -timedelta(minutes=5)])
    def test_clocks_may_differ_by_minutes(self, drift: timedelta):
        assert read_event(BODY, signed(at=NOW + drift), SECRET, at=NOW).id == "evt_1"

    def test_while_a_secret_is_rolled_one_of_two_signatures_is_enough(self):
        old, new = signed(secret="whsec_old"), signed()
        header = f"{old},{new.partition(',')[2]}"
        assert read_event(BODY, header, SECRET, at=NOW).id == "evt_1"

    def test_an_empty_secret_is_a_mistake_of_ours(self):
        with pytest.raises(ValueError, match="secret"):
            read_event(BODY, signed(secret=""), "", at=NOW)

    @given(st.binary(max_size=200), st.text(max_size=100) | st.none())
    def test_noise_is_refused_and_never_more(self, body: bytes, header: str | None):
        with pytest.raises(UnverifiedWebhook):
            read_event(body, header, SECRET, at=NOW)


class TestTranslating:
    @pytest.mark.parametrize(
        ("subject", "intent_ref"),
        [
            ({"id": "pi_1", "object": "payment_intent"}, "pi_1"),
            ({"id": "ch_1", "object": "charge", "payment_intent": "pi_2"}, "pi_2"),
            ({"id": "re_1", "object": "refund", "payment_intent": "pi_3"}, "pi_3"),
            ({"id": "du_1", "object": "dispute", "payment_intent": {"id": "pi_4", "object": "payment_intent"}}, "pi_4"),
            ({"id": "ch_2", "object": "charge", "payment_intent": None}, None),
            ({"id": "pm_1", "object": "payment_method"}, None),
        ],
    )
    def test_an_event_names_the_intent_that_it_is_about(self, subject: dict[str, object], intent_ref: str | None):
        body = json.dumps(EVENT | {"data": {"object": subject}}).encode()
        assert read_event(body, signed(body), SECRET, at=NOW).intent_ref == intent_ref

    def test_a_thin_event_is_read_too(self):
        thin = {
            "id": "evt_9",
            "object": "v2.core.event",
            "type": "v2.core.health.event_generation_failure.resolved",
            "created": "2026-03-01T00:00:00.000Z",
            "related_object": None,
        }
        body = json.dumps(thin).encode()
        event = read_event(body, signed(body), SECRET, at=NOW)
        assert (event.id, event.intent_ref, event.created_at) == ("evt_9", None, NOW)

    @pytest.mark.parametrize(
        "body",
        [b"{}", b"[]", b"null", b"no json", b'{"id": 1, "type": "x", "created": 1}', b'{"id": "e", "type": "t"}'],
    )
    def test_a_signed_body_that_is_no_event_is_refused(self, body: bytes):
        with pytest.raises(UnverifiedWebhook):
            read_event(body, signed(body), SECRET, at=NOW)


class TestSending:
    async def test_a_payment_is_told_as_it_happens(self, world: World):
        paid = await world.pay("pm_card_visa")
        await world.sandbox.idle()
        assert world.listener.types == ["payment_method.attached", "payment_intent.succeeded"]
        assert world.listener.events[1].intent_ref == paid.ref
        assert world.listener.events[1].created_at == STARTS

    @pytest.mark.parametrize(
        ("name", "type"),
        [
            ("pm_card_chargeDeclined", "payment_intent.payment_failed"),
            ("pm_card_authenticationRequired", "payment_intent.payment_failed"),
            ("pm_sandbox_parked", "payment_intent.requires_action"),
            ("pm_usBankAccount_processing", "payment_intent.processing"),
        ],
    )
    async def test_each_outcome_has_its_event(self, world: World, name: str, type: str):
        paid = await world.pay(name)
        await world.sandbox.idle()
        assert (world.listener.types[-1], world.listener.events[-1].intent_ref) == (type, paid.ref)

    async def test_what_time_and_people_do_is_told_too(self, world: World):
        bank = await world.pay("pm_successDelayed_de", "inv_1")
        world.clock.passes(timedelta(minutes=3))
        await world.sandbox.tick()
        disputed = await world.pay("pm_card_createDispute", "inv_2")
        with world.sandbox.storage.transaction():
            world.sandbox.account.decide_dispute(disputed.ref, won=True)
        given_up = await world.intent("inv_3")
        await world.provider.cancel_intent(intent_ref=given_up, key="cx")
        await world.sandbox.idle()
        told = {(event.type, event.intent_ref) for event in world.listener.events}
        assert told >= {
            ("payment_intent.processing", bank.ref),
            ("payment_intent.succeeded", bank.ref),
            ("charge.dispute.created", disputed.ref),
            ("charge.dispute.funds_reinstated", disputed.ref),
            ("payment_intent.canceled", given_up),
        }

    async def test_held_webhooks_come_late(self, world: World):
        world.sandbox.webhooks.hold()
        paid = await world.pay("pm_card_visa")
        await world.sandbox.idle()
        assert world.listener.events == []
        assert (await world.provider.read_intent(intent_ref=paid.ref)).state is PaymentState.SUCCEEDED
        await world.sandbox.webhooks.release()
        assert world.listener.types == ["payment_method.attached", "payment_intent.succeeded"]

    async def test_they_come_twice_with_one_id(self, world: World):
        world.sandbox.webhooks.hold()
        await world.pay("pm_card_visa")
        await world.sandbox.webhooks.release(times=2)
        ids = [event.id for event in world.listener.events]
        assert len(ids) == 4
        assert len(set(ids)) == 2

    async def test_they_come_out_of_order(self, world: World):
        world.sandbox.webhooks.hold()
        intent = await world.intent()
        await world.confirm(intent, await world.method("pm_card_chargeDeclined"))
        await world.confirm(intent, await world.method("pm_card_visa"), attempt=2)
        await world.sandbox.webhooks.release(newest_first=True)
        told = [event.type for event in world.listener.events if event.intent_ref]
        assert told == ["payment_intent.succeeded", "payment_intent.payment_failed"]

    async def test_they_are_lost_and_the_object_still_tells(self, world: World):
        world.sandbox.webhooks.hold()
        paid = await world.pay("pm_card_visa")
        await world.sandbox.webhooks.release(times=0)
        await world.sandbox.tick()
        assert world.listener.events == []
        assert (await world.provider.read_intent(intent_ref=paid.ref)).state is PaymentState.SUCCEEDED

    async def test_one_can_be_sent_again_at_any_time(self, world: World):
        await world.pay("pm_card_visa")
        await world.sandbox.idle()
        event = world.listener.events[-1]
        assert await world.sandbox.webhooks.resend(event.id) == 200
        assert world.listener.events[-2:] == [event, event]

    async def test_a_refused_one_is_sent_again_later_and_listed_as_undelivered_until_then(self, world: World):
        world.listener.refuses = 1
        await world.method("pm_card_visa")
        await world.sandbox.idle()
        assert await undelivered(world) == ["payment_method.attached"]
        await world.sandbox.tick()
        assert world.listener.events == []
        world.clock.passes(timedelta(minutes=1))
        await world.sandbox.tick()
        assert world.listener.types == ["payment_method.attached"]
        assert await undelivered(world) == []

    async def test_nobody_at_home_for_four_days_and_it_is_given_up(self, world: World):
        world.listener.refuses = 1000
        await world.method("pm_card_visa")
        for _ in range(4 * 24):
            await world.sandbox.tick()
            world.clock.passes(timedelta(hours=1))
        world.listener.refuses = 0
        await world.sandbox.tick()
        assert world.listener.events == []
        assert await undelivered(world) == ["payment_method.attached"]

    async def test_they_reach_an_address(self, world: World):
        taken: list[ProviderEvent] = []

        async def endpoint(request: Request) -> Response:
            header = request.headers["stripe-signature"]
            taken.append(read_event(await request.body(), header, SECRET, at=world.clock()))
            return Response()

        async with served(Starlette(routes=[Route("/webhooks/stripe", endpoint, methods=["POST"])])) as address:
            target = f"{address}/webhooks/stripe"
            sandbox = create_payment_sandbox(Storage(), clock=world.clock, webhook_secret=SECRET, webhook_target=target)
            async with httpx.AsyncClient(
                transport=in_process(sandbox), base_url="http://sandbox", headers={"Authorization": "Bearer sk_test_1"}
            ) as client:
                customer = (await client.post("/v1/customers")).json()["id"]
                await client.post("/v1/payment_methods/pm_card_visa/attach", data={"customer": customer})
            await sandbox.idle()
        assert [event.type for event in taken] == ["payment_method.attached"]

    async def test_all_of_it_can_be_ordered_over_http(self, world: World):
        async with httpx.AsyncClient(transport=in_process(world.sandbox), base_url="http://sandbox") as client:
            await client.post("/_sandbox/webhooks", json={"do": "hold"})
            await world.pay("pm_card_visa")
            await client.post("/_sandbox/webhooks", json={"do": "release", "times": 2, "newest_first": True})
            assert [event.type for event in world.listener.events] == [
                "payment_intent.succeeded",
                "payment_intent.succeeded",
                "payment_method.attached",
                "payment_method.attached",
            ]
            again = {"do": "resend", "event": world.listener.events[0].id}
            assert (await client.post("/_sandbox/webhooks", json=again)).json() == {"status": 200}
            assert (await client.post("/_sandbox/webhooks", json={"do": "sing"})).status_code == 400


async def undelivered(world: World) -> list[str]:
    """As recovery asks for them."""
    async with httpx.AsyncClient(transport=in_process(world.sandbox), base_url="http://sandbox") as client:
        answer = await client.get(
            "/v1/events", params={"delivery_success": "false"}, headers={"Authorization": "Bearer sk_test_1"}
        )
    # What nobody subscribed to counts as delivered.
    return [event["type"] for event in answer.json()["data"]]
