"""The production processes: each reads the environment, does its one thing, and stops when it is asked to."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from temporalio.client import Client

from api.app import create_app
from api.price_book import read_price_book
from api.reconciliation import reconciliation
from domain.errors import InvalidInput
from domain.ids import derived_id
from providers.sandbox import create_sandbox, http_call_back
from store.access import PREFIX, ApiKey, Role, create_key
from store.books import open_books
from store.connections import engine_of, pool_of
from store.migrate import migrate
from workers.alarms import watch
from workers.clock import WallClock
from workers.files import naming, text_of
from workers.logging import configure_logging
from workers.metrics import served
from workers.plugin import plugin
from workers.process import refuse_taken
from workers.reach import connected, registered, require_database
from workers.reconcile import reconcile, report
from workers.restart import restart_everything
from workers.settings import ProcessName, Settings, variable
from workers.telemetry import traces
from workers.wiring import SANDBOX_SECRET, admin_key, context_for, doors_of
from workers.worker import build_worker

log = structlog.get_logger()

_TEMPORAL_MAY_TAKE_S = 3


def read_settings(process: ProcessName) -> Settings:
    """What the environment says. Raises InvalidInput with one line that names each variable that is wrong or missing."""
    try:
        settings = Settings()  # pyright: ignore[reportCallIssue]  (pydantic-settings reads what is required)
    except ValidationError as error:
        wrong = "; ".join(f"{variable(str(e['loc'][0]))}: {e['msg']}" for e in error.errors())
        raise InvalidInput(wrong) from error
    if missing := settings.missing_for(process):
        raise InvalidInput(f"{process} needs {', '.join(missing)}")
    configure_logging(
        level=settings.log_level,
        as_json=settings.log_json,
        core_metrics=process == "worker" and settings.metrics_port is not None,
    )
    return settings


async def serve_api() -> int:
    """Serve the API until asked to stop."""
    settings = read_settings("api")
    with traces("api"):
        async with api_of(settings) as app:
            await serve(app, host=settings.api_host, port=settings.api_port)
    return 0


@asynccontextmanager
async def api_of(settings: Settings) -> AsyncGenerator[FastAPI]:
    """The API over the configured stores."""
    await require_database(settings)
    # Lazy: reads, usage and checks go on without it.
    client = await Client.connect(
        settings.temporal_address, namespace=settings.temporal_namespace, plugins=[plugin()], lazy=True
    )
    registering = asyncio.create_task(registered(client))
    await asyncio.wait([registering], timeout=_TEMPORAL_MAY_TAKE_S)
    engine = engine_of(settings.database_url, name="perennial-api")
    pool = await pool_of(settings.database_url, name="perennial-api")
    try:
        if settings.admin_key is not None:
            await admin_key(pool, WallClock().now(), secret=settings.admin_key.get_secret_value())
        watching = asyncio.create_task(watch(engine, WallClock()))
        try:
            yield create_app(context_for(settings, engine, pool, client))
        finally:
            watching.cancel()
    finally:
        registering.cancel()
        await pool.close()
        await engine.dispose()


async def serve_worker() -> int:
    """Run workflows and activities until asked to stop; what is open in the books is running when it begins."""
    settings = read_settings("worker")
    with traces("worker"), served(settings.api_host, settings.metrics_port):
        await _work(settings)
    return 0


async def _work(settings: Settings) -> None:
    await require_database(settings)
    client = await connected(settings)
    engine = engine_of(settings.database_url, name="perennial-worker")
    doors = doors_of(settings, engine, client)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with build_worker(client, doors, task_queue=settings.task_queue):
        restarted = await restart_everything(engine, doors.lifecycles)
        log.info("worker_ready", **restarted)
        await stop.wait()
    await engine.dispose()


async def serve_sandbox(*, port: int, data_dir: Path, webhook_url: str) -> int:
    """Serve the sandbox payment provider and provisioning target, on the wall's clock."""
    api = webhook_url.removesuffix("/webhooks/stripe")
    sandbox = create_sandbox(
        data_dir,
        clock=WallClock().now,
        webhook_secret=SANDBOX_SECRET,
        webhook_target=webhook_url,
        call_back=http_call_back(api, (data_dir / "admin.key").read_text().strip()),
    )
    await serve(sandbox, host="127.0.0.1", port=port, grace=1)
    return 0


class Server(uvicorn.Server):
    """uvicorn without its hand on the process's signals, which it would raise again when it is done."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Whoever runs it stops it."""
        yield


async def serve(app: object, *, host: str, port: int, grace: int = 10) -> None:
    """Serve an ASGI application until SIGTERM or SIGINT; requests under way have `grace` seconds to end."""
    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType]
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=grace,
    )
    refuse_taken(port, host)
    server = Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
    await server.serve()


async def run_migrate() -> int:
    """Bring the configured database to this version's schema."""
    settings = read_settings("migrate")
    await require_database(settings, migrated=False)
    await migrate(settings.database_url)
    return 0


async def run_reconcile(*, as_json: bool, repair: bool) -> int:
    """Compare the books with all who should agree with them, and print it. Answers 1 when anything disagrees."""
    settings = read_settings("reconcile")
    await require_database(settings)
    client = await connected(settings)
    engine = engine_of(settings.database_url, name="perennial-reconcile")
    doors = doors_of(settings, engine, client)
    try:
        lifecycles = doors.lifecycles if repair else None
        found = await reconcile(engine, client, doors.payments, WallClock().now(), repair=lifecycles)
    finally:
        await engine.dispose()
    if as_json:
        print(json.dumps(reconciliation(found), indent=2))  # noqa: T201
    else:
        report(found, sys.stdout)
    return 1 if found.disagreements else 0


async def run_apply(file: Path) -> int:
    """Load a price book into the configured database."""
    with naming(file):
        book = read_price_book(text_of(file))
    settings = read_settings("migrate")
    await require_database(settings)
    engine = engine_of(settings.database_url)
    try:
        async with open_books(engine)() as books:
            applied = await books.catalog.apply(book, WallClock().now())
    finally:
        await engine.dispose()
    print("\n".join(f"{plan.key} version {plan.version}" for plan in applied.plans))  # noqa: T201
    return 0


async def run_create_key(*, role: str, customer: str | None, approvers: tuple[str, ...]) -> int:
    """Make an API key in the configured database and print its secret, once."""
    if role not in set(Role):
        raise InvalidInput(f"--role {role}: one of {', '.join(Role)}")
    if (role == Role.CUSTOMER) != (customer is not None):
        raise InvalidInput("--customer goes with the role customer, and with no other")
    settings = read_settings("migrate")
    await require_database(settings)
    engine = engine_of(settings.database_url)
    pool = await pool_of(settings.database_url)
    try:
        customer_id = None
        if customer is not None:
            async with open_books(engine)() as books:
                customer_id = (await books.customers.get(customer)).id
        secret = f"{PREFIX}{secrets.token_hex(16)}"
        at = WallClock().now()
        key = ApiKey(
            id=derived_id("key", at, secrets.token_hex(16)),
            role=Role(role),
            customer_id=customer_id,
            approvers=approvers,
            created_at=at,
            label="made by perennial keys create",
        )
        await create_key(pool, key, secret)
    finally:
        await pool.close()
        await engine.dispose()
    print(secret)  # noqa: T201
    return 0
