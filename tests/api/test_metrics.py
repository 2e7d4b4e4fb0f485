"""What the API counts, and that no caller can make it count without end."""

import re

import pytest

from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def counted(api: Api) -> dict[str, float]:
    """Every sample of ours, by its name and labels."""
    answer = await api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    samples = re.findall(r"^(perennial_\S+) (\S+)$", answer.text, re.MULTILINE)
    return {name: float(value) for name, value in samples}


async def test_usage_and_checks_are_counted_by_what_came_of_them(api: Api):
    ada = await api.customer(payment_method="pm_card_visa")
    await api.sold(ada)
    before = await counted(api)
    event = {
        "specversion": "1.0",
        "id": api.fresh("e"),
        "source": "door",
        "type": "pool.entered",
        "subject": ada,
        "time": api.world.now.isoformat(),
        "data": {},
    }
    for events in ([event], [event, {**event, "id": "x", "subject": "nobody"}]):
        assert (await api.http.post("/v1/usage", json=events)).status_code == 202
    assert (await api.http.get(f"/v1/entitlements/{ada}/pool")).status_code == 200
    after = await counted(api)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    outcomes = {word: more(f'perennial_usage_events_total{{outcome="{word}"}}') for word in _OUTCOMES}
    assert outcomes == {"accepted": 1, "duplicate": 1, "rejected": 1}
    assert sum(more(name) for name in after if name.startswith("perennial_checks_total")) == 1
    assert more('perennial_request_seconds_count{method="POST",route="/v1/usage",status="2xx"}') == 2


async def test_no_label_is_chosen_by_a_caller(api: Api):
    before = await counted(api)
    for n in range(5):
        await api.http.request(f"ODD{n}", f"/nowhere/{n}")
        await api.http.get(f"/v1/quotes/nobody-{n}")
    new = {name for name in await counted(api) if name not in before and name.endswith('status="4xx"}')}
    routes = {(found["method"], found["route"]) for name in new if "_count" in name and (found := _LABELS.search(name))}
    assert routes <= {("other", "none"), ("GET", "/v1/quotes/{id}")}
    assert ("other", "none") in routes


async def test_without_the_database_what_is_counted_here_is_told_all_the_same(api: Api, monkeypatch):
    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("api.metrics.overdue_at", away)
    told = await counted(api)
    assert told["perennial_database_up"] == 0
    assert "perennial_requests_in_flight" in told
    assert not [name for name in told if name.startswith("perennial_overdue")]


_OUTCOMES = ("accepted", "duplicate", "rejected")
_LABELS = re.compile(r'method="(?P<method>[^"]*)",route="(?P<route>[^"]*)"')
