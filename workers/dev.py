"""`perennial dev`: the whole product on this machine, from Python wheels alone, staying up.

    postgres ─ temporal ─ database, schema ─ sandbox ─ worker ─ api        started in this order, each restarted when it dies

All data is below one folder and survives a restart and a kill -9. The worker starts whatever the books say is open.
"""

import os
import secrets
import sys
from pathlib import Path

from rich.console import Console

from store.migrate import migrate
from workers.logging import configure_logging
from workers.postgres import EmbeddedPostgres
from workers.process import free_port
from workers.supervisor import ProcessSpec, Step, Supervisor
from workers.temporal_server import TemporalServer
from workers.wiring import SANDBOX_KEY, SANDBOX_SECRET
from workflows.names import SEARCH_ATTRIBUTES

DATABASE = "perennial"


class DevStack:
    """The stack of one data folder. `api_url`, `temporal_ui` and `admin_key` are good once it is up."""

    def __init__(self, data_dir: Path, *, port: int, admin_key: str | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.admin_key = admin_key or _kept_key(self.data_dir / "admin.key")
        if admin_key:
            _keep(self.data_dir / "admin.key", admin_key)
        self._port = port
        self._sandbox_port = free_port()
        self.postgres = EmbeddedPostgres(self.data_dir / "postgres")
        self.temporal = TemporalServer(
            self.data_dir / "temporal", search_attributes=SEARCH_ATTRIBUTES, ui_port=free_port()
        )
        self.supervisor = Supervisor(
            [
                self.postgres,
                self.temporal,
                Step("database", self._database),
                self._sandbox(),
                ProcessSpec(name="worker", argv=_perennial("worker"), env=self.environment, patience_seconds=30),
                ProcessSpec(
                    name="api",
                    argv=_perennial("api"),
                    env=self.environment,
                    ready=f"{self.api_url}/readyz",
                    port=port,
                ),
            ],
            data_dir=self.data_dir,
        )

    @property
    def api_url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self._port}"

    def environment(self) -> dict[str, str]:
        """What its processes are told; the same variables that a production installation sets."""
        return {
            "PERENNIAL_DATABASE_URL": self.postgres.url(DATABASE),
            "PERENNIAL_TEMPORAL_ADDRESS": self.temporal.address,
            "PERENNIAL_STRIPE_API_KEY": SANDBOX_KEY,
            "PERENNIAL_STRIPE_API_BASE": f"http://127.0.0.1:{self._sandbox_port}",
            "PERENNIAL_STRIPE_WEBHOOK_SECRET": SANDBOX_SECRET,
            "PERENNIAL_PROVISIONING_URL": f"http://127.0.0.1:{self._sandbox_port}",
            "PERENNIAL_API_PORT": str(self._port),
            "PERENNIAL_PUBLIC_URL": self.api_url,
            "PERENNIAL_ADMIN_KEY": self.admin_key,
            "PERENNIAL_DOCUMENTS_DIR": str(self.data_dir / "documents"),
        }

    def _sandbox(self) -> ProcessSpec:
        argv = _perennial(
            "sandbox",
            "--port",
            str(self._sandbox_port),
            "--data-dir",
            str(self.data_dir),
            "--webhook-url",
            f"{self.api_url}/webhooks/stripe",
        )
        return ProcessSpec(
            name="sandbox",
            argv=argv,
            ready=f"http://127.0.0.1:{self._sandbox_port}/_sandbox/provisioned",
            port=self._sandbox_port,
        )

    async def _database(self) -> None:
        await self.postgres.create_database(DATABASE)
        await migrate(self.postgres.url(DATABASE))


async def run_dev(*, data_dir: Path, port: int, admin_key: str | None) -> int:
    """Start the stack, say where everything is, stay until asked to stop."""
    stack = DevStack(data_dir, port=port, admin_key=admin_key)
    configure_logging(level="WARNING", as_json=False)
    await stack.supervisor.run(ready=lambda: announce(stack))
    return 0


def announce(stack: DevStack) -> None:
    """Where a person finds what."""
    console = Console(highlight=False)
    console.print(f"API docs      {stack.api_url}/docs")
    console.print(f"Temporal UI   {stack.temporal.ui_url}/namespaces/{stack.temporal.namespace}/workflows")
    console.print(f"admin key     {stack.admin_key}")
    console.print(f"data, logs    {stack.data_dir}")
    console.print("Ctrl-C stops it; the data stays.")


def _perennial(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workers.cli", *arguments]


def _kept_key(path: Path) -> str:
    if path.exists():
        return path.read_text().strip()
    secret = f"pk_admin_{secrets.token_hex(16)}"
    _keep(path, secret)
    return secret


def _keep(path: Path, secret: str) -> None:
    """Write a secret to a file that only we can read, before it has any content."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret)
