"""Previews: what is foreseen is what then happens, and asking for it changes nothing."""

from pathlib import Path

import pytest
import yaml

from tests.api.conftest import STARTS
from tests.postgres import Databases
from workers.simulation import simulation

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
CATALOGS = {
    "gym": (ROOT / "examples/gym/catalog.yaml").read_text(),
    **{
        path.stem: yaml.safe_dump(catalog)
        for path in sorted((ROOT / "tests/cases").glob("scenario-*.yaml"))
        if isinstance(catalog := yaml.safe_load(path.read_text())["catalog"], dict)
        and any(word in path.stem for word in ("trial", "stub", "tax", "seats-up", "three-plans"))
    },
}
# Given only when it is done; and what time, or a charge, brings afterwards.
LATER = {"id", "order", "number", "state", "paid_at", "amount_paid", "outstanding"}


def kept(thing):
    return {name: value for name, value in thing.items() if name not in LATER}


async def post(http, path, body=None):
    answer = await http.post(path, json={} if body is None else body)
    assert answer.status_code in {200, 201, 202}, answer.text
    return answer.json()


async def rows(api):
    """How much is in the books, and in what state."""
    tables = (
        "quotes orders subscriptions invoices collections entitlements audit_events idempotency_keys customers".split()
    )
    pool = api.world.world.api.state.context.pool
    found = {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    return {**found, "counters": await pool.fetchval("SELECT coalesce(sum(last), 0) FROM invoice_counters")}


async def test_there_are_catalogs_to_judge_by():
    assert len(CATALOGS) >= 5


@pytest.mark.parametrize("name", CATALOGS)
async def test_the_preview_of_an_acceptance_is_what_it_brings(databases: Databases, tmp_path: Path, name):
    async with databases.fresh() as url, simulation(starts=STARTS, database_url=url, folder=tmp_path) as world:
        http = world.http
        applied = await http.put("/v1/catalog", content=CATALOGS[name])
        assert applied.status_code == 200, applied.text
        judged = 0
        for plan in applied.json()["plans"]:
            who = {"key": f"of-{plan['key']}", "name": "Ada", "currency": plan["currency"], "country": "DE"}
            await post(http, "/v1/customers", {**who, "timezone": "Europe/Berlin", "payment_method": "pm_card_visa"})
            lines = [{"plan": plan["key"], "quantity": "3", "discounts": [{"percent": "10", "periods": 2}]}]
            quote = {"key": f"q-{plan['key']}", "customer": who["key"], "lines": lines}
            offered = await http.post("/v1/quotes?preview=true", json=quote)
            made = await http.post("/v1/quotes", json=quote)
            if made.status_code != 201:
                assert offered.json()["refusal"]["code"] == made.json()["code"]
                continue
            path = f"/v1/quotes/{quote['key']}"
            for approval in made.json()["approvals"]:
                await post(http, f"{path}/approve", {"as": approval["approver"]})
            foreseen = await post(http, f"{path}/accept?preview=true", {"accepted_by": "Ada"})
            order = await post(http, f"{path}/accept?wait=PT20S", {"accepted_by": "Ada"})
            assert order["state"] == "completed"
            await is_as_foreseen(world, foreseen, quote["key"])
            assert offered.json()["invoice"] == foreseen["invoice"]
            judged += 1
        assert judged


async def is_as_foreseen(world, foreseen, key):
    http = world.http
    sold = (await http.get(f"/v1/subscriptions/{key}")).json()
    assert kept(foreseen["subscription"]) == kept(sold)
    assert foreseen["subscription"]["state"] == sold["state"]
    async with world.world.doors.open_books() as books:
        given = await books.entitlements.of((await books.subscriptions.get(key)).customer_id)
    assert [one["feature"] for one in foreseen["entitlements"]] == [one.feature for one in given]
    assert [one["limit"] for one in foreseen["entitlements"]] == [
        None if one.limit is None else f"{one.limit:f}" for one in given
    ]
    if sold["state"] == "trialing":
        assert (await http.get(f"/v1/invoices?subscription={key}")).json()["data"] == []
        await world.reach(world.now.fromisoformat(sold["next_action_at"]))
    issued = (await http.get(f"/v1/invoices?subscription={key}")).json()["data"]
    assert [kept(one) for one in issued] == ([kept(foreseen["invoice"])] if foreseen["invoice"] else [])
    events = (await http.get(f"/v1/events?limit=200&customer={sold['customer']}")).json()["data"]
    told = [event["type"] for event in events if event["type"] in foreseen["messages"]]
    assert sorted(told) == sorted([*foreseen["messages"], *settled(told, foreseen)])
    if foreseen["charges"]:
        collected = (await http.get(f"/v1/collections/{key}%231")).json()
        assert collected["amount_due"] == foreseen["charges"][0]["amount"] == foreseen["invoice"]["amount_due"]


def settled(told, foreseen):
    """A card that is charged pays at once, which is nothing that a preview can promise."""
    return ["invoice.paid"] if told.count("invoice.paid") > foreseen["messages"].count("invoice.paid") else []


class TestNothingIsDone:
    async def test_by_any_verb(self, api):
        ada = await api.customer(payment_method="pm_card_visa")
        draft, deep = await api.quote(ada), await api.quote(ada, discounts=[{"percent": "30"}])
        api.world.world.sandbox.provisioning.fail(202)
        waits = await api.quote(ada)
        await post(api.http, f"/v1/quotes/{waits}/accept?wait=PT10S")
        before = await rows(api)
        lines = [{"plan": "all-access", "quantity": "2"}]
        asked = {
            "/v1/quotes": {"key": api.fresh("q"), "customer": ada, "lines": lines},
            f"/v1/quotes/{draft}/submit": {},
            f"/v1/quotes/{deep}/approve": {"as": "sales-manager"},
            f"/v1/quotes/{deep}/reject": {"as": "sales-manager"},
            f"/v1/quotes/{draft}/revise": {"lines": lines},
            f"/v1/quotes/{draft}/accept": {"accepted_by": "Ada"},
            f"/v1/quotes/{draft}/withdraw": {},
            f"/v1/customers/{ada}/payment-methods": {"use": "pm_card_mastercard"},
            f"/v1/orders/{waits}/steps/account/complete": {},
            f"/v1/orders/{waits}/steps/account/fail": {},
        }
        for path, body in asked.items():
            headers = {"Idempotency-Key": api.fresh("i")}
            answer = await api.http.post(f"{path}?preview=true", json=body, headers=headers)
            assert (answer.status_code, answer.json()["possible"]) == (200, True), (path, answer.text)
            assert answer.json()["messages"], path
        assert await rows(api) == before
        assert (await api.http.get(f"/v1/quotes/{draft}")).json()["state"] == "draft"

    async def test_and_its_answer_stands_for_nothing_later(self, api):
        key = await api.quote(await api.customer())
        headers = {"Idempotency-Key": api.fresh("i")}
        await api.http.post(f"/v1/quotes/{key}/withdraw?preview=true", json={}, headers=headers)
        answer = await api.http.post(f"/v1/quotes/{key}/withdraw", json={}, headers=headers)
        assert answer.json()["state"] == "withdrawn"


class TestARefusal:
    async def test_says_which_rule_and_what_is_possible_instead(self, api):
        key = await api.quote(await api.customer(), discounts=[{"percent": "30"}])
        foreseen = await post(api.http, f"/v1/quotes/{key}/accept?preview=true")
        assert (foreseen["possible"], foreseen["refusal"]["code"]) == (False, "approval_required")
        assert foreseen["instead"] == ["submit", "approve", "reject", "revise", "withdraw"]
        async with api.as_("sales", approver=["finance"]) as http:
            foreseen = await post(http, f"/v1/quotes/{key}/approve?preview=true", {"as": "sales-manager"})
        assert foreseen["refusal"]["code"] == "not_an_approver"
        await post(api.http, f"/v1/quotes/{key}/withdraw")
        foreseen = await post(api.http, f"/v1/quotes/{key}/accept?preview=true")
        assert (foreseen["refusal"]["code"], foreseen["instead"]) == ("invalid_state", [])

    async def test_of_an_offer_names_what_can_be_offered(self, api):
        body = {"customer": await api.customer(), "lines": [{"plan": "dollars"}]}
        foreseen = await post(api.http, "/v1/quotes?preview=true", body)
        assert foreseen["refusal"]["code"] == "currency_mismatch"
        assert foreseen["instead"] == ["plan all-access", "plan yearly"]

    async def test_of_a_retry_names_what_the_order_waits_for(self, api):
        api.world.world.sandbox.provisioning.fail(202)
        key = await api.quote(await api.customer())
        await post(api.http, f"/v1/quotes/{key}/accept?wait=PT10S")
        foreseen = await post(api.http, f"/v1/orders/{key}/retry?preview=true")
        assert (foreseen["possible"], foreseen["refusal"]["code"]) == (False, "invalid_state")
        assert foreseen["instead"] == ["steps/account/complete", "steps/account/fail"]

    async def test_of_what_is_malformed_or_not_there_is_a_problem_as_ever(self, api):
        key = await api.quote(await api.customer())
        answer = await api.http.post(f"/v1/quotes/{key}/revise?preview=true", json={"lines": [{"plan": "gold"}]})
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["lines", 0, "plan"])
        assert (await api.http.post("/v1/quotes/none/accept?preview=true", json={})).status_code == 404
        answer = await api.http.post(f"/v1/quotes/{key}/withdraw?preview=perhaps", json={})
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["preview"])


