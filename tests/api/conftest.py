"""A whole product for each module of tests: the API over real PostgreSQL, real workflows on the time-skipping server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.postgres import Databases
from workers.simulation import Simulation, simulation

STARTS = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
BOOK = Path(__file__).parent / "price_book.yaml"
_numbers = count(1)


@dataclass
class Api:
    """The API as different callers see it."""

    world: Simulation
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def http(self) -> httpx.AsyncClient:
        """As an administrator."""
        return self.world.http

    def fresh(self, what: str) -> str:
        """A key that no other test uses."""
        return f"{what}{next(_numbers)}"

    async def secret(self, role: str, **more: Any) -> str:
        """The secret of a key of that role."""
        name = f"{role} {sorted(more.items())}"
        if name not in self.keys:
            made = await self.http.post("/v1/api-keys", json={"role": role, **more})
            assert made.status_code == 201, made.text
            self.keys[name] = made.json()["key"]
        return self.keys[name]

    @asynccontextmanager
    async def as_(self, role: str, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client with a key of that role."""
        headers = {"Authorization": f"Bearer {await self.secret(role, **more)}"}
        transport = httpx.ASGITransport(self.world.world.api)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers, timeout=60
        ) as client:
            yield client

    async def customer(self, **more: Any) -> str:
        """A new customer's key."""
        key = self.fresh("cust")
        body = {"key": key, "name": "Ada", "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE", **more}
        made = await self.http.post("/v1/customers", json=body)
        assert made.status_code == 201, made.text
        return key

    async def quote(self, customer: str, plan: str = "all-access", **line: Any) -> str:
        """A new quote's key."""
        key = self.fresh("q")
        body = {"key": key, "customer": customer, "lines": [{"plan": plan, **line}]}
        made = await self.http.post("/v1/quotes", json=body)
        assert made.status_code == 201, made.text
        return key

    async def sold(self, customer: str, plan: str = "all-access", **line: Any) -> str:
        """The key of a subscription that runs, its first invoice settled as far as it goes."""
        key = await self.quote(customer, plan, **line)
        made = await self.http.post(f"/v1/quotes/{key}/accept?wait=PT20S", json={"accepted_by": "Ada"})
        assert made.status_code == 202, made.text
        assert made.json()["state"] == "completed", made.text
        await self.world.settle(self.world.now)
        return key


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """The product, with a price book and nobody in it."""
    folder = tmp_path_factory.mktemp("api")
    async with databases.fresh() as url, simulation(starts=STARTS, database_url=url, folder=folder) as world:
        made = Api(world)
        applied = await made.http.put("/v1/catalog", content=BOOK.read_text())
        assert applied.status_code == 200, applied.text
        yield made


async def eventually(read: Callable[[], Awaitable[bool]], within: int = 20) -> None:
    """Return once `read` says so; fails when it does not in time."""
    async with asyncio.timeout(within):
        while not await read():
            await asyncio.sleep(0.02)
