"""Limits: what is too much is refused before anything is done, and says when to come again."""

from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from api.app import create_app
from api.limits import Rates
from api.problems import TooManyRequests

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECOND = 1_000_000_000


@asynccontextmanager
async def limited(api, rates, role="admin"):
    """The API with budgets of its own, as a fresh key of that role."""
    app = create_app(replace(api.world.world.api.state.context, rates=rates))
    made = (await api.http.post("/v1/api-keys", json={"role": role})).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        yield http


class TestABudget:
    async def test_is_a_minutes_worth_and_fills_up_evenly(self):
        rates = Rates(requests=60)
        for left in range(59, -1, -1):
            assert rates.take("key", "GET", "/v1/quotes", now=0)["RateLimit-Remaining"] == str(left)
        with pytest.raises(TooManyRequests) as refused:
            rates.take("key", "GET", "/v1/quotes", now=SECOND - 1)
        assert refused.value.headers["Retry-After"] == "1"
        assert rates.take("key", "GET", "/v1/quotes", now=SECOND)["RateLimit-Reset"] == "60"
        with pytest.raises(TooManyRequests):
            rates.take("key", "GET", "/v1/quotes", now=SECOND)
        assert rates.take("key", "GET", "/v1/quotes", now=1000 * SECOND)["RateLimit-Remaining"] == "59"

    async def test_is_each_keys_own(self):
        rates = Rates(requests=1)
        rates.take("one", "GET", "/v1/quotes", now=0)
        rates.take("other", "GET", "/v1/quotes", now=0)
        with pytest.raises(TooManyRequests):
            rates.take("one", "GET", "/v1/orders", now=0)

    async def test_of_zero_is_no_limit(self):
        rates = Rates()
        assert [rates.take("key", "GET", "/v1/quotes", now=0) for _ in range(9)] == [{}] * 9


class TestTooOften:
    async def test_is_told_with_when_to_come_again_and_does_nothing(self, api):
        async with limited(api, Rates(requests=2)) as http:
            body = {"key": api.fresh("cust"), "name": "Ada", "currency": "EUR"}
            first = await http.get("/v1/customers")
            assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("2", "1")
            assert (await http.get("/v1/orders")).status_code == 200
            refused = await http.post("/v1/customers", json=body)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.headers["ratelimit-remaining"] == "0"
        assert (await api.http.get(f"/v1/customers/{body['key']}")).status_code == 404

    async def test_usage_and_checks_have_a_budget_of_their_own(self, api):
        ada = await api.customer()
        async with limited(api, Rates(requests=1, products=4)) as http:
            assert (await http.get("/v1/customers")).status_code == 200
            assert (await http.get("/v1/customers")).status_code == 429
            checks = [(await http.get(f"/v1/entitlements/{ada}/pool")).status_code for _ in range(3)]
            assert checks == [200, 200, 200]
            assert (await http.post("/v1/usage", json=[{}])).status_code == 202
            assert (await http.post("/v1/usage", json=[{}])).status_code == 429


class TestTooMuch:
    @pytest.mark.parametrize(
        ("query", "headers", "status", "code"),
        [
            ("?customer=" + "x" * 4_000, {}, 414, "query_too_long"),
            ("", {"X-Much": "x" * 16_000}, 431, "headers_too_large"),
        ],
    )
    async def test_in_the_query_or_the_headers(self, api, query, headers, status, code):
        answer = await api.http.get(f"/v1/quotes{query}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    async def test_just_as_much_as_may_be_is_read(self, api):
        assert (await api.http.get("/v1/quotes?customer=" + "x" * 3_900)).status_code == 200
        assert (await api.http.get("/v1/quotes", headers={"X-Much": "x" * 15_000})).status_code == 200
