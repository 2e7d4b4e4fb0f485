"""Reconciliation is silent about what agrees, and names each disagreement that is planted, with its ids and its remedy."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.ports import Intent
from domain.payment import PaymentState
from tests.production.installation import Installation, running, until
from tests.store import samples as s
from workers.reconcile import compared
from workflows.names import collection_workflow, subscription_workflow

pytestmark = pytest.mark.slow

AGREE = [
    (PaymentState.SUCCEEDED, PaymentState.SUCCEEDED),
    (PaymentState.REFUNDED, PaymentState.SUCCEEDED),
    (PaymentState.FAILED, PaymentState.FAILED),
    (PaymentState.FAILED, PaymentState.PENDING),
    (PaymentState.UNKNOWN, PaymentState.FAILED),
    (PaymentState.PROCESSING, PaymentState.PROCESSING),
]
DISAGREE = [
    (PaymentState.SUCCEEDED, PaymentState.FAILED),
    (PaymentState.SUCCEEDED, PaymentState.PROCESSING),
    (PaymentState.REFUNDED, PaymentState.PENDING),
    (PaymentState.FAILED, PaymentState.SUCCEEDED),
    (PaymentState.FAILED, PaymentState.PROCESSING),
    (PaymentState.UNKNOWN, PaymentState.SUCCEEDED),
    (PaymentState.PENDING, PaymentState.SUCCEEDED),
    (PaymentState.PROCESSING, PaymentState.FAILED),
    (PaymentState.REQUIRES_ACTION, PaymentState.SUCCEEDED),
]


@pytest.mark.parametrize(("ours", "theirs"), AGREE)
def test_states_that_agree_are_no_disagreement(ours: PaymentState, theirs: PaymentState):
    payment = s.payment(1, state=ours)
    assert compared(payment, Intent(ref="pi_1", state=theirs, amount=payment.amount)) is None
    assert compared(payment, Intent(ref="pi_1", state=theirs)) is None


@pytest.mark.parametrize(("ours", "theirs"), DISAGREE)
def test_states_that_differ_are_told_with_both(ours: PaymentState, theirs: PaymentState):
    found = compared(s.payment(1, state=ours), Intent(ref="pi_1", state=theirs))
    assert found is not None
    assert found.ids == {"payment": "pay_1", "invoice": "inv_1", "intent": "pi_1"}
    assert (str(ours) in found.detail, str(theirs) in found.detail, found.mend != "") == (True, True, True)


def test_an_amount_that_differs_by_a_cent_is_told():
    payment = s.payment(1, state=PaymentState.SUCCEEDED)
    found = compared(payment, Intent(ref="pi_1", state=PaymentState.SUCCEEDED, amount=s.eur(10_72)))
    assert found is not None
    assert found.detail == "the books say 10.71 EUR, the provider 10.72 EUR"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Three deals: two are paid, of one the card declines."""
    async with running(tmp_path_factory.mktemp("reconcile")) as installation:
        for key in ("ada", "bob"):
            await installation.deal(key)
            await installation.invoice(key, "paid")
        await installation.deal("eve", "pm_card_visa_chargeDeclinedInsufficientFunds")
        await until(lambda: declined(installation), "the card of eve is declined")
        yield installation


async def declined(stack: Installation) -> bool:
    invoice = await stack.invoice("eve", "open")
    return (await stack.ask("GET", f"collections/{invoice['id']}"))["state"] == "retrying"


async def found(stack: Installation, *options: str) -> list[dict[str, Any]]:
    """The disagreements; the command ends with 1 exactly if there are any."""
    status, answer = await stack.json("reconcile", *options)
    assert (status, answer["agreed"]) == ((1, False) if answer["disagreements"] else (0, True))
    assert all(one["ids"] and one["mend"] for one in answer["disagreements"])
    return answer["disagreements"]


async def client_of(stack: Installation) -> Client:
    return await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_agrees_is_counted_and_nothing_is_told(stack: Installation):
    status, out, err = await stack.run("reconcile")
    assert (status, err) == (0, ""), out
    assert out.endswith("3 intents at the provider, 4 workflows: all agree\n"), out


@pytest.mark.asyncio(loop_scope="module")
async def test_finance_reads_the_same_over_http_and_sales_does_not(stack: Installation):
    for role, status in (("finance", 200), ("sales", 403)):
        code, key, err = await stack.run("keys", "create", "--role", role)
        assert code == 0, err
        headers = {"Authorization": f"Bearer {key.strip()}"}
        async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, timeout=60, trust_env=False) as http:
            answer = await http.get("/v1/reconciliation")
        assert answer.status_code == status, answer.text
        if status == 200:
            assert answer.json()["agreed"] is True
            assert answer.json()["compared"]["intents"] == 3