class TestWhatIsForeseen:
    async def test_of_a_step_that_is_done_is_all_that_the_order_brings(self, api):
        api.world.world.sandbox.provisioning.fail(202)
        key = await api.quote(await api.customer(payment_method="pm_card_visa"))
        await post(api.http, f"/v1/quotes/{key}/accept?wait=PT10S")
        foreseen = await post(api.http, f"/v1/orders/{key}/steps/account/complete?preview=true")
        assert (foreseen["messages"][0], foreseen["invoice"]["total"]) == ("order.step_done", "58.31")
        foreseen = await post(api.http, f"/v1/orders/{key}/steps/account/fail?preview=true")
        assert (foreseen["order"]["state"], foreseen["invoice"]) == ("compensating", None)
        assert foreseen["messages"] == ["order.step_failed", "order.cancelled"]

    async def test_of_a_new_card_is_what_is_charged_on_it(self, api):
        ada = await api.customer()
        key = await api.sold(ada)
        foreseen = await post(api.http, f"/v1/customers/{ada}/payment-methods?preview=true", {"use": "pm_card_visa"})
        assert [charge["amount"] for charge in foreseen["charges"]] == ["58.31"]
        await post(api.http, f"/v1/customers/{ada}/payment-methods?wait=PT20S", {"use": "pm_card_visa"})
        collected = (await api.http.get(f"/v1/collections/{key}%231")).json()
        assert [(a["amount"], a["at"]) for a in collected["attempts"]] == [
            (charge["amount"], charge["at"]) for charge in foreseen["charges"]
        ]

    async def test_of_an_offer_that_exists_is_that(self, api):
        ada = await api.customer()
        key = await api.quote(ada)
        same = {"key": key, "customer": ada, "lines": [{"plan": "all-access"}]}
        foreseen = await post(api.http, "/v1/quotes?preview=true", same)
        assert (foreseen["possible"], foreseen["messages"], foreseen["quote"]["key"]) == (True, [], key)
        foreseen = await post(api.http, "/v1/quotes?preview=true", {**same, "lines": [{"plan": "yearly"}]})
        assert foreseen["refusal"]["code"] == "already_exists"
