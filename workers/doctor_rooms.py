"""The doctor's rounds: each room is asked one small thing, and answers with findings. Nothing is changed anywhere."""

import asyncio
import platform
import shutil
import smtplib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    GetSystemInfoRequest,
    PollWorkflowTaskQueueRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from activities.ports import ProviderRejected, ProviderUnavailable
from domain.waiting import OVERDUE_AFTER
from providers.stripe import StripePayments
from store.connections import engine_of
from store.due import due_by
from store.migrate import current_revision, newest_revision
from store.schema import METADATA
from workers.clock import WallClock
from workers.process import StartFailed
from workers.reach import Unreachable, require_database
from workers.settings import Settings, variable
from workers.temporal_server import unregistered
from workflows.names import SEARCH_ATTRIBUTES

PATIENCE_S = 10
OLDEST_POSTGRES = 140000
OLDEST_TEMPORAL = (1, 28)
MOST_SKEW = timedelta(seconds=2)
LEAST_DISK_BYTES = 1 << 30
SHORTEST_RETENTION = timedelta(days=7)
_POLLED_WITHIN = timedelta(minutes=2)


class State(StrEnum):
    """What came of a check; a note is worth reading and nothing is broken."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """What `check` found, in one line, and how to mend it where it is not well."""

    state: State
    check: str
    detail: str
    mend: str = ""


async def rooms(settings: Settings) -> list[Finding]:
    """Everything outside the settings, all rooms at once, told in the order of the list."""
    rounds: Sequence[tuple[str, Callable[[Settings], Awaitable[list[Finding]]]]] = (
        ("postgresql", _postgres),
        ("temporal", _temporal),
        ("stripe", _stripe),
        ("provisioning", _provisioning),
        ("mail", _mail),
    )
    found = await asyncio.gather(*(_within_patience(check, name, settings) for name, check in rounds))
    here = Finding(State.OK, "python", f"{platform.python_version()}, perennial {version('perennial')}")
    return [here, *(finding for findings in found for finding in findings), _disk(settings)]


async def _within_patience(
    check: Callable[[Settings], Awaitable[list[Finding]]], name: str, settings: Settings
) -> list[Finding]:
    try:
        async with asyncio.timeout(PATIENCE_S * 2):
            return await check(settings)
    except Exception as error:  # noqa: BLE001  (whatever a room does, the others are told of too)
        why = "no answer" if isinstance(error, TimeoutError) else f"{type(error).__name__}"
        return [Finding(State.WRONG, name, f"the check could not be finished ({why})", "see whether it is overloaded")]


async def _postgres(settings: Settings) -> list[Finding]:
    try:
        await require_database(settings, migrated=False)
    except Unreachable as error:
        what, _, mend = str(error).rpartition(": ")
        return [Finding(State.WRONG, "postgresql", what, mend)]
    engine = engine_of(settings.database_url, size=1, name="perennial-doctor")
    try:
        async with engine.connect() as connection:
            findings = [await _server(connection), await _postgres_clock(connection)]
            rights = await _rights(connection)
        schema = await _schema(settings)
        if schema.state is State.WRONG:
            return [*findings, schema]
        now = WallClock().now()
        overdue = await due_by(engine, now - OVERDUE_AFTER)
    finally:
        await engine.dispose()
    if not overdue:
        return [*findings, schema, rights, Finding(State.OK, "overdue work", "nothing is due and not done")]
    kind, id_, at = overdue[0]
    late = f"{len(overdue)} things are due and not done, the oldest {kind} {id_} since {at:%Y-%m-%d %H:%M}Z"
    mend = "see that a worker runs, and in Temporal's UI whether that workflow fails; `perennial reconcile` names what is lost"
    return [*findings, schema, rights, Finding(State.WRONG, "overdue work", late, mend)]


async def _server(connection: AsyncConnection) -> Finding:
    query = """
        SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
               pg_encoding_to_char(encoding) AS encoding, pg_is_in_recovery() AS replica,
               pg_size_pretty(pg_database_size(current_database())) AS size
          FROM pg_database WHERE datname = current_database()"""
    row = (await connection.execute(text(query))).one()
    told = f"PostgreSQL {row.version}, {row.encoding}, {row.size}"
    if row.number < OLDEST_POSTGRES:
        return Finding(State.WRONG, "postgresql", f"{told}: too old", "upgrade to PostgreSQL 14 or later; 18 is tested")
    if row.replica:
        mend = f"let {variable('database_url')} name the primary"
        return Finding(State.WRONG, "postgresql", f"{told}: is a replica, which cannot be written", mend)
    if row.encoding != "UTF8":
        return Finding(
            State.WRONG, "postgresql", f"{told}: not every name can be stored", "CREATE DATABASE … ENCODING UTF8"
        )
    return Finding(State.OK, "postgresql", told)


async def _schema(settings: Settings) -> Finding:
    at, wanted = await current_revision(settings.database_url), newest_revision()
    if at == wanted:
        return Finding(State.OK, "schema", f"revision {at}")
    if at is not None and at > wanted:
        return Finding(
            State.WRONG, "schema", f"revision {at} is newer than this program's {wanted}", "run the newer version"
        )
    return Finding(State.WRONG, "schema", f"revision {at or 'none'}, wanted is {wanted}", "run `perennial migrate`")


async def _rights(connection: AsyncConnection) -> Finding:
    """What the configured role may not do and has to; tables that are not there yet are the schema's matter."""
    query = """
        SELECT wanted.name FROM unnest(CAST(:tables AS text[])) wanted(name)
         WHERE to_regclass(wanted.name) IS NOT NULL
           AND NOT (has_table_privilege(wanted.name, 'SELECT') AND has_table_privilege(wanted.name, 'INSERT')
                AND has_table_privilege(wanted.name, 'UPDATE') AND has_table_privilege(wanted.name, 'DELETE'))"""
    lacking = (await connection.execute(text(query), {"tables": sorted(METADATA.tables)})).scalars().all()
    if lacking:
        mend = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO the role"
        return Finding(State.WRONG, "permissions", f"the role may not read and write {', '.join(lacking)}", mend)
    return Finding(State.OK, "permissions", "every table can be read and written; no extension is needed")


