"""One id, and one trace, go through all that a request sets going; and nothing that is logged names anybody."""

import contextlib
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.postgres import Databases
from tests.workers.processes import Script
from tests.workflows.worlds import Line, line_of
from workers.logging import configure_logging
from workers.scenario import read_scenario
from workers.simulation import simulation
from workers.story import tell

GYM = Path(__file__).parents[2] / "examples" / "gym"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where spans go meanwhile."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr("workers.carried._tracer", provider.get_tracer("test"))
    return exporter


@pytest.fixture
async def line(spans: InMemorySpanExporter, database_url: str, tmp_path: Path):
    async with line_of(database_url, tmp_path) as line:
        await line.customer("ada")
        await line.quote("ada")
        yield line


async def accepted(line: Line, **headers: str) -> Any:
    answer = await line.world.http.post("/v1/quotes/ada/accept", json={"accepted_by": "Ada"}, headers=headers)
    assert answer.status_code == 202, answer.text
    await line.settle()
    return answer


async def test_an_accept_is_one_trace_down_to_the_provider(line: Line, spans: InMemorySpanExporter):
    answer = await accepted(line, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    assert answer.headers["x-request-id"] == TRACE
    await line.later(days=65)
    finished = spans.get_finished_spans()
    ours = [one for one in finished if f"{one.context.trace_id:032x}" == TRACE]
    chain = [
        *("POST /v1/quotes/{id}/accept", "update accept", "answer accept", "do accept"),
        *("start OrderWorkflow", "run OrderWorkflow", "do activate"),
        *("start SubscriptionWorkflow", "run SubscriptionWorkflow", "do settle", "payments.confirm_intent"),
    ]
    assert path_of(ours, "payments.confirm_intent") == chain
    assert "provisioning.provision" in {one.name for one in ours}
    # The next period was caused by its date, not by the accept.
    closed = [one for one in finished if one.name == "do close_period"]
    assert len(closed) == 2
    assert [one.parent is None for one in closed] == [False, True]


def path_of(spans: list[ReadableSpan], name: str) -> list[str]:
    """The names from the root down to the only span of that name."""
    by_id = {one.context.span_id: one for one in spans}
    [at] = [one for one in spans if one.name == name]
    path = [at.name]
    while at.parent and at.parent.span_id in by_id:
        at = by_id[at.parent.span_id]
        path.insert(0, at.name)
    return path


async def test_no_span_names_anybody(line: Line, spans: InMemorySpanExporter):
    await accepted(line)
    assert len(spans.get_finished_spans()) > 20
    assert not re.search(r"\bada\b", "".join(one.to_json() for one in spans.get_finished_spans()), re.IGNORECASE)


async def test_the_requests_id_stands_on_every_line_of_what_it_set_going(databases: Databases, tmp_path: Path):
    with logged("INFO") as lines:
        async with databases.fresh() as url, line_of(url, tmp_path) as line:
            await line.customer("ada")
            await line.quote("ada")
            answer = await accepted(line, **{"X-Request-Id": "checkout-7"})
            assert answer.headers["x-request-id"] == "checkout-7"
            unfit = await line.world.http.get("/healthz", headers={"X-Request-Id": "Ada Lovelace"})
            assert re.fullmatch("[0-9a-f]{32}", unfit.headers["x-request-id"])
    told = [one for one in lines() if one.get("request_id") == "checkout-7"]
    assert {one["activity"] for one in told if one["event"] == "activity_done"} >= {
        *("accept", "provision", "activate", "settle")
    }
    assert [one["route"] for one in told if one["event"] == "request"] == ["/v1/quotes/{id}/accept"]


async def test_the_gyms_story_leaves_no_name_mail_key_or_card_in_the_log(databases: Databases, tmp_path: Path):
    scenario = read_scenario(GYM / "story.yaml")
    with logged("DEBUG") as lines:
        async with (
            databases.fresh() as url,
            simulation(starts=scenario.starts, database_url=url, folder=tmp_path) as world,
        ):
            await tell(scenario, world)
            secret = world.http.headers["Authorization"].removeprefix("Bearer ")
    whole = "\n".join(json.dumps(one) for one in lines())
    assert whole.count('"activity_done"') > 10
    for private in ("Ada", "Lovelace", "ada@example.com", "ada-2026", "pm_card_visa", "4242", secret, "gate-1"):
        assert not re.search(rf"\b{re.escape(private)}\b", whole, re.IGNORECASE), private


@contextlib.contextmanager
def logged(level: str):
    """What is logged meanwhile, as our processes log it."""
    before = structlog.get_config()
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        configure_logging(level=level, as_json=True)
        try:
            yield lambda: [json.loads(line) for line in stream.getvalue().splitlines() if line.startswith("{")]
        finally:
            structlog.configure(**before)
            root.handlers[:], root.level = kept


async def test_without_a_collector_named_no_tracing_library_is_even_loaded():
    source = """
import sys
from workers.serve_api import serve_api
from workers.telemetry import traces
with traces("api"):
    print("opentelemetry.sdk" in sys.modules, "opentelemetry.exporter" in sys.modules, flush=True)
import os
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
with traces("api"):
    print("opentelemetry.sdk" in sys.modules, flush=True)
"""
    with Script(source) as script:
        assert await script.line() == "False False"
        assert await script.line() == "True"
