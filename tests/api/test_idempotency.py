"""Idempotency: a POST that comes twice is carried out once, and answered the same."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256

import httpx
import pytest
from temporalio.client import Client

from activities.quoting import Move, MoveQuote, Offer, OfferedLine, QuotingActivities
from api import idempotency
from api.access import Call
from api.app import create_app
from api.problems import Unavailable
from domain.errors import InvalidState
from store.access import Request, begin, finish
from store.lists import Asked, list_customers
from tests.api.conftest import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


def body(key=None, name="Ada"):
    return {"name": name, "currency": "EUR"} | ({"key": key} if key else {})


class TestTheSameAgain:
    async def test_gets_the_first_answer_whatever_has_happened_since(self, api):
        key, headers = api.fresh("cust"), {"Idempotency-Key": api.fresh("i")}
        first = await api.http.post("/v1/customers", json=body(key), headers=headers)
        assert (await api.http.patch(f"/v1/customers/{key}", json={"name": "Bob"})).status_code == 200
        again = await api.http.post("/v1/customers", json=body(key), headers=headers)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert first.status_code == 201
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["idempotent-replayed"] == "true"

    async def test_makes_one_thing_where_no_key_names_it(self, api):
        headers = {"Idempotency-Key": api.fresh("i")}
        made = [await api.http.post("/v1/customers", json=body(), headers=headers) for _ in range(2)]
        assert made[0].json()["id"] == made[1].json()["id"]

    async def test_keeps_refusals_too(self, api):
        key, headers = api.fresh("cust"), {"Idempotency-Key": api.fresh("i")}
        assert (await api.http.get(f"/v1/customers/{key}")).status_code == 404
        quote = {"customer": key, "lines": [{"plan": "all-access"}]}
        first = await api.http.post("/v1/quotes", json=quote, headers=headers)
        await api.http.post("/v1/customers", json=body(key))
        again = await api.http.post("/v1/quotes", json=quote, headers=headers)
        assert (first.status_code, again.status_code) == (404, 404)
        assert again.content == first.content
        assert again.headers["content-type"] == "application/problem+json"

    async def test_with_another_body_is_a_conflict(self, api):
        headers = {"Idempotency-Key": api.fresh("i")}
        assert (await api.http.post("/v1/customers", json=body(), headers=headers)).status_code == 201
        other = await api.http.post("/v1/customers", json=body(name="Bob"), headers=headers)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")

    async def test_counts_per_path_and_per_api_key(self, api):
        headers = {"Idempotency-Key": api.fresh("i")}
        first = await api.http.post("/v1/customers", json=body(), headers=headers)
        async with api.as_("sales") as http:
            other = await http.post("/v1/customers", json=body(), headers=headers)
        assert first.json()["id"] != other.json()["id"]
        assert (await api.http.post("/v1/quotes", json={}, headers=headers)).status_code == 422

    async def test_without_the_header_is_carried_out_again(self, api):
        made = [(await api.http.post("/v1/customers", json=body())).json()["id"] for _ in range(2)]
        assert made[0] != made[1]

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
    async def test_needs_a_key_that_is_one(self, api, key):
        answer = await api.http.post("/v1/customers", json=body(), headers={"Idempotency-Key": key})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == ["Idempotency-Key"]

    async def test_never_tells_a_secret_twice(self, api):
        headers = {"Idempotency-Key": api.fresh("i")}
        made = [await api.http.post("/v1/api-keys", json={"role": "usage"}, headers=headers) for _ in range(2)]
        first, again = (answer.json() for answer in made)
        assert first["key"].startswith("prn_")
        assert again == {**first, "key": None}


class TestAtOnce:
    async def test_many_callers_make_one_thing(self, api):
        headers = {"Idempotency-Key": api.fresh("i")}
        ada = await api.customer()
        quote = {"customer": ada, "lines": [{"plan": "all-access"}]}
        answers = await asyncio.gather(*(api.http.post("/v1/quotes", json=quote, headers=headers) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len((await api.http.get(f"/v1/quotes?customer={ada}")).json()["data"]) == 1

    async def test_many_callers_of_one_business_key_make_one_thing(self, api):
        ada, key = await api.customer(), api.fresh("q")
        quote = {"key": key, "customer": ada, "lines": [{"plan": "all-access"}]}
        answers = await asyncio.gather(*(api.http.post("/v1/quotes", json=quote) for _ in range(6)))
        assert {answer.status_code for answer in answers} <= {200, 201}
        assert len({answer.json()["id"] for answer in answers}) == 1

    async def test_of_two_who_mean_different_things_one_is_refused(self, api):
        key = api.fresh("cust")
        both = (body(key, name) for name in ("Ada", "Bob"))
        answers = await asyncio.gather(*(api.http.post("/v1/customers", json=one) for one in both))
        assert sorted(answer.status_code for answer in answers) == [201, 409]

    async def test_who_waits_too_long_is_told_that_it_is_in_progress(self, api, monkeypatch):
        monkeypatch.setattr(idempotency, "WAIT_S", 0.1)
        context = api.world.world.api.state.context
        name = api.fresh("i")
        key = (await api.http.get("/v1/api-keys?limit=200")).json()["data"][-1]["id"]
        raw = b'{"name": "Ada", "currency": "EUR"}'
        claim = await begin(
            context.pool,
            Request(api_key_id=key, path="/v1/customers", key=name, body_hash=sha256(raw).hexdigest()),
            context.clock.now(),
            stale_after=idempotency.STALE_AFTER,
        )
        answer = await api.http.post("/v1/customers", content=raw, headers={"Idempotency-Key": name})
        assert (answer.status_code, answer.json()["code"]) == (409, "in_progress")
        assert answer.headers["retry-after"] == "1"
        await finish(context.pool, claim, status=201, body=b"{}", headers={"content-type": "application/json"})
        answer = await api.http.post("/v1/customers", content=raw, headers={"Idempotency-Key": name})
        assert (answer.status_code, answer.content) == (201, b"{}")


class TestAfterAFailureOfOurs:
    async def test_the_next_one_begins_afresh(self, api, monkeypatch):
        from api import quotes

        async def down(*_, **__):
            raise Unavailable("Temporal is away")

        ada = await api.customer()
        headers = {"Idempotency-Key": api.fresh("i")}
        quote = {"customer": ada, "lines": [{"plan": "all-access"}]}
        with monkeypatch.context() as patched:
            patched.setattr(quotes, "send", down)
            answer = await api.http.post("/v1/quotes", json=quote, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await api.http.post("/v1/quotes", json=quote, headers=headers)).status_code == 201


class TestAfterACrashBetweenDoingAndAnswering:
    """The claim is there, the answer is not; whoever comes later takes over, at a later instant."""

    @pytest.mark.parametrize(
        ("verb", "body"),
        [("withdraw", {}), ("submit", {}), ("approve", {"as": "finance"}), ("reject", {"as": "finance"})],
    )
    async def test_what_is_done_is_answered_as_done(self, api, verb, body):
        key = await api.quote(await api.customer(), plan="yearly")
        path, headers = f"/v1/quotes/{key}/{verb}", {"Idempotency-Key": api.fresh("i")}
        first = await api.http.post(path, json=body, headers=headers)
        await crashed(api, headers)
        again = await api.http.post(path, json=body, headers=headers)
        assert (again.status_code, again.json()) == (200, first.json())
        assert "idempotent-replayed" not in again.headers
        other = await api.http.post(path, json=body, headers={"Idempotency-Key": api.fresh("i")})
        assert (other.status_code, other.json()["code"]) == (409, "invalid_state")

    @pytest.mark.parametrize(("verb", "body"), [("withdraw", {}), ("reject", {"as": "finance"})])
    async def test_the_record_tells_it_when_the_process_is_forgotten(self, api, verb, body):
        key = await api.quote(await api.customer(), plan="yearly")
        path, headers = f"/v1/quotes/{key}/{verb}", {"Idempotency-Key": api.fresh("i")}
        first = await api.http.post(path, json=body, headers=headers)
        await crashed(api, headers)
        async with elsewhere(api) as http:
            again = await http.post(path, json=body, headers=headers)
            assert (again.status_code, again.json()) == (200, first.json())
            other = await http.post(path, json=body, headers={"Idempotency-Key": api.fresh("i")})
            assert (other.status_code, other.json()["code"]) == (409, "invalid_state")

    async def test_a_retry_of_an_order_is_answered_as_done_when_the_order_has_completed(self, api):
        api.world.world.sandbox.provisioning.fail(503)
        key = await api.quote(await api.customer(payment_method="pm_card_visa"))
        await api.http.post(f"/v1/quotes/{key}/accept", json={})

        async def is_away():
            return (await api.http.get(f"/v1/orders/{key}")).json()["steps"][0]["state"] == "unavailable"

        await eventually(is_away)
        path, headers = f"/v1/orders/{key}/retry?wait=PT20S", {"Idempotency-Key": api.fresh("i")}
        first = await api.http.post(path, json={}, headers=headers)
        assert (first.status_code, first.json()["state"]) == (202, "completed")
        await crashed(api, headers)
        again = await api.http.post(path, json={}, headers=headers)
        assert (again.status_code, again.json()) == (202, first.json())
        other = await api.http.post(path, json={}, headers={"Idempotency-Key": api.fresh("i")})
        assert (other.status_code, other.json()["code"]) == (409, "invalid_state")

    async def test_a_move_is_made_once_whatever_has_happened_since(self, api):
        key = await api.quote(await api.customer(), plan="yearly")
        quote = (await api.http.get(f"/v1/quotes/{key}")).json()
        moving = activities(api)
        submit = MoveQuote(quote_id=quote["id"], move=Move.SUBMIT, at=api.world.now, cause="t1")
        approve = replace(submit, move=Move.APPROVE, approver="finance", cause="t2")
        for command in (submit, approve):
            done = await moving.move(command)
        for command in (submit, approve):
            assert await moving.move(replace(command, at=api.world.now + timedelta(minutes=9))) == done
        with pytest.raises(InvalidState):
            await moving.move(replace(submit, cause="t3"))

    async def test_a_revision_sent_again_undoes_none_that_came_after_it(self, api):
        key = await api.quote(await api.customer())
        path, headers = f"/v1/quotes/{key}/revise", {"Idempotency-Key": api.fresh("i")}
        two, three = ({"lines": [{"plan": "all-access", "quantity": str(n)}]} for n in (2, 3))
        await api.http.post(path, json=two, headers=headers)
        await api.http.post(path, json=three)
        async with api.world.world.doors.open_books() as books:
            quote = await books.quotes.get(key)
        first = Offer(
            quote_id=quote.id,
            key=key,
            customer=quote.customer_id,
            lines=(OfferedLine(plan="all-access", quantity=Decimal(2)),),
            at=api.world.now + timedelta(minutes=9),
            cause=quote.moved_by[0],
        )
        assert await activities(api).revise(first) == quote
        again = replace(first, cause="another request")
        assert (await activities(api).revise(again)).lines[0].quantity == 2


def activities(api):
    doors = api.world.world.doors
    return QuotingActivities(open_books=doors.open_books, lifecycles=doors.lifecycles)


@asynccontextmanager
async def elsewhere(api):
    """The API over a Temporal that has forgotten all that has ended."""
    context = api.world.world.api.state.context
    config = {**context.temporal.config(), "namespace": "elsewhere"}
    transport = httpx.ASGITransport(create_app(replace(context, temporal=Client(**config))))
    headers = {"authorization": api.http.headers["authorization"]}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=60) as http:
        yield http


async def crashed(api, headers):
    """What a crash of the API leaves of a request: its claim, by now so old that the next one takes over."""
    await api.world.reach(api.world.now + 2 * idempotency.STALE_AFTER)
    await api.world.world.api.state.context.pool.execute(
        "UPDATE idempotency_keys SET done = false, status = NULL, headers = NULL, body = NULL WHERE key = $1",
        headers["Idempotency-Key"],
    )


class TestAKeyOfTheBusiness:
    async def test_with_the_same_content_answers_what_is_there(self, api):
        key = api.fresh("cust")
        made = [await api.http.post("/v1/customers", json=body(key)) for _ in range(2)]
        assert [answer.status_code for answer in made] == [201, 200]
        assert made[0].json() == made[1].json()

    async def test_with_other_content_is_taken(self, api):
        key = api.fresh("cust")
        await api.http.post("/v1/customers", json=body(key))
        other = await api.http.post("/v1/customers", json=body(key, name="Bob"))
        assert (other.status_code, other.json()["code"]) == (409, "already_exists")

    async def test_of_a_quote_too(self, api):
        ada = await api.customer()
        key = await api.quote(ada)
        same = {"key": key, "customer": ada, "lines": [{"plan": "all-access", "quantity": "1.0"}]}
        assert (await api.http.post("/v1/quotes", json=same)).status_code == 200
        other = {**same, "lines": [{"plan": "yearly"}]}
        assert (await api.http.post("/v1/quotes", json=other)).json()["code"] == "already_exists"


async def test_a_token_is_the_same_for_the_same_request_alone(api):
    from api.access import token_of

    context = api.world.world.api.state.context
    page = await list_customers(context.engine, Asked(limit=1))
    assert page is not None
    from store.access import ApiKey, Role

    key = ApiKey(id="key_1", role=Role.ADMIN, created_at=context.clock.now())
    assert token_of(key, "/v1/quotes", "a", context) == token_of(key, "/v1/quotes", "a", context)
    assert token_of(key, "/v1/quotes", "a", context) != token_of(key, "/v1/orders", "a", context)
    assert token_of(key, "/v1/quotes", None, context) != token_of(key, "/v1/quotes", None, context)
    assert Call(key=key, token="t", at=context.clock.now()).actor == "key_1"
