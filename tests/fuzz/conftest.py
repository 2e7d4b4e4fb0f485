"""The product behind a real port, in a thread of its own, so that whoever asks it is a stranger with a socket."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import text
from sqlmodel import SQLModel

from tests.api.conftest import BOOK, STARTS
from tests.postgres import Databases
from workers.process import free_port
from workers.simulation import Simulation, simulation

# What a refusal leaves behind: the answer kept for its Idempotency-Key, a count of the events that nobody could use.
TOLD = {"idempotency_keys", "refused_usage"}
# When a key was last used is no matter of what was asked.
HASH = """SELECT md5(string_agg(rows.one, '|' ORDER BY rows.one))
            FROM (SELECT (to_jsonb(kept) - 'last_used_at')::text AS one FROM "{}" kept) rows"""


@dataclass
class Served:
    """Where it listens, who may ask, and what its books say."""

    url: str
    world: Simulation
    loop: asyncio.AbstractEventLoop
    keys: dict[str, str] = field(default_factory=dict[str, str])
    state: dict[str, Any] = field(default_factory=dict[str, Any])

    def headers(self, role: str) -> dict[str, str]:
        """Of somebody with that role."""
        return {"Authorization": f"Bearer {self.keys[role]}"}

    def judge(self, status: int) -> None:
        """After each request: the tables are as they were, if it was refused or only read."""
        before = self.state
        self.state = asyncio.run_coroutine_threadsafe(self.hashed(), self.loop).result(60)
        assert status < 500
        if status >= 400:
            assert self.state == before, f"{status}, and yet something changed"

    async def hashed(self) -> dict[str, Any]:
        """A hash of each table's rows, once all that was set going is done."""
        await self.world.settle(self.world.now)
        tables = [name for name in SQLModel.metadata.tables if name not in TOLD]
        async with self.world.engine.connect() as connection:
            hashes = (await connection.execute(text(" UNION ALL ".join(map(HASH.format, tables))))).scalars()
            return dict(zip(tables, hashes, strict=True))


@pytest.fixture(scope="module")
def served(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The product with a price book, a customer who has bought, one who has not, and a key for every role."""
    folder: Path = tmp_path_factory.mktemp("served")
    up: list[Served] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with databases.fresh() as url, simulation(starts=STARTS, database_url=url, folder=folder) as world:
            config = uvicorn.Config(world.world.api, port=(port := free_port()), log_config=None, lifespan="off")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            served = Served(f"http://127.0.0.1:{port}", world, asyncio.get_running_loop())
            await furnish(served)
            served.state = await served.hashed()
            up.append(served)
            ready.set()
            await asyncio.to_thread(stop.wait)
            server.should_exit = True
            await serving

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield up[0]
    finally:
        stop.set()
        thread.join()


async def furnish(served: Served) -> None:
    """Something of everything, under names that requests hit upon."""
    http = served.world.http
    served.keys["admin"] = http.headers["Authorization"].removeprefix("Bearer ")

    async def ask(method: str, path: str, **more: Any) -> httpx.Response:
        answer = await http.request(method, f"/v1{path}", **more)
        assert answer.is_success, answer.text
        return answer

    await ask("PUT", "/catalog", content=BOOK.read_text())
    for key in ("ada", "bob"):
        body = {"key": key, "name": key, "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
        await ask("POST", "/customers", json={**body, "payment_method": "pm_card_visa"})
        await ask("POST", "/quotes", json={"key": key, "customer": key, "lines": [{"plan": "all-access"}]})
    await ask("POST", "/quotes/ada/accept?wait=PT20S", json={"accepted_by": "Ada"})
    for role in ("sales", "provisioning", "finance", "usage"):
        served.keys[role] = (await ask("POST", "/api-keys", json={"role": role})).json()["key"]
    served.keys["customer"] = (await ask("POST", "/api-keys", json={"role": "customer", "customer": "ada"})).json()[
        "key"
    ]
