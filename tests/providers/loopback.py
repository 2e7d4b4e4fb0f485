"""Real servers on the loopback, for what only a network can do: refuse, hang up, die."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import uvicorn

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.asynccontextmanager
async def served(app: Callable[..., Any]) -> AsyncGenerator[str]:
    """The address of `app`, served by uvicorn in this loop."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


@contextlib.asynccontextmanager
async def speaking(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncGenerator[str]:
    """The address of a server that does `talk` with each caller, HTTP or not."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class SandboxProcess:
    """A sandbox in a process of its own, to be killed."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self._data_dir = data_dir
        self._port = port
        self.address = f"http://127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when it answers."""
        code = (
            "import sys, uvicorn; from datetime import datetime, UTC; from pathlib import Path\n"
            "from providers.sandbox import create_sandbox\n"
            "app = create_sandbox(Path(sys.argv[1]), clock=lambda: datetime(2026, 1, 31, 9, tzinfo=UTC))\n"
            "uvicorn.run(app, port=int(sys.argv[2]), log_level='critical')"
        )
        command = (sys.executable, "-c", code, str(self._data_dir), str(self._port))
        self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        async with asyncio.timeout(15), httpx.AsyncClient(trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx.ConnectError):
                    await client.get(f"{self.address}/_sandbox/charges")
                    return
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
