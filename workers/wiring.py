"""Wiring: the API over its doors, in production and in a story. With `workers.doors` the composition root: nowhere else is a
part made that another room uses.
"""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import structlog
from asyncpg import Pool, Record
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from activities.ports import Clock
from api.app import create_app
from api.context import Context
from api.limits import Rates
from domain.ids import derived_id
from providers.documents import render_invoice, render_quote
from providers.mail import FolderMail
from providers.provisioning import HttpProvisioning
from providers.sandbox import Sandbox, create_sandbox, in_process
from providers.stripe import StripePayments
from store.access import PREFIX, ApiKey, Role, create_key, find_key
from store.books import open_books
from store.connections import engine_of, pool_of
from store.reconcile import Reconciliation
from workers.clock import StoryClock, WallClock
from workers.doors import Doors, payments_of
from workers.lifecycles import TemporalLifecycles
from workers.reconcile import reconcile
from workers.sandbox import SANDBOX_KEY, SANDBOX_SECRET
from workers.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a simulation works with: the doors, a client of the API over them, and the sandbox behind them."""

    engine: AsyncEngine
    doors: Doors
    api: FastAPI
    http: httpx.AsyncClient
    sandbox: Sandbox


def context_for(
    settings: Settings, engine: AsyncEngine, pool: "Pool[Record]", client: Client, clock: Clock | None = None
) -> Context:
    """The doors of a production API."""
    clock, payments = clock or WallClock(), payments_of(settings)
    rates = Rates(requests=settings.rate_limit, products=settings.usage_rate_limit)
    context = _context(
        reconcile=lambda: reconcile(engine, client, payments, clock.now()),
        engine=engine,
        pool=pool,
        client=client,
        task_queue=settings.task_queue,
        clock=clock,
        wall=WallClock(),
        webhook_secret=settings.stripe_webhook_secret.get_secret_value(),
        offset=timedelta(0),
        entropy=lambda: secrets.token_hex(16),
    )
    return replace(context, rates=rates)


@asynccontextmanager
async def simulated_world(
    client: Client,
    *,
    database_url: str,
    clock: StoryClock,
    offset: timedelta,
    task_queue: str,
    folder: Path,
    sandbox_dir: Path | None = None,
    secret: str = f"{PREFIX}admin_of_a_throw_away_world",
    entropy: Callable[[], str] | None = None,
) -> AsyncGenerator[World]:
    """The whole product in this process, on a story's clock: sandbox and API are called without a network.

    The sandbox keeps its state in `sandbox_dir`, in memory without one; mails go to `folder`. `secret` is the admin key.
    Without `entropy` chance is counted, so that two runs make the same ids (and keys that anybody can guess).
    """
    async with AsyncExitStack() as stack:
        engine = engine_of(database_url)
        stack.push_async_callback(engine.dispose)
        pool = await pool_of(database_url)
        stack.push_async_callback(pool.close)
        numbers = iter(range(1, 1 << 62))
        context = _context(
            reconcile=lambda: reconcile(engine, client, payments, clock.now()),
            engine=engine,
            pool=pool,
            client=client,
            task_queue=task_queue,
            clock=clock,
            wall=clock,
            webhook_secret=SANDBOX_SECRET,
            offset=offset,
            entropy=entropy or (lambda: f"{next(numbers):032x}"),
        )
        api = create_app(context)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://perennial", timeout=60)
        stack.push_async_callback(http.aclose)

        async def deliver(body: bytes, signature: str) -> int:
            headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
            return (await http.post("/webhooks/stripe", content=body, headers=headers)).status_code

        sandbox = create_sandbox(sandbox_dir, clock=clock.now, webhook_secret=SANDBOX_SECRET, webhook_target=deliver)
        stack.callback(sandbox.close)
        stack.push_async_callback(sandbox.payments.idle)
        payments = StripePayments(SANDBOX_KEY, address="http://sandbox", transport=in_process(sandbox))
        stack.push_async_callback(payments.close)
        target = HttpProvisioning("http://sandbox", transport=in_process(sandbox))
        stack.push_async_callback(target.close)
        doors = Doors(
            open_books=context.open_books,
            lifecycles=TemporalLifecycles(client, task_queue=task_queue, offset=offset),
            payments=payments,
            target=target,
            mail=FolderMail(folder / "mail"),
            clock=clock,
        )
        await admin_key(pool, clock.now(), secret=secret, birth="the only one")
        http.headers["Authorization"] = f"Bearer {secret}"
        yield World(engine=engine, doors=doors, api=api, http=http, sandbox=sandbox)


async def admin_key(pool: "Pool[Record]", at: datetime, *, secret: str, birth: str | None = None) -> None:
    """Make sure that the admin key `secret` exists; one that was revoked stays so. Its id comes of `birth`, or chance."""
    id_ = derived_id("key", at, "admin", birth or secrets.token_hex(16))
    key = ApiKey(id=id_, role=Role.ADMIN, created_at=at, label="admin")
    if not await create_key(pool, key, secret) and await find_key(pool, secret) is None:
        log.error("admin_key_revoked", mend="set another one, or make one with `perennial keys create`")


def _context(
    *,
    reconcile: Callable[[], Awaitable[Reconciliation]],
    engine: AsyncEngine,
    pool: "Pool[Record]",
    client: Client,
    task_queue: str,
    clock: Clock,
    wall: Clock,
    webhook_secret: str,
    offset: timedelta,
    entropy: Callable[[], str],
) -> Context:
    return Context(
        engine=engine,
        pool=pool,
        open_books=open_books(engine),
        temporal=client,
        task_queue=task_queue,
        wake=TemporalLifecycles(client, task_queue=task_queue, offset=offset).wake_collection,
        reconcile=reconcile,
        clock=clock,
        wall=wall,
        entropy=entropy,
        render_invoice=render_invoice,
        render_quote=render_quote,
        webhook_secret=webhook_secret,
        offset=offset,
    )
