"""Problems: whatever a caller gets wrong is told in one form, at its path, and never as our fault."""

import json

import pytest

from api.problems import catalogue, problem_of
from api.reading import TOO_LONG
from domain.errors import InvalidInput

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUOTE = {"key": "q", "customer": "nobody", "lines": [{"plan": "all-access"}]}
CUSTOMER = {"key": "c", "name": "Ada", "currency": "EUR"}


def without(body, name):
    return {key: value for key, value in body.items() if key != name}


PLANTED = [
    # path, body (bytes as they are), status, code, loc of the first error
    ("/v1/quotes", b"", 400, "invalid_json", None),
    ("/v1/quotes", b"{", 400, "invalid_json", None),
    ("/v1/quotes", b'{"key": "a", "key": "b"}', 400, "invalid_json", None),
    ("/v1/quotes", b"\xff\xfe", 400, "invalid_json", None),
    ("/v1/quotes", b"[" * 100_000, 422, "invalid_input", []),
    ("/v1/quotes", b'{"lines": ' + b"[" * 60 + b"]" * 60 + b"}", 422, "invalid_input", ["lines", 0, 0]),
    ("/v1/quotes", b"[]", 422, "invalid_input", []),
    ("/v1/quotes", b'"q1"', 422, "invalid_input", []),
    (
        "/v1/quotes",
        b'{"customer": "a", "lines": [{"plan": "p", "quantity": 1.5}]}',
        422,
        "invalid_input",
        ["lines", 0, "quantity"],
    ),
    (
        "/v1/quotes",
        b'{"customer": "a", "lines": [{"plan": "p", "quantity": NaN}]}',
        422,
        "invalid_input",
        ["lines", 0, "quantity"],
    ),
    (
        "/v1/quotes",
        b'{"customer": "a", "lines": [{"plan": "p", "quantity": -Infinity}]}',
        422,
        "invalid_input",
        ["lines", 0, "quantity"],
    ),
    (
        "/v1/quotes",
        b'{"customer": "a", "lines": [{"plan": "p", "quantity": ' + b"9" * 5000 + b"}]}",
        422,
        "invalid_input",
        ["lines", 0, "quantity"],
    ),
    ("/v1/quotes", b'{"customer": "a\\u0000", "lines": []}', 422, "invalid_input", ["customer"]),
    ("/v1/quotes", b'{"customer": "a\\ud800", "lines": []}', 422, "invalid_input", ["customer"]),
    ("/v1/quotes", without(QUOTE, "customer"), 422, "invalid_input", ["customer"]),
    ("/v1/quotes", without(QUOTE, "lines"), 422, "invalid_input", ["lines"]),
    ("/v1/quotes", {**QUOTE, "colour": "red"}, 422, "invalid_input", ["colour"]),
    ("/v1/quotes", {**QUOTE, "valid_for": 3600}, 422, "invalid_input", ["valid_for"]),
    ("/v1/quotes", QUOTE, 404, "not_found", None),
    ("/v1/quotes/none/accept", {}, 404, "not_found", None),
    ("/v1/quotes/none/submit", {"force": True}, 422, "invalid_input", ["force"]),
    ("/v1/quotes/none/approve", {}, 422, "invalid_input", ["as"]),
    ("/v1/quotes/a%00b/submit", {}, 404, "not_found", None),
    ("/v1/quotes/q/accept?wait=soon", {}, 422, "invalid_input", ["wait"]),
    ("/v1/quotes/q/accept?wait=P1D", {}, 422, "invalid_input", ["wait"]),
    ("/v1/api-keys?preview=true", {"role": "sales"}, 422, "invalid_input", ["preview"]),
    ("/v1/orders/none/retry", {}, 404, "not_found", None),
    ("/v1/orders/none/steps/account/complete", {}, 404, "not_found", None),
    ("/v1/customers", {**CUSTOMER, "currency": "EURO"}, 422, "invalid_input", ["currency"]),
    ("/v1/customers", {**CUSTOMER, "timezone": "Mars"}, 422, "invalid_input", ["timezone"]),
    ("/v1/customers", {**CUSTOMER, "country": "Germany"}, 422, "invalid_input", ["country"]),
    ("/v1/customers", {**CUSTOMER, "collections": "harsh"}, 422, "invalid_input", ["collections"]),
    ("/v1/customers", {**CUSTOMER, "key": "a/b"}, 422, "invalid_input", ["key"]),
    ("/v1/customers", {**CUSTOMER, "key": "cus_" + "0" * 32}, 422, "invalid_input", ["key"]),
    ("/v1/customers", {**CUSTOMER, "name": ""}, 422, "invalid_input", ["name"]),
    ("/v1/customers", {**CUSTOMER, "name": 5}, 422, "invalid_input", ["name"]),
    ("/v1/customers/none/payment-methods", {"use": "pm_card_visa"}, 404, "not_found", None),
    ("/v1/customers/none/payment-methods", {"use": "pm card"}, 422, "invalid_input", ["use"]),
    ("/v1/api-keys", {"role": "king"}, 422, "invalid_input", ["role"]),
    ("/v1/api-keys", {"role": "customer"}, 422, "invalid_input", ["customer"]),
    ("/v1/api-keys", {"role": "finance", "customer": "ada"}, 422, "invalid_input", ["customer"]),
    ("/v1/usage", b"nonsense", 400, "invalid_json", None),
    ("/v1/usage", [], 422, "invalid_input", []),
    ("/v1/nothing", {}, 404, "not_found", None),
    ("/v1/ledger/entries", {}, 405, "method_not_allowed", None),
    ("/webhooks/stripe", {}, 400, "unverified_webhook", None),
]


