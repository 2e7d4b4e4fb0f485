"""Keeps a stack of services up: starts them in order, starts again what dies, stops them in reverse order.

A service is anything that fits `Service`: the launchers of PostgreSQL and Temporal, a child process described by a
ProcessSpec, or a Step that is done once in between. While the stack is up, `stack.json` in its folder says what runs.
"""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import environ, getpid
from pathlib import Path
from time import monotonic
from typing import Protocol, Self

import httpx
import structlog

from workers.process import Child, DirectoryLock, Probe, refuse_taken, until_ready

log = structlog.get_logger()

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_LONG_LIFE_SECONDS = 30


class Service(Protocol):
    """Something to keep up. `ports` says where it listens, by what it speaks there."""

    @property
    def name(self) -> str:
        """What it is called in the log, in `stack.json`, and in errors."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process, None when there is none."""
        ...

    @property
    def ports(self) -> Mapping[str, int]:
        """Where it listens."""
        ...

    async def start(self) -> None:
        """Start it, also after it died; returns once it is ready. Raises StartFailed."""
        ...

    async def stop(self) -> None:
        """Stop it; nothing happens when it does not run."""
        ...

    async def wait(self) -> int:
        """Its return code, once it has died. A service that cannot die never returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A child process. `env` is added to ours, and read at each start: it may name what earlier services chose.

    `ready` is a URL that answers with success, or a question to ask; None means as soon as it runs. With `once` it is
    ready when it has ended well, and is not started again. `port` is where it listens; one that another has is refused.
    Asked to stop, it is killed after `patience_seconds`.
    """

    name: str
    argv: Sequence[str]
    env: Callable[[], Mapping[str, str]] = dict
    ready: Probe | str | None = None
    once: bool = False
    port: int | None = None
    ready_within_seconds: float = 60
    patience_seconds: float = 10


class Process:
    """The service that a ProcessSpec describes; its output goes to `{name}.log` in `folder`."""

    def __init__(self, spec: ProcessSpec, folder: Path) -> None:
        self.spec = spec
        self.log = folder / f"{spec.name}.log"
        self._child: Child | None = None

    @property
    def name(self) -> str:
        """What the spec calls it."""
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The process, None while it does not run."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    @property
    def ports(self) -> Mapping[str, int]:
        """Its port, if the spec names one."""
        return {} if self.spec.port is None else {"http": self.spec.port}

    async def start(self) -> None:
        """Start it; returns once it is ready, or has ended well if it runs once."""
        spec = self.spec
        if spec.port is not None:
            refuse_taken(spec.port)
        child = await Child.spawn(spec.name, spec.argv, log=self.log, env={**environ, **spec.env()})
        self._child = child
        try:
            if spec.once:
                await self._ended_well(child)
            elif spec.ready is not None:
                probe = _answers(spec.ready) if isinstance(spec.ready, str) else spec.ready
                await until_ready(child, probe, within=spec.ready_within_seconds)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ask it to end, then kill it."""
        if self._child is not None:
            await self._child.stop(signal.SIGTERM, patience=self.spec.patience_seconds)
            self._child = None

    async def wait(self) -> int:
        """Its return code, once it has died; what runs once never does."""
        if self._child is None or self.spec.once:
            return await asyncio.get_running_loop().create_future()
        return await self._child.wait()

    async def _ended_well(self, child: Child) -> None:
        try:
            code = await asyncio.wait_for(child.wait(), self.spec.ready_within_seconds)
        except TimeoutError as error:
            raise child.failure(f"did not end within {self.spec.ready_within_seconds:g} s") from error
        if code != 0:
            raise child.failure(f"ended with {code}")


class Step:
    """Something to do once, in its place in the order: make a database, print a line."""

    pid: int | None = None
    ports: Mapping[str, int] = {}

    def __init__(self, name: str, action: Callable[[], Awaitable[object]]) -> None:
        self.name = name
        self._action = action

    async def start(self) -> None:
        """Do it."""
        await self._action()

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def wait(self) -> int:
        """It cannot die."""
        return await asyncio.get_running_loop().create_future()


class Supervisor:
    """The stack of `services`, in the order in which they need each other. One supervisor to a `data_dir` at a time.

    `async with` starts and stops it; `run` also stays until a signal asks it to stop.
    """

    def __init__(self, services: Sequence[Service | ProcessSpec], *, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.services: tuple[Service, ...] = tuple(
            Process(service, self.data_dir / "logs") if isinstance(service, ProcessSpec) else service
            for service in services
        )
        self.restarts = {service.name: 0 for service in self.services}
        self._lock = DirectoryLock(self.data_dir)
        self._started: list[Service] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._stop_requested = asyncio.Event()

    @property
    def stack_file(self) -> Path:
        """What runs: pids, ports and restarts, by service. There only while the stack is up."""
        return self.data_dir / "stack.json"

    async def start(self) -> None:
        """Start all; returns once each is ready. When one does not start, stops those that did; raises StartFailed."""
        self._lock.acquire()
        try:
            for service in self.services:
                begun = monotonic()
                await service.start()
                self._started.append(service)
                self._keepers.append(asyncio.create_task(self._keep(service), name=f"keep {service.name}"))
                seconds = round(monotonic() - begun, 2)
                log.info("service_started", service=service.name, pid=service.pid, seconds=seconds)
                self._write_stack()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop all, the last first. Where another supervisor is at work, there is nothing of ours to stop."""
        if not self._lock.held:
            return
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        while self._started:
            service = self._started.pop()
            await service.stop()
            log.info("service_stopped", service=service.name)
        self.stack_file.unlink(missing_ok=True)
        self._lock.release()

    async def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Start all, call `ready`, stay until SIGTERM or SIGINT (or `request_stop`), stop all."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.request_stop)
        starting, asked = asyncio.create_task(self.start()), asyncio.create_task(self._stop_requested.wait())
        try:
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stop_requested.is_set():
                starting.result()
                ready()
                await asked
        finally:
            for task in (starting, asked):
                task.cancel()
            await asyncio.gather(starting, asked, return_exceptions=True)
            await self.stop()
            for number in signals:
                loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Make `run` stop all and return."""
        self._stop_requested.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _keep(self, service: Service) -> None:
        """Start `service` again whenever it dies, sooner if it had lived long."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            begun = monotonic()
            code = await service.wait()
            if monotonic() - begun > _LONG_LIFE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            log.warning("service_died", service=service.name, code=code, again_in_seconds=pause)
            pause = await self._revive(service, pause)

    async def _revive(self, service: Service, pause: float) -> float:
        """Start `service` again, as often as it takes; answers the pause to make before the next time."""
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            try:
                await service.start()
            except Exception as failure:  # noqa: BLE001  (whatever it was: giving up would leave the service down for good)
                log.warning("service_did_not_start", service=service.name, why=str(failure), again_in_seconds=pause)
                continue
            self.restarts[service.name] += 1
            log.info("service_restarted", service=service.name, pid=service.pid, restarts=self.restarts[service.name])
            self._write_stack()
            return pause

    def _write_stack(self) -> None:
        running = {
            service.name: {"pid": service.pid, "ports": dict(service.ports), "restarts": self.restarts[service.name]}
            for service in self._started
            if service.pid is not None
        }
        unfinished = self.data_dir / "stack.json.new"
        unfinished.write_text(json.dumps({"pid": getpid(), "services": running}, indent=2) + "\n")
        unfinished.replace(self.stack_file)


def _answers(url: str) -> Probe:
    async def probe() -> bool:
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.get(url)).is_success
        return False

    return probe
