"""An installation as an operator makes it: PostgreSQL and Temporal started apart, our processes told all by environment."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
from sqlalchemy import text

from store.connections import engine_of
from store.migrate import migrate
from workers.postgres import EmbeddedPostgres
from workers.process import free_port
from workers.temporal_server import TemporalServer

ROOT = Path(__file__).parents[2]
GYM = ROOT / "examples" / "gym" / "catalog.yaml"
ADMIN_KEY = "pk_admin_of_an_installation_for_tests"
PATIENCE_S = 60


class Installation:
    """`start` and `stop` our processes by name; `run` a command to its end; `api` speaks as an administrator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api_port, self.sandbox_port = free_port(), free_port()
        self.postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        self.temporal = TemporalServer(folder / "temporal", durable=False)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        self.api = httpx.AsyncClient(base_url=self.api_url, headers=headers, timeout=60, trust_env=False)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def database_url(self, name: str = "perennial") -> str:
        return self.postgres.url(name).replace("+asyncpg", "")

    def environment(self, **changed: str | None) -> dict[str, str]:
        """What our processes are told; the password and the keys by files, as an orchestrator mounts them."""
        told = {
            "PERENNIAL_DATABASE_URL_FILE": self._secret("database_url", self.database_url()),
            "PERENNIAL_TEMPORAL_ADDRESS": self.temporal.address,
            "PERENNIAL_STRIPE_API_KEY_FILE": self._secret("stripe_api_key", "sk_test_sandbox"),
            "PERENNIAL_STRIPE_WEBHOOK_SECRET_FILE": self._secret("webhook_secret", "whsec_sandbox"),
            "PERENNIAL_STRIPE_API_BASE": self.sandbox_url,
            "PERENNIAL_PROVISIONING_URL": self.sandbox_url,
            "PERENNIAL_API_PORT": str(self.api_port),
            "PERENNIAL_ADMIN_KEY_FILE": self._secret("admin.key", ADMIN_KEY),
            "PERENNIAL_DOCUMENTS_DIR": str(self.folder / "documents"),
        }
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
        wanted: dict[str, str | None] = {**ours, **told, "PYTHONPATH": str(ROOT), **changed}
        return {name: value for name, value in wanted.items() if value is not None}

    async def run(self, *arguments: str, **changed: str | None) -> tuple[int, str, str]:
        """Run `perennial` to its end: exit status, standard output and error."""
        process = await asyncio.create_subprocess_exec(
            *_perennial(arguments), env=self.environment(**changed), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        return process.returncode or 0, out.decode(), err.decode()

    async def json(self, command: str, *arguments: str, **changed: str | None) -> tuple[int, Any]:
        """The same for a command that answers in JSON."""
        status, out, err = await self.run(command, "--json", *arguments, **changed)
        assert out, err
        return status, json.loads(out)

    def start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                _perennial(arguments or (name,)), env=self.environment(), stdout=log, stderr=log
            )

    async def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status, after that signal."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return await asyncio.wait_for(asyncio.to_thread(process.wait), PATIENCE_S)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    async def start_sandbox(self) -> None:
        arguments = ("--port", str(self.sandbox_port), "--data-dir", str(self.folder))
        self._secret("admin.key", ADMIN_KEY)
        self.start("sandbox", "sandbox", *arguments, "--webhook-url", f"{self.api_url}/webhooks/stripe")
        await until(lambda: _answers(f"{self.sandbox_url}/_sandbox/provisioned"), "the sandbox answers")

    async def start_worker(self) -> None:
        lines = self.log("worker").count("worker_ready") if (self.folder / "worker.log").exists() else 0
        self.start("worker")
        await until(lambda: _now(self.log("worker").count("worker_ready") > lines), "the worker is ready")

    async def start_api(self) -> None:
        self.start("api")
        await until(lambda: _answers(f"{self.api_url}/readyz"), "the API is ready")

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.api.request(method, f"/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def deal(self, key: str, method: str = "pm_card_visa") -> None:
        """A customer, a quote, its acceptance; what follows goes on by itself."""
        customer = {"key": key, "name": key, "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
        await self.ask("POST", "customers", {**customer, "payment_method": method})
        await self.ask("POST", "quotes", {"key": key, "customer": key, "lines": [{"plan": "all-access"}]})
        await self.ask("POST", f"quotes/{key}/accept", {"accepted_by": key})

    async def invoice(self, key: str, state: str) -> Any:
        """The deal's one invoice, once it is in that state."""

        async def there() -> Any:
            found = (await self.ask("GET", f"invoices?customer={key}"))["data"]
            return next((one for one in found if one["state"] == state), None)

        return await until(there, f"the invoice of {key} is {state}")

    async def sql(self, statement: str, **parameters: object) -> None:
        """Change the books behind everybody's back."""
        engine = engine_of(self.database_url())
        async with engine.begin() as connection:
            await connection.execute(text(statement), parameters)
        await engine.dispose()

    async def rows(self, query: str, **parameters: object) -> list[Any]:
        """What stands in the books."""
        engine = engine_of(self.database_url())
        async with engine.connect() as connection:
            found = list(await connection.execute(text(query), parameters))
        await engine.dispose()
        return found

    async def end(self) -> None:
        await self.api.aclose()
        for process in self.processes.values():
            process.kill()
            process.wait()
        await self.temporal.stop()
        await self.postgres.stop()

    def _secret(self, name: str, content: str) -> str:
        path = self.folder / name
        path.write_text(f"{content}\n")
        return str(path)


@asynccontextmanager
async def installed(folder: Path) -> AsyncIterator[Installation]:
    """An installation whose two servers run, with an empty database; nothing of ours is started."""
    installation = Installation(folder)
    try:
        await installation.postgres.start()
        await installation.postgres.create_database("perennial")
        await installation.temporal.start()
        yield installation
    finally:
        await installation.end()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Installation]:
    """An installation in which everything runs, with the gym's price book."""
    async with installed(folder) as installation:
        await migrate(installation.postgres.url("perennial"))
        await asyncio.gather(installation.start_sandbox(), installation.start_worker(), installation.start_api())
        content = {"content": GYM.read_bytes(), "headers": {"Content-Type": "application/yaml"}}
        (await installation.api.put("/v1/catalog", **content)).raise_for_status()
        yield installation


async def until(holds: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Poll until it holds, and answer with it; fails when it never does."""
    deadline = monotonic() + PATIENCE_S
    while not (found := await holds()):
        assert monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.05)
    return found


def _perennial(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "workers.cli", *arguments]


async def _now(value: bool) -> bool:
    return value


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as browser:
            return (await browser.get(url)).status_code == 200
    except httpx.TransportError:
        return False