@pytest.mark.parametrize(("path", "body", "status", "code", "loc"), PLANTED)
async def test_a_planted_mistake_is_told(api, path, body, status, code, loc):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await api.http.post(path, content=content)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{code}"
    assert problem["title"] and problem["detail"]
    if loc is not None:
        assert problem["errors"][0]["loc"] == loc, problem
        assert problem["errors"][0]["msg"]


QUERIES = [
    ("/v1/quotes?limit=0", ["limit"]),
    ("/v1/quotes?limit=201", ["limit"]),
    ("/v1/quotes?limit=ten", ["limit"]),
    ("/v1/quotes?cursor=!!", []),
    ("/v1/quotes?cursor=%00", ["cursor"]),
    ("/v1/quotes?state=lost", ["state"]),
    ("/v1/quotes?statee=draft", ["statee"]),
    ("/v1/quotes?customer=a%00", ["customer"]),
    ("/v1/collections?stuck=perhaps", ["stuck"]),
    ("/v1/collections?aging=30", ["aging"]),
    ("/v1/usage?meter=pool_entries", ["customer"]),
    ("/v1/plans/all-access?version=0", ["version"]),
]


@pytest.mark.parametrize(("path", "loc"), QUERIES)
async def test_a_planted_query_is_told(api, path, loc):
    answer = await api.http.get(path)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"] == loc


class TestWhatIsNoJsonOfOurs:
    async def test_a_float_is_told_how_to_be_written(self, api):
        answer = await api.http.post(
            "/v1/quotes", content=b'{"customer": "a", "lines": [{"plan": "p", "quantity": 0.1}]}'
        )
        assert 'write it as a string: "0.1"' in answer.json()["errors"][0]["msg"]

    @pytest.mark.parametrize(
        "quantity", ["1" * 31, f'"{"1" * 31}"', f"-{'9' * 4000}", f'"0.{"1" * 31}"', "0." + "1" * 31]
    )
    async def test_a_number_too_long_is_told_to_be_that(self, api, quantity):
        content = f'{{"customer": "ada", "lines": [{{"plan": "all-access", "quantity": {quantity}}}]}}'
        answer = await api.http.post("/v1/quotes", content=content)
        assert answer.json()["errors"] == [{"loc": ["lines", 0, "quantity"], "msg": TOO_LONG}]

    @pytest.mark.parametrize(("method", "path"), [("POST", "/v1/subscriptions/q1/amend"), ("GET", "/v2"), ("GET", "/")])
    async def test_a_path_that_is_not_there_says_where_to_look(self, api, method, path):
        answer = await api.http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "/openapi.json" in answer.json()["detail"]

    async def test_a_misspelt_field_is_told_the_one_that_was_meant(self, api):
        answer = await api.http.post("/v1/customers", json={**CUSTOMER, "timezon": "UTC"})
        assert "timezone" in answer.json()["errors"][0]["msg"]

    async def test_all_that_is_wrong_is_told_at_once(self, api):
        wrong = {"key": "a b", "name": "Ada", "currency": "XXY", "timezone": "Mars", "country": "d"}
        answer = await api.http.post("/v1/customers", json=wrong)
        assert [error["loc"] for error in answer.json()["errors"]] == [["key"], ["currency"], ["timezone"], ["country"]]

    async def test_a_body_too_large_is_not_read(self, api):
        answer = await api.http.post("/v1/quotes", content=b" " * 4_000_001)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def test_a_price_book_is_told_its_lines(self, api):
        answer = await api.http.put("/v1/catalog", content="version: 1\nentity: {key: gym}\nplans: 5\n")
        assert answer.status_code == 422
        assert "line" in answer.json()["errors"][0]["msg"]

    @pytest.mark.parametrize("name", ["a\\ud800", "a\\u0000"])
    async def test_a_price_book_that_cannot_be_stored(self, api, name):
        content = f'{{"entity": {{"key": "g", "legal_name": "{name}", "country": "DE"}}}}'
        answer = await api.http.put("/v1/catalog", content=content)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    @pytest.mark.parametrize("content", [b"", b"\xff", b"\x00", b"- - - a: [", b"5", b"null"])
    async def test_no_price_book_at_all(self, api, content):
        assert (await api.http.put("/v1/catalog", content=content)).status_code == 422

    async def test_nothing_is_half_done_after_an_error(self, api):
        key = api.fresh("cust")
        assert (
            await api.http.post("/v1/customers", json={"key": key, "name": "A", "currency": "EURO"})
        ).status_code == 422
        assert (await api.http.get(f"/v1/customers/{key}")).status_code == 404


class TestTheAppendix:
    async def test_every_code_is_explained_where_its_type_leads(self, api):
        for status, code, meaning in catalogue():
            answer = await api.http.get(f"/problems/{code}")
            assert answer.status_code == 200
            assert meaning and 400 <= status <= 503

    async def test_a_code_has_one_status(self):
        codes = [code for _, code, _ in catalogue()]
        assert len(codes) == len(set(codes))

    async def test_what_nobody_expected_is_no_problem_of_the_callers(self):
        assert problem_of(RuntimeError("oops")) is None

    async def test_malformed_input_always_lists_errors(self):
        answer = problem_of(InvalidInput("no"))
        assert answer is not None
        assert json.loads(answer.body)["errors"] == [{"loc": [], "msg": "no"}]
