"""The worker as a process: it reads the environment, runs workflows and activities, and stops when it is asked to."""

import asyncio
import signal

import structlog

from store.connections import engine_of
from workers.doors import doors_of
from workers.environment import read_settings
from workers.metrics import served
from workers.reach import connected, require_database
from workers.restart import restart_everything
from workers.settings import Settings
from workers.telemetry import traces
from workers.worker import build_worker

log = structlog.get_logger()


async def serve_worker() -> int:
    """Run workflows and activities until asked to stop; what is open in the books is running when it begins."""
    settings = read_settings("worker")
    with traces("worker"), served(settings.api_host, settings.metrics_port):
        await _work(settings)
    return 0


async def _work(settings: Settings) -> None:
    await require_database(settings)
    client = await connected(settings)
    engine = engine_of(settings.database_url, name="perennial-worker")
    doors = doors_of(settings, engine, client)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with build_worker(client, doors, task_queue=settings.task_queue):
        ready = asyncio.create_task(restart_everything(engine, doors.lifecycles))
        asked = asyncio.create_task(stop.wait())
        # There may be much to restart; asked to stop meanwhile, we leave the rest to the next worker.
        await asyncio.wait([ready, asked], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            log.info("worker_ready", **ready.result())
        await asked
        ready.cancel()
        await asyncio.wait([ready])
    await engine.dispose()
