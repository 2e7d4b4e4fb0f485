"""The API as a process: it reads the environment, serves, and stops when it is asked to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from temporalio.client import Client

from api.app import create_app
from store.connections import engine_of, pool_of
from workers.alarms import watch
from workers.clock import WallClock
from workers.environment import read_settings
from workers.http_server import serve
from workers.plugin import plugin
from workers.reach import registered, require_database
from workers.settings import Settings
from workers.telemetry import traces
from workers.wiring import admin_key, context_for

_TEMPORAL_MAY_TAKE_S = 3


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
