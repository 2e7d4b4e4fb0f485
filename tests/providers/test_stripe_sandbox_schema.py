"""Every request of the adapter, and every answer and event of the sandbox, held against Stripe's own description."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from activities.ports import OutcomeUnknown, ProviderRejected, ProviderUnavailable
from domain.money import Money
from providers.sandbox import Storage, create_payment_sandbox, in_process
from providers.stripe import API_VERSION
from tests.providers.stripe_openapi import VERSION, answer_problems, object_problems, request_problems, strict_problems
from tests.providers.stripe_world import World


class Recorder(httpx.AsyncBaseTransport):
    """Passes on, and keeps what was asked and answered."""

    def __init__(self) -> None:
        self.inner: httpx.AsyncBaseTransport | None = None
        self.seen: list[tuple[httpx.Request, int, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.inner is not None
        response = await self.inner.handle_async_request(request)
        content = await response.aread()
        self.seen.append((request, response.status_code, json.loads(content)))
        return httpx.Response(response.status_code, headers=response.headers, content=content)


METHODS = [
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedLostCard",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_authenticationRequired",
    "pm_card_createDispute",
    "pm_sandbox_parked",
    "pm_success_de",
    "pm_failed_de",
    "pm_disputed_de",
    "pm_usBankAccount_success",
    "pm_usBankAccount_processing",
]


async def everything(world: World) -> None:
    """All that the adapter can ask, on every kind of method, and the refusals."""
    provider = world.provider
    customer = await world.customer()
    for number, name in enumerate(METHODS):
        card = await world.method(name)
        intent = await world.intent(f"inv_{number}")
        await world.confirm(intent, card)
        await provider.read_intent(intent_ref=intent)
        await world.confirm(intent, card, attempt=2)
        await provider.cancel_intent(intent_ref=intent, key=f"cx:{number}")
    paid = await world.intent("inv_0")
    await provider.refund(intent_ref=paid, amount=Money(100, "EUR"), key="re:1")
    await provider.attach_method(customer_ref=customer, method=await world.method("pm_card_visa"), key="again")
    with pytest.raises(ProviderRejected):
        await provider.refund(intent_ref=paid, amount=Money(10**6, "EUR"), key="re:2")
    with pytest.raises(ProviderRejected):
        await provider.read_intent(intent_ref="pi_nobody")
    with pytest.raises(ProviderRejected):
        await world.confirm(await world.intent("inv_x"), "pm_nobody")
    with pytest.raises(ProviderRejected):
        await provider.create_customer(customer_id="cus_other", key="customer/ada")
    for kind, trouble in {"rate_limit": ProviderUnavailable, "unavailable": OutcomeUnknown}.items():
        world.sandbox.faults.add(kind)
        with pytest.raises(trouble):
            await provider.create_customer(customer_id="cus_bob", key="customer/bob")
    world.sandbox.faults.add("stored_500")
    with pytest.raises(OutcomeUnknown):
        await world.confirm(await world.intent("inv_y"), await world.method("pm_card_visa"))


@pytest.fixture(scope="module")
def told() -> tuple[World, Recorder]:
    """All of it once, with what was asked and answered."""
    recorder = Recorder()
    world = World(transport=recorder)
    recorder.inner = in_process(world.sandbox)

    async def tell() -> None:
        await everything(world)
        world.clock.passes(timedelta(days=1))
        await world.sandbox.tick()
        parked = await world.pay("pm_sandbox_parked", "inv_parked")
        with world.sandbox.storage.transaction():
            world.sandbox.account.authenticate(parked.ref)
        await world.sandbox.idle()
        await world.provider.close()

    asyncio.run(tell())
    return world, recorder


def test_every_request_of_the_adapter_is_one_that_stripe_describes(told: tuple[World, Recorder]):
    _, recorder = told
    problems = {
        f"{request.method} {request.url.path}: {problem}"
        for request, _, _ in recorder.seen
        for problem in request_problems(
            request.method, request.url.path, request.url.query.decode(), request.content.decode()
        )
    }
    assert not problems
    assert {request.method for request, _, _ in recorder.seen} == {"GET", "POST"}


def test_every_request_names_the_api_version_and_every_post_its_key(told: tuple[World, Recorder]):
    _, recorder = told
    assert API_VERSION == VERSION
    assert {request.headers["stripe-version"] for request, _, _ in recorder.seen} == {VERSION}
    assert all(request.headers.get("idempotency-key") for request, _, _ in recorder.seen if request.method == "POST")


def test_no_request_tells_stripe_about_the_machine(told: tuple[World, Recorder]):
    _, recorder = told
    agents = [json.loads(request.headers["x-stripe-client-user-agent"]) for request, _, _ in recorder.seen]
    assert not {name for agent in agents for name in agent if name in {"telemetry_id", "platform", "uname"}}
    assert not [True for request, _, _ in recorder.seen if "x-stripe-client-telemetry" in request.headers]


def test_no_request_tells_stripe_who_the_customer_is(told: tuple[World, Recorder]):
    _, recorder = told
    sent = {name for request, _, _ in recorder.seen for name in httpx.QueryParams(request.content.decode())}
    assert not {name for name in sent if any(word in name for word in ("name", "email", "phone", "address"))}


def test_every_answer_of_the_sandbox_is_one_that_stripe_describes(told: tuple[World, Recorder]):
    _, recorder = told
    problems = {
        f"{request.method} {request.url.path} {status}: {problem}"
        for request, status, body in recorder.seen
        for problem in answer_problems(request.method, request.url.path, status, body)
    }
    assert not problems
    assert {status for _, status, _ in recorder.seen} == {200, 400, 402, 404, 429, 500, 503}


def test_every_event_and_what_it_is_about_is_described_too(told: tuple[World, Recorder]):
    world, _ = told
    events = world.sandbox.storage.all("event")
    subjects = [event["data"]["object"] for event in events]
    assert not {problem for event in events for problem in object_problems(event)}
    assert not {problem for subject in subjects for problem in object_problems(subject)}
    assert {event["type"] for event in events} >= {
        "customer.created",
        "payment_method.attached",
        "payment_intent.created",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.processing",
        "payment_intent.requires_action",
        "payment_intent.canceled",
        "charge.refunded",
        "charge.dispute.created",
    }


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers/{customer}",
        "/v1/payment_methods/{payment_method}",
        "/v1/payment_methods/pm_card_visa",
        "/v1/payment_intents/{payment_intent}",
        "/v1/charges/{charge}",
        "/v1/charges",
        "/v1/charges?payment_intent={payment_intent}",
        "/v1/refunds/{refund}",
        "/v1/events",
        "/v1/events?type=payment_intent.succeeded&limit=2",
        "/v1/events?delivery_success=false",
        "/v1/events?types[0]=charge.refunded&types[1]=payment_intent.succeeded",
        "/v1/customers/cus_nobody",
        "/v1/events?order=random",
    ],
)
async def test_what_the_sandbox_can_be_asked_for_besides_is_described(told: tuple[World, Recorder], path: str):
    world, _ = told
    kinds = ("customer", "payment_method", "payment_intent", "charge", "refund")
    path = path.format(**{kind: world.sandbox.storage.all(kind)[0]["id"] for kind in kinds})
    async with httpx.AsyncClient(transport=in_process(world.sandbox), base_url="http://sandbox") as client:
        answer = await client.get(path, headers={"Authorization": "Bearer sk_test_1"})
    plain = path.partition("?")[0]
    assert not answer_problems("GET", plain, answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("path", "form", "code"),
    [
        ("/v1/payment_intents", {"amount": "100"}, "parameter_missing"),
        ("/v1/payment_intents", {"amount": "1.5", "currency": "eur"}, "parameter_invalid_integer"),
        ("/v1/payment_intents", {"amount": "0", "currency": "eur"}, "parameter_invalid_integer"),
        ("/v1/payment_intents", {"amount": "100", "currency": "eur", "colour": "red"}, "parameter_unknown"),
        ("/v1/payment_intents", {"amount": "150", "currency": "isk"}, "invalid_charge_amount_no_decimal_compatible"),
        ("/v1/payment_intents", {"amount": "1001", "currency": "kwd"}, "invalid_charge_amount_no_decimal_compatible"),
        ("/v1/payment_intents", {"amount": "100", "currency": "EUR"}, None),
        ("/v1/payment_intents", {"amount": "100", "currency": "eur", "metadata": "flat"}, None),
    ],
)
async def test_a_request_that_is_wrong_is_refused_in_stripes_shape_and_its_key_stays_free(
    world: World, path: str, form: dict[str, str], code: str | None
):
    headers = {"Authorization": "Bearer sk_test_1", "Idempotency-Key": "k"}
    async with httpx.AsyncClient(transport=in_process(world.sandbox), base_url="http://sandbox") as client:
        refused = await client.post(path, data=form, headers=headers)
        corrected = await client.post(path, data={"amount": "100", "currency": "eur"}, headers=headers)
    assert (refused.status_code, refused.json()["error"].get("code")) == (400, code)
    assert not answer_problems("POST", path, 400, refused.json())
    assert corrected.status_code == 200


def test_the_same_story_makes_the_same_bytes_twice():
    async def story() -> list[Any]:
        world = World()
        await everything(world)
        await world.sandbox.idle()
        await world.provider.close()
        kinds = ("customer", "payment_method", "payment_intent", "charge", "refund", "event", "key")
        return [world.sandbox.storage.all(kind) for kind in kinds]

    assert asyncio.run(story()) == asyncio.run(story())


def test_the_checks_see_what_is_missing_and_what_is_too_much():
    refund = {"$ref": "#/components/schemas/refund"}
    nothing = """balance_transaction charge metadata payment_intent reason receipt_number source_transfer_reversal
        status transfer_reversal"""
    whole: dict[str, Any] = dict.fromkeys(nothing.split())
    whole |= {"id": "re_1", "object": "refund", "amount": 1, "created": 1, "currency": "eur"}
    assert strict_problems(whole, refund) == []
    assert strict_problems(whole | {"colour": "red"}, refund) == ["/colour (refund) is unknown"]
    assert strict_problems({name: whole[name] for name in whole if name != "status"}, refund) == [
        "/status (refund) is missing"
    ]


def test_the_checks_see_every_field_that_is_taken_away_and_every_type_that_is_wrong(told: tuple[World, Recorder]):
    world, _ = told
    intent = world.sandbox.storage.all("payment_intent")[0]
    assert object_problems(intent) == []
    assert [field for field in intent if not object_problems({k: v for k, v in intent.items() if k != field})] == []
    assert [field for field in intent if not object_problems(intent | {field: [{"no": "such"}]})] == []


def test_an_unknown_parameter_of_ours_would_be_seen():
    body = "amount=100&currency=eur&automatic_payment_methods[enabled]=true&colour=red"
    (problem,) = request_problems("POST", "/v1/payment_intents", "", body)
    assert "colour" in problem


def test_a_sandbox_needs_a_secret_to_send_webhooks():
    world = World()
    with pytest.raises(ValueError, match="secret"):
        create_payment_sandbox(Storage(), clock=world.clock, webhook_target=world.listener)
