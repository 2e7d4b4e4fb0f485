"""Values that nobody means, in the place of each value of every body, path and file that would be taken.

Each is answered with one of our codes, or taken for what it is; no refusal changes anything. `PERENNIAL_FUZZ=all` tries
every value in every place; else a share of them.
"""

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from api.price_book import read_price_book
from api.reading import Document
from api.roles import ROLES
from domain.errors import InvalidInput
from tests.api.conftest import BOOK
from tests.fuzz.conftest import Served
from tests.fuzz.hostile import VALUES, all_spoiled, sent, spoiled
from workers.scenario import scenario_from

pytestmark = pytest.mark.slow

SHARE = 1 if os.environ.get("PERENNIAL_FUZZ") else 11
LINES = [
    {"plan": "all-access", "quantity": 1, "discounts": [{"percent": "10", "periods": 3}, {"amount": "5.00"}]},
]
CUSTOMER = {"key": "new", "name": "N", "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
DETAILS = {"name": "N", "email": "n@example.com", "address": ["Way 1", "Town"], "tax_id": "DE123"}
EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "gate",
    "type": "court.booked",
    "subject": "ada",
    "time": "2026-01-31T08:00:00Z",
    "data": {"hours": "1.5", "court": 1, "peak": True},
}
BODIES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/customers", {**CUSTOMER, **DETAILS, "collections": "default", "payment_method": "pm_card_visa"}),
    ("PATCH", "/v1/customers/bob", DETAILS),
    ("POST", "/v1/customers/bob/payment-methods", {"use": "pm_card_visa"}),
    ("POST", "/v1/quotes", {"key": "new", "customer": "bob", "lines": LINES, "valid_for": "P30D"}),
    ("POST", "/v1/quotes/bob/revise", {"lines": LINES, "valid_for": "P30D"}),
    ("POST", "/v1/quotes/bob/submit", {}),
    ("POST", "/v1/quotes/bob/approve", {"as": "sales-manager"}),
    ("POST", "/v1/quotes/bob/reject", {"as": "sales-manager"}),
    ("POST", "/v1/quotes/ada/accept", {"accepted_by": "Ada"}),
    ("POST", "/v1/orders/ada/retry", {}),
    ("POST", "/v1/orders/ada/steps/account/complete", {"detail": "by hand"}),
    ("POST", "/v1/usage", [EVENT]),
    ("POST", "/v1/api-keys", {"role": "customer", "customer": "ada", "approvers": ["finance"], "label": "l"}),
)


@pytest.mark.parametrize(("method", "path", "body"), BODIES, ids=[f"{m} {p}" for m, p, _ in BODIES])
def test_no_value_in_a_body_breaks_anything(served: Served, method: str, path: str, body: Any):
    chosen = [*all_spoiled(body)]
    with httpx.Client(base_url=served.url, headers=served.headers("admin"), timeout=60) as http:
        for place, value, whole in chosen[:: SHARE if len(chosen) > 300 else 1]:
            is_ours(http.request(method, path, content=sent(whole)), served, (place, value))


@pytest.mark.parametrize(
    "name",
    ["%00", "%ff%fe", "%ed%a0%80", "%2e%2e%2f", "%2F", "%20", "é", "%F0%9F%92%B8", "x" * 3000, "-0", "%0d%0aX:y"],
)
def test_no_name_in_a_path_breaks_anything(served: Served, name: str):
    with httpx.Client(base_url=served.url, headers=served.headers("admin"), timeout=60) as http:
        for path, methods in ROLES.items():
            if "{" in path:
                for method in methods:
                    is_ours(http.request(method, named(path, name)), served, (path, name))


@pytest.mark.parametrize(
    "place",
    ["limit", "cursor", "customer", "state", "from", "to", "window", "meter", "group_by", "wait", "preview", "version"],
)
def test_no_query_breaks_anything(served: Served, place: str):
    texts = [value for value in VALUES if isinstance(value, str) and "\ud800" not in value and len(value) < 9000]
    reads = [path for path, methods in ROLES.items() if "GET" in methods and "{" not in path]
    around = {"/v1/usage": {"customer": "ada", "meter": "court_hours"}}
    with httpx.Client(base_url=served.url, headers=served.headers("admin"), timeout=60) as http:
        for index, text in enumerate(texts):
            for path in {"/v1/usage", reads[index % len(reads)]}:
                query = {**around.get(path, {}), place: text}
                is_ours(http.get(path, params=query), served, (path, query))
        for verb in ("wait", "preview"):
            if verb == place:
                for text in texts:
                    is_ours(http.post("/v1/quotes/ada/accept", params={verb: text}, json={}), served, (verb, text))


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer é".encode()},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Basic YTpi"},
        {"Idempotency-Key": b"\xe9"},
        {"Idempotency-Key": "x" * 300},
        {"Content-Type": "multipart/form-data"},
        {"Content-Encoding": "gzip"},
        {"Stripe-Signature": "t=99999999999999999999,v1=" + "f" * 64},
    ],
    ids=str,
)
def test_no_header_breaks_anything(served: Served, headers: dict[str, Any]):
    with httpx.Client(base_url=served.url, timeout=60) as http:
        for path in ("/v1/customers", "/v1/usage", "/webhooks/stripe"):
            is_ours(http.post(path, headers={**served.headers("admin"), **headers}, content=b"[}"), served, headers)


