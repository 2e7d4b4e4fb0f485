"""Anything: whatever is sent, the answer is one of ours, and never our fault."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.roles import ROLES

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = (
    "key name currency timezone country collections tax_id email address customer lines plan quantity discounts percent "
    "amount periods valid_for as accepted_by detail role approver label id source type subject time data specversion "
    "hours court member version entity taxes meters features plans charges model event aggregation value"
).split()
TEXTS = st.sampled_from(
    "ada EUR DE Europe/Berlin all-access yearly P30D 1.0 pool.entered court.booked sum flat 12.30 -1 admin customer now "
    "2026-01-31T08:00:00Z 0001-01-01T00:00:00+14:00 9999-12-31T23:59:59-14:00 cus_1 q1#2 P99999D 1e9 \x00 \ud800".split(
        " "
    )
) | st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | TEXTS, inner, max_size=6),
    max_leaves=25,
)
NAMES = st.sampled_from(["none", "a%00b", "%ff", "..", "%2e%2e", "q1%232", "x" * 300, "é", "cus_" + "0" * 32, "'; --"])
# What is answered by the payment provider takes its time, and says what was wrong in words of its own.
WRITES = [
    (method, path)
    for path, methods in ROLES.items()
    for method in methods
    if method in {"POST", "PUT", "PATCH"} and "payment-methods" not in path
]
READS = [path for path, methods in ROLES.items() if "GET" in methods]
QUERIES = st.dictionaries(
    st.sampled_from(
        "limit cursor customer state stuck aging subject subscription type account cause from to window".split()
    ),
    TEXTS | st.integers().map(str),
    max_size=3,
)


def named(path, names):
    for name in names:
        head, brace, tail = path.partition("{")
        if not brace:
            break
        path = head + name + tail.partition("}")[2]
    return path


def is_ours(answer):
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"]


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(WRITES),
    st.tuples(NAMES, NAMES),
    VALUES,
    st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6),
)
async def test_any_body(api, write, names, value, fields):
    method, path = write
    for body in (value, fields, [fields]):
        content = json.dumps(body).encode("utf-8", "replace")
        if b"payment_method" not in content:
            is_ours(await api.http.request(method, named(path, names), content=content))


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(READS), st.tuples(NAMES, NAMES), QUERIES)
async def test_any_query(api, path, names, query):
    is_ours(
        await api.http.get(
            named(path, names), params={k: v.encode("utf-8", "replace").decode() for k, v in query.items()}
        )
    )


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(WRITES), st.binary(max_size=60))
async def test_any_bytes(api, write, content):
    is_ours(await api.http.request(write[0], named(write[1], ("none", "none")), content=content))
