"""Reach: whether the database and the Temporal that a process was told of are there; if not, which, and how to mend it."""

import asyncio

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from temporalio.client import Client
from temporalio.service import RPCError

from workers.plugin import plugin
from workers.settings import Settings, variable
from workers.temporal_server import register_search_attributes
from workflows.names import SEARCH_ATTRIBUTES

_SECONDS = 10
_AGAIN_AFTER_S = 2


class Unreachable(Exception):
    """Something that the process cannot do without is not there. The message holds no password."""


async def require_database(settings: Settings, *, migrated: bool = True) -> None:
    """Return when the database lets us in and, if `migrated`, has our tables. Raises Unreachable."""
    mend = f"start it, or mend {variable('database_url')}"
    try:
        url = make_url(settings.database_url).set(drivername="postgresql")
    except (ArgumentError, ValueError) as error:
        raise Unreachable(f"{variable('database_url')} is no address of a database") from error
    told = f"PostgreSQL at {url.render_as_string()}"
    try:
        connection = await asyncpg.connect(url.render_as_string(hide_password=False), timeout=_SECONDS)
        try:
            ours = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        finally:
            await connection.close()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unreachable(f"{told} cannot be reached ({_why(error)}): {mend}") from error
    if migrated and not ours:
        raise Unreachable(f"{told} has no tables of ours yet: run `perennial migrate`")


async def connected(settings: Settings) -> Client:
    """A client of the configured Temporal, whose namespace knows our search attributes. Raises Unreachable."""
    told = f"Temporal at {settings.temporal_address}"
    namespace = settings.temporal_namespace
    try:
        client = await Client.connect(settings.temporal_address, namespace=namespace, plugins=[plugin()])
    except RuntimeError as error:
        raise Unreachable(
            f"{told} cannot be reached ({_why(error)}): start it, or mend {variable('temporal_address')}"
        ) from error
    try:
        await register_search_attributes(client, SEARCH_ATTRIBUTES)
    except RPCError as error:
        raise Unreachable(
            f"{told} does not serve the namespace {namespace!r} ({_why(error)}): "
            f"create it, or mend {variable('temporal_namespace')}"
        ) from error
    return client


async def registered(client: Client) -> None:
    """Make the namespace know our search attributes, as soon as it can be reached: no workflow starts without them."""
    while True:
        try:
            return await register_search_attributes(client, SEARCH_ATTRIBUTES)
        except (RPCError, RuntimeError):
            await asyncio.sleep(_AGAIN_AFTER_S)


def _why(error: Exception) -> str:
    """The heart of what went wrong: libraries wrap it in sentences of their own."""
    if isinstance(error, TimeoutError):
        return f"no answer within {_SECONDS} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "no answer" if isinstance(error, RuntimeError) else str(error)
