"""Webhooks: a hint of the provider's is verified, and does no harm however often and in whatever order it comes."""

import hmac
import json
from datetime import timedelta

import pytest

from workers.sandbox import SANDBOX_SECRET

pytestmark = pytest.mark.asyncio(loop_scope="module")


def signed(payload: bytes, at, secret=SANDBOX_SECRET):
    stamp = str(int(at.timestamp())).encode()
    return f"t={stamp.decode()},v1={hmac.digest(secret.encode(), stamp + b'.' + payload, 'sha256').hex()}"


async def deliver(api, intent, kind="payment_intent.succeeded", *, at=None, secret=SANDBOX_SECRET, id="evt_1"):
    body = {"id": id, "type": kind, "created": 1, "data": {"object": {"object": "payment_intent", "id": intent}}}
    payload = json.dumps(body).encode()
    headers = {"stripe-signature": signed(payload, at or api.world.now, secret), "authorization": ""}
    return await api.http.post("/webhooks/stripe", content=payload, headers=headers)


async def collection_of(api, key):
    return (await api.http.get(f"/v1/collections/{key}%231")).json()


async def intent_of(api, key):
    invoice = (await api.http.get(f"/v1/invoices/{key}%231")).json()
    async with api.world.world.doors.open_books() as books:
        return (await books.payments.of_invoice(invoice["id"]))[-1].intent_ref


class TestWhatIsBelieved:
    async def test_nothing_without_a_signature(self, api):
        answer = await api.http.post("/webhooks/stripe", content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (400, "unverified_webhook")

    async def test_nothing_with_anothers(self, api):
        assert (await deliver(api, "pi_1", secret="whsec_other")).status_code == 400

    async def test_nothing_old(self, api):
        assert (await deliver(api, "pi_1", at=api.world.now - timedelta(minutes=6))).status_code == 400

    async def test_no_key_is_needed(self, api):
        assert (await deliver(api, "pi_1")).status_code == 200


class TestAHint:
    async def test_about_an_intent_that_is_not_ours_is_fine(self, api):
        assert (await deliver(api, "pi_unknown")).status_code == 200

    async def test_about_no_intent_is_fine(self, api):
        payload = json.dumps(
            {"id": "evt_2", "type": "account.updated", "created": 1, "data": {"object": {"id": "a"}}}
        ).encode()
        headers = {"stripe-signature": signed(payload, api.world.now)}
        assert (await api.http.post("/webhooks/stripe", content=payload, headers=headers)).status_code == 200

    async def test_moves_a_payment_that_a_bank_has_settled(self, api):
        key = await api.sold(await api.customer(payment_method="pm_success_de"))
        assert (await collection_of(api, key))["state"] in {"processing", "paid"}
        await api.world.reach(api.world.now + timedelta(days=1))
        assert (await collection_of(api, key))["state"] == "paid"

    async def test_again_and_out_of_order_changes_nothing(self, api):
        key = await api.sold(await api.customer(payment_method="pm_card_visa"))
        before, intent = await collection_of(api, key), await intent_of(api, key)
        for number, kind in enumerate(["succeeded", "payment_failed", "processing", "succeeded"]):
            for _ in range(2):
                assert (await deliver(api, intent, f"payment_intent.{kind}", id=f"evt_{number}")).status_code == 200
        await api.world.settle(api.world.now)
        assert await collection_of(api, key) == before

    async def test_wakes_a_collection_whose_customer_has_authenticated(self, api):
        sandbox = api.world.world.sandbox
        key = await api.sold(await api.customer(payment_method="pm_sandbox_parked"))
        parked = await collection_of(api, key)
        assert (parked["state"], parked["cause"]) == ("awaiting_customer", "authentication_required")
        intent = await intent_of(api, key)
        with sandbox.payments.storage.transaction():
            sandbox.payments.account.authenticate(intent, succeeds=True)
        await sandbox.tick()
        await sandbox.payments.idle()
        from tests.api.conftest import eventually

        async def is_paid():
            return (await collection_of(api, key))["state"] == "paid"

        await eventually(is_paid)
        assert (await api.http.get("/v1/ledger/trial-balance")).json()["balanced"]


async def test_without_a_secret_nothing_is_believed(api):
    from dataclasses import replace

    import httpx

    from api.app import create_app

    app = create_app(replace(api.world.world.api.state.context, webhook_secret=""))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        answer = await http.post("/webhooks/stripe", content=b"{}", headers={"stripe-signature": "t=1,v1=00"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unverified_webhook")
