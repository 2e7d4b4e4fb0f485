"""The API as a process of its own: it starts, and stays useful, while Temporal is away."""

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.postgres import Databases
from workers.process import Child, free_port, program, until_ready
from workers.temporal_server import TemporalServer
from workflows.names import SEARCH_ATTRIBUTES

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
BOOK = Path(__file__).parent / "price_book.yaml"
ADA = {"key": "ada", "name": "Ada", "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
DEAL = {"key": "q1", "customer": "ada", "lines": [{"plan": "all-access"}]}
EVENT = {"specversion": "1.0", "id": "e1", "source": "door", "type": "pool.entered", "subject": "ada"}


class Process:
    """One API process, and where its Temporal will be."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.port, self.temporal = free_port(), free_port()
        self._log = folder / "api.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PERENNIAL_DATABASE_URL": database_url,
            "PERENNIAL_TEMPORAL_ADDRESS": f"127.0.0.1:{self.temporal}",
            "PERENNIAL_STRIPE_API_KEY": "sk_test_none",
            "PERENNIAL_STRIPE_WEBHOOK_SECRET": "whsec_none",
            "PERENNIAL_ADMIN_KEY": "an admin key for this test",
            "PERENNIAL_API_PORT": str(self.port),
        }
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": "Bearer an admin key for this test"},
            timeout=30,
            trust_env=False,
        )

    async def start(self) -> Child:
        """Return once it is ready."""
        child = await Child.spawn("api", [program("perennial"), "api"], log=self._log, env=self._environment)
        await until_ready(child, self._is_ready, within=30)
        return child

    async def readiness(self) -> Any:
        """What it says of its rooms."""
        return (await self.http.get("/readyz")).json()

    async def _is_ready(self) -> bool:
        try:
            return (await self.http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False


@pytest_asyncio.fixture(loop_scope="module")
async def process(databases: Databases, tmp_path: Path):
    async with databases.fresh() as url:
        made = Process(tmp_path, url)
        child = await made.start()
        yield made
        await made.http.aclose()
        await child.stop()


async def test_an_api_that_starts_while_temporal_is_away_takes_usage_and_answers(process, tmp_path):
    http = process.http
    assert await process.readiness() == {"status": "degraded", "database": "ok", "temporal": "unreachable"}
    assert (await http.put("/v1/catalog", content=BOOK.read_text())).status_code == 200
    assert (await http.post("/v1/customers", json=ADA)).status_code == 201
    assert (await http.post("/v1/usage", json=[EVENT])).json()["accepted"] == 1
    assert (await http.get("/v1/entitlements/ada/weights")).json()["allowed"] is False
    assert (await http.get("/v1/usage?customer=ada&meter=pool_entries")).json()["data"][0]["quantity"] == "1"
    for path in ("customers", "quotes", "orders", "subscriptions", "invoices", "collections", "events", "catalog"):
        assert (await http.get(f"/v1/{path}")).status_code == 200, path
    deal = await http.post("/v1/quotes", json=DEAL)
    assert (deal.status_code, deal.json()["code"]) == (503, "unavailable")

    server = TemporalServer(
        tmp_path / "temporal", search_attributes=SEARCH_ATTRIBUTES, port=process.temporal, durable=False
    )
    await server.start()
    try:
        async with asyncio.timeout(20):
            while (await process.readiness())["temporal"] != "ok":
                await asyncio.sleep(0.05)
    finally:
        await server.stop()