def huge() -> dict[str, bytes]:
    """Bodies that are too much of something."""
    return {
        "long": b'{"key": "' + b"x" * 5_000_000 + b'"}',
        "deep": b"[" * 1_000_000,
        "deep objects": b'{"a":' * 300_000,
        "wide": b"[" + b"1," * 900_000 + b"1]",
        "digits": b'{"quantity": ' + b"9" * 3_000_000 + b"}",
        "fraction": b'{"quantity": 0.' + b"9" * 3_000_000 + b"}",
        "exponent": b'{"quantity": 1e' + b"9" * 100_000 + b"}",
        "keys": b"{" + b",".join(b'"%d":0' % n for n in range(200_000)) + b"}",
        "same key": b"{" + b",".join([b'"a":0'] * 300_000) + b"}",
        "events": b"[" + b",".join([b"{}"] * 500_000) + b"]",
        "escapes": b'"' + b"\\ud800" * 500_000 + b'"',
    }


@pytest.mark.parametrize("what", [*huge()])
def test_nothing_too_large_breaks_anything_or_takes_long(served: Served, what: str):
    content = huge()[what]
    with httpx.Client(base_url=served.url, headers=served.headers("admin"), timeout=10) as http:
        for method, path in (("POST", "/v1/quotes"), ("POST", "/v1/usage"), ("PUT", "/v1/catalog")):
            answer = http.request(method, path, content=content)
            is_ours(answer, served, (what, path))
            assert len(answer.content) < 100_000


TEXT = BOOK.read_text()
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)
DOCUMENTS = {
    "an alias bomb": BOMB,
    "an anchor within itself": "version: &a [*a]\n",
    "an alias of nothing": "version: *a\n",
    "a merge key": TEXT + "x: &x {a: 1}\ny: {<<: *x}\n",
    "a tag that makes an object": "!!python/object/apply:os.system ['true']\n",
    "a tag on a value": TEXT.replace("version: 1", "version: !!float 1"),
    "a tag of one's own": TEXT.replace("version: 1", "version: !money 1"),
    "a key twice": TEXT + "version: 2\n",
    "a key that is a list": "[a]: b\n",
    "a key that is a mapping": "? {a: b}\n: c\n",
    "a second document": TEXT + "---\nversion: 1\n",
    "tabs": TEXT.replace("  - {", "\t- {"),
    "a NUL": TEXT + "\x00",
    "a bell": TEXT + "\x07",
    "nothing": "",
    "a comment": "# nothing\n",
    "a word": "gym\n",
    "a float": TEXT.replace('"49.00"', "49.0"),
    "NaN": TEXT.replace('"49.00"', ".nan"),
    "sixty": TEXT.replace('"49.00"', "1:00"),
    "octal": TEXT.replace("limit: 2", "limit: 0o17"),
    "a date": TEXT.replace('"49.00"', "2026-01-01"),
    "yes": TEXT.replace("version: 1", "version: yes"),
    "depth": "[" * 100_000,
    "depth by lines": "".join(" " * n + "- \n" for n in range(2_000)),
    "a byte-order mark in the middle": TEXT.replace("plans:", "\ufeffplans:"),
    "a directive": "%YAML 9.9\n---\n" + TEXT,
    "a long key": "x" * 100_000 + ": 1\n",
}


@pytest.mark.parametrize("what", [*DOCUMENTS])
def test_no_document_that_is_no_price_book_is_taken(served: Served, what: str):
    with httpx.Client(base_url=served.url, headers=served.headers("admin"), timeout=10) as http:
        answer = http.put("/v1/catalog", content=DOCUMENTS[what].encode())
        is_ours(answer, served, what)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_a_price_book_is_read_as_utf_8_with_or_without_its_mark(served: Served, encoding: str):
    with httpx.Client(base_url=served.url, headers=served.headers("admin"), timeout=10) as http:
        answer = http.put("/v1/catalog", content=TEXT.replace("Iron", "Éiron").encode(encoding))
        is_ours(answer, served, encoding)
        assert (answer.status_code == 200) is (encoding == "utf-8-sig")
        assert http.put("/v1/catalog", content=TEXT.encode()).is_success
        served.judge(200)


def test_no_value_in_a_price_book_breaks_its_reading():
    book = yaml.safe_load(TEXT)
    taken, refused = 0, 0
    for _, value, whole in [*all_spoiled(book)][:: 1 if SHARE == 1 else 23]:
        try:
            read_price_book(yaml.safe_dump(whole) if storable(value) else sent(whole).decode())
            taken += 1
        except InvalidInput:
            refused += 1
    assert taken
    assert refused


def test_no_value_in_a_scenario_breaks_its_reading():
    story: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "examples/gym/story.yaml").read_text())
    story["catalog"] = yaml.safe_load(TEXT)
    story["steps"] = shortest_of_each_verb(story["steps"])
    small, taken, refused = {**story, "catalog": {}}, 0, 0
    for place, _, whole in all_spoiled(small):
        if place != ("catalog",):
            whole = spoiled(whole, ("catalog",), deepcopy(story["catalog"])) if isinstance(whole, dict) else whole
        try:
            scenario_from(Document(whole, ""), folder=Path("/nowhere"))
            taken += 1
        except InvalidInput:
            refused += 1
    assert taken
    assert refused


def shortest_of_each_verb(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One step of each verb is enough, in the order of time."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        found.setdefault(next(name for name in step if name != "at"), step)
    return [*found.values()]


def storable(value: Any) -> bool:
    """Whether YAML can write it."""
    return not (isinstance(value, str) and ("\x00" in value or "\ud800" in value))


def named(path: str, name: str) -> str:
    """`path` with each of its names `name`."""
    while "{" in path:
        head, _, tail = path.partition("{")
        path = head + name + tail.partition("}")[2]
    return path


def is_ours(answer: httpx.Response, served: Served, what: object) -> None:
    """Never our fault; a problem with a code and without our inside; nothing changed by a refusal."""
    assert answer.status_code < 500, (what, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", (what, answer.text)
        assert answer.json()["code"], what
        assert "Traceback" not in answer.text, what
    served.judge(answer.status_code)
