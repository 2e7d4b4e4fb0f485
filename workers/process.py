"""Child processes that do not outlive us, and what every launcher needs around them: free ports, locks, readiness.

Each child runs in a session of its own (Ctrl-C reaches only us, we stop the children in order), writes to a log file,
and leaves a pid file beside it. On Linux the kernel signals it when we die, even by kill -9. Where the kernel cannot
(macOS), the next start finds the orphan by its pid file and ends it.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from signal import Signals
from time import monotonic
from typing import BinaryIO, Self

Probe = Callable[[], Awaitable[bool]]

LOCALHOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_LARGEST_LOG = 16 * 1024 * 1024
_given_ports: set[int] = set()


class StartFailed(Exception):
    """A server or process could not be started. The message says which one, why, and where its log is."""


class DirectoryInUse(StartFailed):
    """Another living process keeps its data there."""


def program(name: str) -> str:
    """Where `name`, a program that came with a wheel, lies: this environment's scripts first, then PATH."""
    ours = Path(sysconfig.get_path("scripts")) / name
    found = str(ours) if ours.is_file() else shutil.which(name)
    if found is None:
        raise StartFailed(f"{name} is not installed: neither in {ours.parent} nor on PATH")
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on; never the same one twice in this process."""
    # Below the range that systems hand to outgoing connections: while a server there is down, a client that keeps
    # dialling can be given the very port as its own, connect to itself, and block the server's return.
    first, count = 20_000, 12_000
    start = secrets.randbelow(count)
    for step in range(count):
        port = first + (start + step) % count
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, suppress(OSError):
            if port not in _given_ports:
                probe.bind((LOCALHOST, port))
                _given_ports.add(port)
                return port
    raise StartFailed(f"no free TCP port from {first} on, on {LOCALHOST}")


def refuse_taken(port: int, host: str = LOCALHOST) -> None:
    """Raise StartFailed when somebody listens on `port` of `host` already, or we may not.

    Else the stranger could answer in a child's place, until the child is seen to have given up.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartFailed(f"port {port} of {host}: {error.strerror or error}") from error


class DirectoryLock:
    """Makes us the only process that works on `directory`. The kernel releases it when we die."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.file = directory / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it, or raise DirectoryInUse. Nothing happens when we hold it already."""
        if self._descriptor is not None:
            return
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise DirectoryInUse(f"{self._directory} is in use by another process; stop that one first") from error
        self._descriptor = descriptor

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Child:
    """A process that we started. Spawn it in a thread that lives as long as it should: the kernel watches that one."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, log_start: int) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._log_start = log_start

    @classmethod
    async def spawn(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        dies_by: Signals = signal.SIGKILL,
        privileges: Sequence[str] = (),
    ) -> Self:
        """Start `argv`, after ending the one that an earlier, killed parent may have left under the same log.

        `env` None means ours. `dies_by` is what it gets when we die. `privileges` are options of setpriv.
        """
        await _end_orphan(_pid_file(log), dies_by)
        with _opened(log) as output:
            # Before it starts: its writes move our position too.
            log_start = output.tell()
            process = await asyncio.create_subprocess_exec(
                *_setpriv(dies_by, privileges),
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
            child = cls(name, process, log, log_start)
        _pid_file(log).write_text(f"{process.pid}\n{' '.join(argv)}")
        return child

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; a negative number is the signal that ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Its return code, once it has ended."""
        return await self._process.wait()

    async def stop(self, *signals: Signals, patience: float = 10) -> None:
        """Send each signal in turn, `patience` seconds apart, until it ends; then kill it and what it started."""
        # Not when it ended by itself: the number of its group may be another's by now.
        if self.returncode is None:
            for number in signals:
                with suppress(ProcessLookupError):
                    self._process.send_signal(number)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), patience)
                    break
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            await self._process.wait()
        _pid_file(self.log).unlink(missing_ok=True)

    def failure(self, what: str) -> StartFailed:
        """`what` went wrong with this child, as an error that ends with the last it said."""
        said = self.log.read_bytes()[self._log_start :][-2000:].decode(errors="replace").strip()
        return StartFailed(f"{self.name} {what}; log: {self.log}" + (f"\n{said}" if said else ""))


async def until_ready(child: Child, probe: Probe, *, within: float) -> None:
    """Return once `probe` says yes. Raises StartFailed when the child ends first, or after `within` seconds."""
    limit = asyncio.timeout(within)
    try:
        async with limit:
            while child.returncode is None:
                if await probe():
                    return
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        if limit.expired():
            raise child.failure(f"was not ready within {within:g} s") from error
        raise
    raise child.failure(f"ended with {child.returncode} before it was ready")


async def start_listening(
    spawn: Callable[[int], Awaitable[Child]],
    answers: Callable[[int], Awaitable[bool]],
    *,
    port: int | None,
    within: float,
) -> tuple[Child, int]:
    """Spawn a server on `port` (None: a free one) and wait until it answers there.

    Between finding a free port and listening on it another process may take it: then the next free one is tried.
    """
    tries_left = 1 if port is not None else 5
    while True:
        chosen = port if port is not None else free_port()
        refuse_taken(chosen)
        child = await spawn(chosen)
        tries_left -= 1
        try:
            await until_ready(child, partial(answers, chosen), within=within)
            return child, chosen
        except StartFailed as failure:
            await child.stop()
            if tries_left == 0 or "address already in use" not in str(failure).lower():
                raise
        except BaseException:
            await child.stop()
            raise


def command_line(pid: int) -> str:
    """The command that process `pid` runs, its words joined by spaces; empty when there is none."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return ""
    ask = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def _opened(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if log.exists() and log.stat().st_size > _LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def _pid_file(log: Path) -> Path:
    return log.with_suffix(".pid")


async def _end_orphan(pid_file: Path, gently: Signals) -> None:
    """End the process that `pid_file` names, if it is still that process: the number may be another's by now."""
    pid, command = _recorded(pid_file)
    deadline = monotonic() + 5
    with suppress(ProcessLookupError):
        # A script's interpreter comes before it.
        while command and command_line(pid).endswith(command):
            os.kill(pid, gently if monotonic() < deadline else signal.SIGKILL)
            await asyncio.sleep(_POLL_SECONDS)


def _recorded(pid_file: Path) -> tuple[int, str]:
    with suppress(FileNotFoundError, ValueError):
        pid, command = pid_file.read_text().split("\n", 1)
        return int(pid), command
    return 0, ""


def _setpriv(dies_by: Signals, privileges: Sequence[str]) -> list[str]:
    path = _setpriv_path()
    if path is not None:
        return [path, "--pdeathsig", dies_by.name.removeprefix("SIG"), *privileges, "--"]
    if privileges:
        raise StartFailed(
            "giving up root needs setpriv (util-linux), which is missing: install it, or run as another user"
        )
    return []


@cache
def _setpriv_path() -> str | None:
    """The setpriv of util-linux; busybox has one too, which knows too little."""
    path = shutil.which("setpriv")
    if path is None:
        return None
    known = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)  # noqa: S603
    return path if "--pdeathsig" in known.stdout else None
