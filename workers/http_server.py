"""The HTTP server: uvicorn, stopped by whoever runs it."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn

from workers.process import refuse_taken


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
