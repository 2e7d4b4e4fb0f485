"""The app as a whole: health, docs, limits, and what is written to the log."""

import json
import logging
import re

import pytest
import structlog

from api.bodies import Body, instant, read_json
from api.roles import ROLES
from domain.errors import InvalidInput
from store.connections import pool_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


class TestHealth:
    async def test_alive_without_a_key(self, api):
        answer = await api.http.get("/healthz", headers={"authorization": ""})
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    async def test_ready_when_database_and_temporal_answer(self, api):
        answer = await api.http.get("/readyz", headers={"authorization": ""})
        assert answer.json() == {"status": "ok", "database": "ok", "temporal": "ok"}


class TestDocs:
    @pytest.fixture
    def schema(self, api):
        return api.world.world.api.openapi()

    async def test_every_route_is_described_with_an_example_or_a_document(self, schema):
        for path, methods in ROLES.items():
            for method in methods:
                told = schema["paths"][path][method.lower()]
                assert told["description"], path
                assert {"401", "403"} <= told["responses"].keys() or "pdf" in path or method == "DELETE", path
                if method in {"POST", "PUT", "PATCH"}:
                    assert told["requestBody"]["content"], path

    async def test_bodies_say_that_amounts_are_strings(self, schema):
        assert '"type": "number"' not in json.dumps(schema)

    async def test_bodies_carry_no_loose_references(self, schema):
        named = schema["components"]["schemas"]
        refs = json.dumps(schema).split('"$ref": "#/components/schemas/')[1:]
        assert {ref.split('"')[0] for ref in refs} <= named.keys()

    async def test_every_code_is_in_the_appendix(self, schema):
        for code in ("quote_expired", "idempotency_conflict", "too_old", "mixed_cadence", "unavailable"):
            assert f"`{code}`" in schema["info"]["description"]

    async def test_the_page_is_served_with_all_that_it_loads(self, api):
        page = await api.http.get("/docs")
        assert page.status_code == 200
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert {path.rpartition(".")[2] for path in loaded} >= {"js", "css"}
        for path in loaded:
            assert path.startswith("/"), "nothing comes from elsewhere"
            assert (await api.http.get(path)).status_code == 200
        assert (await api.http.get("/openapi.json")).json()["openapi"].startswith("3.")


@pytest.fixture
def at_info():
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    yield
    structlog.configure(wrapper_class=before)


@pytest.mark.usefixtures("at_info")
class TestTheLog:
    async def test_is_one_line_per_request_without_names_or_keys(self, api):
        ada = await api.customer(name="Countess Lovelace", email="ada@example.com")
        with structlog.testing.capture_logs() as lines:
            await api.http.get(f"/v1/customers/{ada}")
            await api.http.post("/v1/quotes", content=b"{")
        told = [line for line in lines if line["event"] == "request"]
        assert [(line["route"], line["status"], line.get("code")) for line in told] == [
            ("/v1/customers/{id}", 200, None),
            ("/v1/quotes", 400, "invalid_json"),
        ]
        assert told[0]["api_key"].startswith("key_")
        text = repr(lines)
        assert not any(secret in text for secret in (ada, "Lovelace", "example.com", "Bearer", "prn_admin"))


class TestCatalog:
    async def test_is_answered_as_it_can_be_applied_again(self, api):
        book = (await api.http.get("/v1/catalog")).json()
        again = await api.http.put("/v1/catalog", json=book)
        assert again.status_code == 200, again.text
        assert again.json() == book
        assert {plan["version"] for plan in book["plans"]} == {1}

    async def test_gives_a_changed_plan_its_next_version(self, api):
        book = (await api.http.get("/v1/catalog")).json()
        yearly = next(plan for plan in book["plans"] if plan["key"] == "yearly")
        yearly["charges"][0]["amount"] = "500.00"
        changed = await api.http.put("/v1/catalog", json=book)
        assert {plan["key"]: plan["version"] for plan in changed.json()["plans"]} == {
            "all-access": 1,
            "yearly": 2,
            "dollars": 1,
        }
        for version, amount in ((1, "490"), (2, "500"), (None, "500")):
            plan = await api.http.get("/v1/plans/yearly", params={"version": version} if version else {})
            assert plan.json()["charges"][0]["amount"].startswith(amount)

    @pytest.mark.parametrize("path", ["gold", "yearly?version=9"])
    async def test_knows_no_other_plan(self, api, path):
        assert (await api.http.get(f"/v1/plans/{path}")).status_code == 404


class TestBodies:
    @pytest.mark.parametrize(
        ("text", "utc"),
        [
            ("2026-02-03T18:00:00+01:00", "2026-02-03T17:00:00+00:00"),
            ("2026-02-03t18:00:00z", "2026-02-03T18:00:00+00:00"),
            ("2026-02-03 18:00:00.123456789Z", "2026-02-03T18:00:00.123456+00:00"),
        ],
    )
    async def test_an_instant(self, text, utc):
        assert instant(text, ()).isoformat() == utc

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026-02-03",
            "2026-02-30T00:00:00Z",
            "2026-02-03T18:00:00",
            "2026-02-03T18:00Z",
            5,
            None,
            "0001-01-01T00:00:00+23:00",
        ],
    )
    async def test_no_instant(self, text):
        with pytest.raises(InvalidInput):
            instant(text, ("time",))

    async def test_json_of_forty_levels_is_enough(self):
        assert read_json(b"[" * 40 + b"]" * 40)
        for levels in (42, 99_999):
            with pytest.raises(InvalidInput):
                read_json(b"[" * levels + b"]" * levels)

    async def test_an_empty_body_does_where_nothing_is_needed(self):
        assert Body(dict).docs["requestBody"]["required"]


async def test_a_lost_database_is_an_outage_not_a_bug(api, databases):
    from dataclasses import replace

    import httpx

    from api.app import create_app

    async with databases.fresh() as url:
        pool = await pool_of(url)
        await pool.close()
    app = create_app(replace(api.world.world.api.state.context, pool=pool))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        answer = await http.get("/v1/quotes", headers={"authorization": "Bearer x"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["database"]) == (503, "unreachable")
