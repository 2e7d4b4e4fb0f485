"""`perennial dev`: the whole product on this machine, from Python wheels alone, staying up.

    postgres ─ temporal ─ database, schema ─ sandbox ─ worker ─ api        started in this order, each restarted when it dies

All data is below one folder and survives a restart and a kill -9. The worker starts whatever the books say is open.
"""

import json
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from store.access import PREFIX
from store.migrate import migrate
from workers.logging import configure_logging
from workers.postgres import EmbeddedPostgres
from workers.printing import console_on
from workers.process import StartFailed, free_port, refuse_taken
from workers.sandbox import SANDBOX_KEY, SANDBOX_SECRET
from workers.supervisor import ProcessSpec, Step, Supervisor
from workers.temporal_server import TemporalServer
from workflows.names import SEARCH_ATTRIBUTES

DATABASE = "perennial"


class DevStack:
    """The stack of one data folder. `api_url`, `temporal_ui` and `admin_key` are good once it is up."""

    def __init__(self, data_dir: Path, *, port: int, admin_key: str | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.admin_key = admin_key or _kept(self.data_dir / "admin.key") or f"{PREFIX}admin_{secrets.token_hex(16)}"
        self._port = port
        remembered = json.loads(_kept(self.data_dir / "ports.json") or "{}")
        self._sandbox_port, self._ui_port = (port_or_free(remembered.get(name)) for name in ("sandbox", "temporal_ui"))
        self.postgres = EmbeddedPostgres(self.data_dir / "postgres")
        self.temporal = TemporalServer(
            self.data_dir / "temporal", search_attributes=SEARCH_ATTRIBUTES, ui_port=self._ui_port
        )
        self.supervisor = Supervisor(
            [
                Step("port", self._refuse_taken),
                Step("kept", self._keep),
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

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox provider and provisioning target listen, back door included."""
        return f"http://127.0.0.1:{self._sandbox_port}"

    def environment(self) -> dict[str, str]:
        """What its processes are told; the same variables that a production installation sets."""
        return {
            "PERENNIAL_DATABASE_URL": self.postgres.url(DATABASE),
            "PERENNIAL_TEMPORAL_ADDRESS": self.temporal.address,
            "PERENNIAL_STRIPE_API_KEY": SANDBOX_KEY,
            "PERENNIAL_STRIPE_API_BASE": self.sandbox_url,
            "PERENNIAL_STRIPE_WEBHOOK_SECRET": SANDBOX_SECRET,
            "PERENNIAL_PROVISIONING_URL": self.sandbox_url,
            "PERENNIAL_API_PORT": str(self._port),
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
            ready=f"{self.sandbox_url}/_sandbox/provisioned",
            port=self._sandbox_port,
        )

    async def _refuse_taken(self) -> None:
        try:
            refuse_taken(self._port)
        except StartFailed as error:
            raise StartFailed(f"{error}; choose another with --port") from error

    async def _keep(self) -> None:
        """Remember what people have noted down: the admin key, and where pages and back door are."""
        ports = {"sandbox": self._sandbox_port, "temporal_ui": self._ui_port}
        _write(self.data_dir / "admin.key", self.admin_key)
        _write(self.data_dir / "ports.json", json.dumps(ports) + "\n")

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
    console = console_on(sys.stdout)
    console.print(f"API docs      {stack.api_url}/docs")
    console.print(f"Temporal UI   {stack.temporal.ui_url}/namespaces/{stack.temporal.namespace}/workflows")
    console.print(
        f"sandbox       {stack.sandbox_url}/_sandbox/…   (docs/sandbox.md: declines, outages, orders that wait)"
    )
    console.print(f"admin key     {stack.admin_key}")
    console.print(f"data, logs    {stack.data_dir}")
    console.print(f"Ctrl-C stops it; the data stays: `perennial dev --data-dir {stack.data_dir}` goes on with it.")


def _perennial(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workers.cli", *arguments]


def _kept(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Write to a file that only we can read, before it has any content."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def port_or_free(wanted: int | None) -> int:
    """The port that is wanted if nobody has taken it, else a free one."""
    with suppress(StartFailed):
        if wanted:
            refuse_taken(wanted)
            return wanted
    return free_port()
