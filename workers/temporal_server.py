"""Temporal from Python wheels: the full dev server, in one SQLite file, and the time-skipping test server.

Both learn their search attributes by one call, `register_search_attributes`: the dev server's own flag for them works
on a new file only.
"""

import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

import httpx
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client, Plugin
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from workers.process import LOCALHOST, Child, DirectoryLock, StartFailed, free_port, program, start_listening

AttributeType = Literal["Text", "Keyword", "Int", "Double", "Bool", "Datetime", "KeywordList"]
SearchAttribute = tuple[str, AttributeType]

_TYPES: Mapping[AttributeType, IndexedValueType.ValueType] = {
    "Text": IndexedValueType.INDEXED_VALUE_TYPE_TEXT,
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "Double": IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
    "Bool": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
}
# Write-ahead logging doubles the throughput, and a killed process still loses nothing.
_PRAGMAS = ("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal")
_TIME_SKIPPING = (
    *("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"),
    *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"'),
)
_START_WITHIN = 30
_NOT_YET = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.NOT_FOUND, RPCStatusCode.DEADLINE_EXCEEDED})
_WHILE_PARENT_LIVES = Path(__file__).with_name("while_parent_lives.sh")


class TemporalServer:
    """The full dev server, its state below `data_dir`: started again, also after kill -9, all of it is there.

    `port` None means a free one, kept over restarts of this object; `ui_port` None means no web UI. Closed runs stay
    readable for `retention` (the server's own default is a day). `time_skipping` lets `temporalio.testing.TimeSkipper`
    move single workflows ahead. `durable` False keeps all in memory: faster, and gone with `stop`.
    """

    name = "temporal"

    def __init__(
        self,
        data_dir: Path,
        *,
        namespace: str = "perennial",
        search_attributes: Sequence[SearchAttribute] = (),
        port: int | None = None,
        ui_port: int | None = None,
        retention: timedelta = timedelta(days=30),
        time_skipping: bool = False,
        durable: bool = True,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.namespace = namespace
        self._search_attributes = tuple(search_attributes)
        self._port = port
        self._ui_port = ui_port
        self._retention = retention
        self._time_skipping = time_skipping
        self._durable = durable
        self._lock = DirectoryLock(self.data_dir)
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """Where clients and workers find it: host and port."""
        if self._port is None:
            raise StartFailed("temporal has no port before its first start")
        return f"{LOCALHOST}:{self._port}"

    @property
    def ui_url(self) -> str | None:
        """Where people find it, None without a web UI."""
        return None if self._ui_port is None else f"http://{LOCALHOST}:{self._ui_port}"

    @property
    def ports(self) -> Mapping[str, int]:
        """Its ports, by what they speak."""
        named = {"grpc": self._port, "ui": self._ui_port}
        return {name: port for name, port in named.items() if port is not None}

    @property
    def pid(self) -> int | None:
        """The server, None while it does not run."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def start(self) -> None:
        """Start it; returns once namespace, retention and search attributes are in place. Raises StartFailed."""
        if self.pid is not None:
            return
        self._lock.acquire()
        try:
            self._child, self._port = await start_listening(
                self._spawn, self._answers, port=self._port, within=_START_WITHIN
            )
        except BaseException:
            self._lock.release()
            raise

    async def stop(self) -> None:
        """Stop it now."""
        if self._child is not None:
            await self._child.stop(*((signal.SIGTERM,) if self._durable else ()))
            self._child = None
        self._lock.release()

    async def wait(self) -> int:
        """Its return code, once it has ended."""
        if self._child is None:
            raise StartFailed("temporal was not started")
        return await self._child.wait()

    async def _spawn(self, port: int) -> Child:
        ui = ("--headless",) if self._ui_port is None else ("--ui-port", str(self._ui_port), "--ui-disable-news-fetch")
        file = ("--db-filename", str(self.data_dir / "temporal.db"), *_PRAGMAS) if self._durable else ()
        return await Child.spawn(
            "temporal",
            [
                *(program("temporal"), "server", "start-dev", "--ip", LOCALHOST, "--port", str(port)),
                *("--namespace", self.namespace, "--log-level", "error"),
                # Left to itself, the server takes these from the range of outgoing connections.
                *("--http-port", str(free_port()), "--metrics-port", str(free_port())),
                *(*ui, *file, *(_TIME_SKIPPING if self._time_skipping else ())),
            ],
            log=self.data_dir / "temporal.log",
        )

    async def _answers(self, port: int) -> bool:
        """It answers, and namespace, retention, search attributes and UI are in place."""
        try:
            client = await Client.connect(f"{LOCALHOST}:{port}", namespace=self.namespace)
            await _set_retention(client, self._retention)
            await register_search_attributes(client, self._search_attributes)
            if self.ui_url is not None:
                async with httpx.AsyncClient(trust_env=False) as browser:
                    await browser.get(self.ui_url)
        except RPCError as error:
            if error.status in _NOT_YET:
                return False
            raise StartFailed(f"temporal refuses what it is set up with: {error}") from error
        except (RuntimeError, httpx.TransportError):
            return False
        return True


async def start_time_skipping(plugins: Sequence[Plugin], runtime: Runtime | None = None) -> WorkflowEnvironment:
    """The test server with one clock that skips what nobody waits for. A fresh one per test: 0.1 s.

    Shut it down, or use it as a context manager; should we be killed before, it ends a second later.
    """
    return await WorkflowEnvironment.start_time_skipping(
        plugins=plugins,
        runtime=runtime,
        test_server_existing_path=str(_WHILE_PARENT_LIVES),
        test_server_extra_args=[program("temporal-test-server")],
    )


async def register_search_attributes(client: Client, pairs: Sequence[SearchAttribute]) -> None:
    """Make the namespace of `client` know each name and type. Raises StartFailed when it knows one with another type.

    A workflow that sets an attribute nobody registered does not fail: its task is tried again for ever.
    """
    for name, kind in (await unregistered(client, pairs)).items():
        request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes={name: kind})
        try:
            await client.operator_service.add_search_attributes(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                raise


async def unregistered(client: Client, pairs: Sequence[SearchAttribute]) -> Mapping[str, IndexedValueType.ValueType]:
    """Those of `pairs` that the namespace of `client` does not know. Raises StartFailed when it has another type."""
    known = await _known_search_attributes(client)
    wanted = {name: _TYPES[kind] for name, kind in pairs}
    for name, kind in wanted.items():
        if known.get(name, kind) != kind:
            raise StartFailed(f"search attribute {name} exists in namespace {client.namespace} with another type")
    return {name: kind for name, kind in wanted.items() if name not in known}


async def _known_search_attributes(client: Client) -> Mapping[str, IndexedValueType.ValueType]:
    try:
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        # The test server can add them, not list them.
        if error.status is RPCStatusCode.UNIMPLEMENTED:
            return {}
        raise
    return answer.custom_attributes


async def _set_retention(client: Client, retention: timedelta) -> None:
    wanted = Duration()
    wanted.FromTimedelta(retention)
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=client.namespace, config=NamespaceConfig(workflow_execution_retention_ttl=wanted)
        )
    )
