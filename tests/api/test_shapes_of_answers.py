"""What the API's docs say of an answer is what is answered."""

import json
from datetime import timedelta

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from api.roles import ROLES

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROBLEM = {"$ref": "#/components/schemas/Problem"}
WITHOUT_JSON = {"/v1/quotes/{id}/pdf", "/v1/invoices/{id}/pdf"}


@pytest.fixture
def schema(api):
    return json.loads(json.dumps(api.world.world.api.openapi()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def names(api):
    """One deal that is paid, one that is not, and usage that is counted and refused; by what paths call them."""
    paid = await api.sold(
        await api.customer(payment_method="pm_card_visa"), discounts=[{"percent": "10", "periods": 3}]
    )
    ada = await api.customer(payment_method="pm_card_chargeDeclinedLostCard", email="ada@example.com", address=["1 St"])
    unpaid = await api.sold(ada)
    await api.quote(ada, plan="yearly")
    at = (api.world.now - timedelta(hours=1)).isoformat()
    for who, id_ in ((ada, "e1"), ("nobody", "e2")):
        event = {"specversion": "1.0", "id": id_, "source": "s", "type": "pool.entered", "subject": who, "time": at}
        assert (await api.http.post("/v1/usage", json=[event])).status_code == 202
    bought_nothing = await api.customer()
    event = {
        "specversion": "1.0",
        "id": "e3",
        "source": "s",
        "type": "pool.entered",
        "subject": bought_nothing,
        "time": at,
    }
    assert (await api.http.post("/v1/usage", json=[event])).json()["accepted"] == 1
    key = (await api.http.get("/v1/api-keys")).json()["data"][0]["id"]
    return {"api_key": key, "deals": [paid, unpaid], "customer": ada, "feature": "pool", "key": "all-access"}


def shape_of(schema, path, method="get", status="200"):
    content = schema["paths"][path][method]["responses"][status]["content"]
    return content["application/json"]["schema"]


def check(schema, shape, answer):
    validator = Draft202012Validator({**shape, "components": schema["components"]})
    assert [error.message for error in validator.iter_errors(answer)] == []


def in_full(path, names):
    """The paths that are meant: of each deal, where a deal is meant."""
    if path == "/v1/usage":
        return [f"{path}?customer={names['customer']}&meter=pool_entries"]
    named = path.format_map({**names, "id": "{id}", "invoice": "{invoice}"})
    if path.startswith("/v1/api-keys"):
        return [named.replace("{id}", names["api_key"])]
    if path.startswith("/v1/customers"):
        return [named.replace("{id}", names["customer"])]
    invoice = "invoices" in path
    return [
        named.replace("{id}", f"{deal}%231" if invoice else deal).replace("{invoice}", f"{deal}%231")
        for deal in names["deals"]
    ]


@pytest.mark.parametrize("path", [path for path, by in ROLES.items() if "GET" in by and path not in WITHOUT_JSON])
async def test_every_read_answers_in_its_shape(api, schema, names, path):
    for named in in_full(path, names):
        answer = await api.http.get(named)
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert content.get("data", True), "an empty list would prove nothing"
        check(schema, shape_of(schema, path), content)


async def test_a_shape_tells_what_is_wrong(api, schema, names):
    quote = (await api.http.get(f"/v1/quotes/{names['deals'][0]}")).json()
    for wrong in ({**quote, "state": "sold"}, {**quote, "lines": None}, {**quote, "approvals": [{}]}):
        with pytest.raises(AssertionError):
            check(schema, shape_of(schema, "/v1/quotes/{id}"), wrong)


async def test_every_answer_that_went_well_has_a_shape(schema):
    for path, methods in ROLES.items():
        for method in methods:
            responses = schema["paths"][path][method.lower()]["responses"]
            statuses = [code for code in responses if code.startswith("2")]
            assert statuses, path
            for status in statuses:
                if status != "204" and path not in WITHOUT_JSON:
                    assert shape_of(schema, path, method.lower(), status), path


async def test_every_refusal_is_a_problem(schema):
    for path, methods in ROLES.items():
        for method in methods:
            responses = schema["paths"][path][method.lower()]["responses"]
            refusals = {code: said for code, said in responses.items() if code >= "400"}
            assert {"401", "403", "422"} <= refusals.keys()
            for said in refusals.values():
                assert said["content"] == {"application/problem+json": {"schema": PROBLEM}}, path


async def test_a_verb_answers_in_its_shape(api, schema):
    key = await api.quote(await api.customer())
    order = await api.http.post(f"/v1/quotes/{key}/accept", json={})
    check(schema, shape_of(schema, "/v1/quotes/{id}/accept", "post", "202"), order.json())
    made = await api.http.post("/v1/api-keys", json={"role": "sales"})
    check(schema, shape_of(schema, "/v1/api-keys", "post", "201"), made.json())
    foreseen = await api.http.post(f"/v1/quotes/{await api.quote(await api.customer())}/accept?preview=true", json={})
    check(schema, shape_of(schema, "/v1/quotes/{id}/accept", "post"), foreseen.json())
    check(schema, {"$ref": "#/components/schemas/Preview"}, foreseen.json())
    refused = await api.http.post(f"/v1/quotes/{key}/withdraw", json={})
    check(schema, PROBLEM, refused.json())