@pytest.mark.asyncio(loop_scope="module")
async def test_a_ledger_that_was_tampered_with_is_told_by_the_rule_it_breaks(stack: Installation):
    await stack.sql(
        "UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE account = 'cash' AND seq = "
        "(SELECT min(seq) FROM ledger_entries WHERE account = 'cash')"
    )
    told = await found(stack)
    assert {one["between"] for one in told} == {"books"}
    assert "the ledger sums to zero in every currency" in {one["what"] for one in told}
    await stack.sql(
        "UPDATE ledger_entries SET amount_minor = amount_minor - 1 WHERE account = 'cash' AND seq = "
        "(SELECT min(seq) FROM ledger_entries WHERE account = 'cash')"
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_access_that_was_sold_and_is_not_given_is_told(stack: Installation):
    where = "WHERE feature = 'pool' AND customer_id = (SELECT id FROM customers WHERE key = 'ada')"
    await stack.sql(f"UPDATE entitlements SET feature = 'sauna' {where}")
    (told,) = await found(stack)
    assert (told["between"], told["ids"]["feature"]) == ("access", "pool")
    await stack.sql(f"UPDATE entitlements SET feature = 'pool' {where.replace('pool', 'sauna', 1)}")


@pytest.mark.asyncio(loop_scope="module")
async def test_money_of_which_the_provider_says_otherwise_is_told(stack: Installation):
    invoice = await stack.invoice("ada", "paid")
    named = "WHERE invoice_id = :invoice"
    plant = f"UPDATE payments SET intent_ref = :ref, document = jsonb_set(document, '{{intent_ref}}', to_jsonb(:ref)) {named}"
    collection = await stack.ask("GET", f"collections/{(await stack.invoice('eve', 'open'))['id']}")
    engine_ref = await intent_of(stack, invoice["id"])
    declined_ref = await intent_of(stack, collection["invoice_id"])
    # The books say paid; the provider of this very intent, that the card was declined.
    await stack.sql(plant.replace(":ref", f"'{declined_ref}'::text"), invoice=invoice["id"])
    told = [one for one in await found(stack) if one["between"] == "provider"]
    assert [one["detail"] for one in told] == ["the books say succeeded, the provider failed"]
    await stack.sql(plant.replace(":ref", "'pi_nowhere'::text"), invoice=invoice["id"])
    (told,) = await found(stack)
    assert told["what"] == "the provider knows every intent of the books"
    await stack.sql(plant.replace(":ref", f"'{engine_ref}'::text"), invoice=invoice["id"])
    assert await found(stack) == []


async def intent_of(stack: Installation, invoice_id: str) -> str:
    return (await stack.rows("SELECT intent_ref FROM payments WHERE invoice_id = :invoice", invoice=invoice_id))[0][0]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_provider_that_cannot_be_asked_is_told_as_that(stack: Installation):
    await stack.stop("sandbox")
    assert {one["what"] for one in await found(stack)} == {"the provider can be asked"}
    await stack.start_sandbox()


@pytest.mark.asyncio(loop_scope="module")
async def test_open_records_without_a_workflow_are_told_and_repaired(stack: Installation):
    client = await client_of(stack)
    subscription = (await stack.ask("GET", "subscriptions/bob"))["id"]
    invoice = await stack.invoice("eve", "open")
    lost = {subscription_workflow(subscription), collection_workflow(invoice["id"])}
    for id_ in lost:
        await client.get_workflow_handle(id_).terminate()
    told = await found(stack)
    assert {one["ids"]["workflow"] for one in told} == lost
    assert all("--repair" in one["mend"] for one in told)
    assert await found(stack, "--repair") == []
    for id_ in lost:
        assert (await client.get_workflow_handle(id_).describe()).status.name == "RUNNING"
    assert (await stack.ask("GET", f"collections/{invoice['id']}"))["state"] == "retrying"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_workflow_of_nothing_that_is_open_is_told_and_left_alone(stack: Installation):
    client = await client_of(stack)
    stray = await client.start_workflow(
        "CollectionWorkflow", id=collection_workflow("inv_nobodys"), task_queue="nobodys"
    )
    for options in ((), ("--repair",)):
        (told,) = await found(stack, *options)
        assert told["ids"] == {"workflow": "collection/inv_nobodys"}
        assert "terminate" in told["mend"]
    await stray.terminate()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_report_for_people_names_what_disagrees_and_what_to_do(stack: Installation):
    client = await client_of(stack)
    id_ = subscription_workflow((await stack.ask("GET", "subscriptions/ada"))["id"])
    await client.get_workflow_handle(id_).terminate()
    status, out, _ = await stack.run("reconcile")
    assert status == 1
    assert f"workflow={id_}" in out
    assert "perennial reconcile --repair" in out
    assert json.loads((await stack.run("reconcile", "--json", "--repair"))[1])["agreed"]