async def _postgres_clock(connection: AsyncConnection) -> Finding:
    asked = WallClock().now()
    theirs: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return clock_finding("clock of postgresql", theirs, asked, WallClock().now())


def clock_finding(check: str, theirs: datetime, asked: datetime, answered: datetime) -> Finding:
    """How far another clock is outside the moment in which it was read."""
    off = max(asked - theirs, theirs - answered, timedelta(0))
    if off <= MOST_SKEW:
        return Finding(State.OK, check, f"differs by {off.total_seconds():.1f} s from this machine's at most")
    mend = "let both machines set their clocks by NTP: due dates and the age of usage are judged by them"
    return Finding(State.WRONG, check, f"differs by {off.total_seconds():.1f} s from this machine's", mend)


async def _temporal(settings: Settings) -> list[Finding]:
    address, namespace = settings.temporal_address, settings.temporal_namespace
    try:
        client = await asyncio.wait_for(Client.connect(address, namespace=namespace), PATIENCE_S)
    except (RuntimeError, TimeoutError):
        mend = f"start it, or mend {variable('temporal_address')}"
        return [Finding(State.WRONG, "temporal", f"{address} cannot be reached", mend)]
    server = await _temporal_server(client)
    try:
        described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except RPCError as error:
        mend = f"`temporal operator namespace create {namespace}`, or mend {variable('temporal_namespace')}"
        return [server, Finding(State.WRONG, "namespace", f"{namespace}: {error.message}", mend)]
    retention = described.config.workflow_execution_retention_ttl.ToTimedelta()
    told = f"{namespace}, keeps closed workflows for {retention.days} days"
    short = retention < SHORTEST_RETENTION
    mend = (
        "`temporal operator namespace update --retention 30d`: what went wrong can be read for longer" if short else ""
    )
    return [
        server,
        Finding(State.NOTE if short else State.OK, "namespace", told, mend),
        await _search_attributes(client),
        await _workers(client, settings.task_queue),
        await _temporal_clock(client),
    ]


async def _temporal_server(client: Client) -> Finding:
    version_ = (await client.workflow_service.get_system_info(GetSystemInfoRequest())).server_version
    numbers = tuple(int(part) for part in version_.split(".")[:2] if part.isdecimal())
    told = f"Temporal {version_} at {client.service_client.config.target_host}"
    if numbers < OLDEST_TEMPORAL:
        return Finding(State.WRONG, "temporal", f"{told}: too old", "upgrade to 1.28 or later; 1.32 is tested")
    return Finding(State.OK, "temporal", told)


async def _search_attributes(client: Client) -> Finding:
    try:
        missing = await unregistered(client, SEARCH_ATTRIBUTES)
    except StartFailed as error:
        return Finding(State.WRONG, "search attributes", str(error), "use a namespace of our own")
    if missing:
        mend = "start a worker, which registers them"
        return Finding(State.WRONG, "search attributes", f"not registered: {', '.join(sorted(missing))}", mend)
    return Finding(State.OK, "search attributes", ", ".join(name for name, _ in SEARCH_ATTRIBUTES))


async def _workers(client: Client, queue: str) -> Finding:
    """Whether somebody asks for work of both kinds: a worker that hangs is forgotten by the server after minutes."""
    kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    answers = [await _described(client, queue, kind) for kind in kinds]
    seen = [poller.last_access_time.ToDatetime(UTC) for poller in answers[0].pollers]
    # A poll waits for a minute at most, then comes again.
    recent = [at for at in seen if WallClock().now() - at < _POLLED_WITHIN]
    if not recent or not answers[1].pollers:
        last = f"; the last was there at {max(seen):%H:%M:%S}Z" if seen else ""
        mend = f"start `perennial worker`, or mend {variable('task_queue')}"
        return Finding(State.WRONG, "worker", f"none asks the task queue {queue} for work{last}", mend)
    return Finding(State.OK, "worker", f"{len({p.identity for p in answers[0].pollers})} on the task queue {queue}")


