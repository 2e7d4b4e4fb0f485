"""Real processes: what they export while they run, and how they end when they are asked to."""

import asyncio
import re
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic
from typing import ClassVar

import httpx
import pytest

from tests.production.installation import Installation, running, until
from workers.process import free_port

pytestmark = pytest.mark.slow


class Collector(BaseHTTPRequestHandler):
    """Takes what OTLP sends."""

    received: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield Collector.received
    server.shutdown()
    server.server_close()


@pytest.fixture
async def stack(
    collector: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Installation, int]]:
    port = free_port()
    told = Installation.environment
    monkeypatch.setattr(
        Installation, "environment", lambda self, **more: told(self, PERENNIAL_METRICS_PORT=str(port), **more)
    )
    async with running(tmp_path) as installation:
        yield installation, port


async def test_they_export_counts_and_traces(stack: tuple[Installation, int], collector: list[bytes]):
    installation, port = stack
    await installation.deal("ada")
    await installation.invoice("ada", "paid")
    async with httpx.AsyncClient(trust_env=False) as browser:
        ours = (await browser.get(f"http://127.0.0.1:{port}/metrics")).text
        theirs = (await browser.get(f"{installation.api_url}/metrics")).text
    assert 'perennial_activity_seconds_count{activity="settle",outcome="done"} 1.0' in ours
    assert "temporal_workflow_completed" in ours
    assert "temporal_num_pollers" in ours, "by which docker-compose.yml knows that the worker is well"
    assert 'perennial_request_seconds_count{method="POST",route="/v1/quotes/{id}/accept",status="2xx"} 1.0' in theirs
    assert 'perennial_overdue{kind="collection"} 0.0' in theirs
    for name in ("api", "worker"):
        assert await installation.stop(name) == 0
    sent = b"".join(collector)
    assert b"perennial-api" in sent and b"perennial-worker" in sent
    assert b"payments.confirm_intent" in sent
    assert not re.search(rb"\bada\b", sent)


async def test_asked_to_stop_the_api_still_answers_what_is_under_way_and_the_worker_finishes_its_call(
    stack: tuple[Installation, int],
):
    installation, _ = stack
    await installation.stop("worker")
    body = {"key": "ada", "name": "Ada", "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
    await installation.ask("POST", "customers", body)
    offer = {"key": "ada", "customer": "ada", "lines": [{"plan": "all-access"}]}
    asked = asyncio.create_task(installation.api.post("/v1/quotes", json=offer))
    await until(partial(_two_in_flight, installation), "the request is under way")
    installation.processes["api"].send_signal(signal.SIGTERM)
    await installation.start_worker()
    assert (await asked).status_code == 201
    assert await asyncio.to_thread(installation.processes.pop("api").wait) == 0

    await installation.start_api()
    async with httpx.AsyncClient(base_url=installation.sandbox_url, trust_env=False) as sandbox:
        await sandbox.post("/_sandbox/faults", json={"kind": "timeout_after_charge"})
        await installation.deal("bob")

        async def charged() -> object:
            return (await sandbox.get("/_sandbox/charges")).json()["data"]

        await until(charged, "the money moves, and nobody hears of it")
        began = monotonic()
        assert await installation.stop("worker") == 0
        assert monotonic() - began < 20
        await installation.start_worker()
        await installation.invoice("bob", "paid")
        assert len((await sandbox.get("/_sandbox/charges")).json()["data"]) == 1


async def _two_in_flight(installation: Installation) -> bool:
    """Another request than the one that asks."""
    return "perennial_requests_in_flight 2.0" in (await installation.api.get("/metrics")).text