async def _described(client: Client, queue: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
    return await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind)
    )


async def _temporal_clock(client: Client) -> Finding:
    """Read the server's clock. No call answers with it, but who asks for work is noted down with the instant."""
    async with _asking_for_work(client, "perennial-doctor") as asked:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await _described(client, "perennial-doctor", TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
                seen = [poller.last_access_time.ToDatetime(UTC) for poller in answer.pollers]
                # An earlier doctor's is remembered for some minutes.
                ours = [p for p in answer.pollers if p.identity == f"doctor at {asked.isoformat()}"]
                if ours:
                    return clock_finding("clock of temporal", max(seen), asked, WallClock().now())
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _asking_for_work(client: Client, queue: str) -> AsyncGenerator[datetime]:
    asked = WallClock().now()
    request = PollWorkflowTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), identity=f"doctor at {asked.isoformat()}"
    )
    poll = asyncio.ensure_future(
        client.workflow_service.poll_workflow_task_queue(request, timeout=timedelta(seconds=PATIENCE_S))
    )
    try:
        yield asked
    finally:
        poll.cancel()
        with suppress(asyncio.CancelledError, RPCError):
            await poll


async def _stripe(settings: Settings) -> list[Finding]:
    key = settings.stripe_api_key.get_secret_value()
    if not key:
        return []
    payments = StripePayments(key, address=settings.stripe_api_base, timeout_seconds=PATIENCE_S)
    where = settings.stripe_api_base or "Stripe"
    began = time.monotonic_ns()
    try:
        await payments.read_intent(intent_ref="pi_perennial_doctor")
    except ProviderRejected:  # it knows us, and no such intent
        took = (time.monotonic_ns() - began) // 1_000_000
        test = key.startswith(("sk_test_", "rk_test_"))
        told = f"{where} takes the key and answers in {took} ms" + (", in test mode: no money moves" if test else "")
        return [Finding(State.NOTE if test else State.OK, "stripe", told)]
    except ProviderUnavailable as error:
        return [
            Finding(State.WRONG, "stripe", f"{where}: {error}", f"mend {variable('stripe_api_key')}, or the way there")
        ]
    finally:
        await payments.close()
    return [Finding(State.OK, "stripe", f"{where} takes the key")]


async def _provisioning(settings: Settings) -> list[Finding]:
    if settings.provisioning_url is None:
        return [Finding(State.NOTE, "provisioning", "no target is set: every step counts as done when it is asked for")]
    try:
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as browser:
            answer = await browser.head(settings.provisioning_url)
    except httpx.RequestError as error:
        told = f"{settings.provisioning_url} does not answer ({type(error).__name__})"
        return [Finding(State.WRONG, "provisioning", told, f"start it, or mend {variable('provisioning_url')}")]
    told = f"{settings.provisioning_url} answers ({answer.status_code})"
    if answer.status_code >= 500:
        return [Finding(State.WRONG, "provisioning", told, "see what it fails by")]
    return [Finding(State.OK, "provisioning", told)]


async def _mail(settings: Settings) -> list[Finding]:
    host, port = settings.smtp_host, settings.smtp_port
    if host is None:
        told = f"no server is set: mails are written to {settings.documents_dir / 'mail'}, and reach nobody"
        return [Finding(State.NOTE, "mail", told)]

    def greet() -> None:
        with smtplib.SMTP(host, port, timeout=PATIENCE_S) as server:
            server.noop()

    try:
        await asyncio.to_thread(greet)
    except (OSError, smtplib.SMTPException) as error:
        told = f"{host}:{port} does not answer ({type(error).__name__})"
        return [Finding(State.WRONG, "mail", told, f"start it, or mend {variable('smtp_host')}")]
    return [Finding(State.OK, "mail", f"{host}:{port} answers")]


def _disk(settings: Settings) -> Finding:
    """Room on this machine; the database's own disk cannot be seen from here."""
    folder = settings.documents_dir.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return disk_finding(there, shutil.disk_usage(there).free)


def disk_finding(folder: Path, free_bytes: int) -> Finding:
    """Whether `free_bytes` below `folder` will do."""
    told = f"{free_bytes / (1 << 30):.1f} GiB free at {folder}"
    if free_bytes < LEAST_DISK_BYTES:
        return Finding(State.WRONG, "disk", told, "make room, or let PERENNIAL_DOCUMENTS_DIR lie elsewhere")
    return Finding(State.OK, "disk", told)
