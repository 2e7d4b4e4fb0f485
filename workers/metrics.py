"""Metrics of a worker: what its activities did, what its workflows could not; and Temporal's own, from its core.

our counters ──┐
Temporal core ─┴──► GET /metrics on PERENNIAL_METRICS_PORT, as long as the worker runs
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache

import httpx
from prometheus_client import REGISTRY, Counter, Histogram, Metric, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from workers.process import free_port, refuse_taken

ACTIVITIES = Histogram(
    "perennial_activity_seconds",
    "Activities that ended, by outcome (done, refused, failed), and how long they took.",
    ["activity", "outcome"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 1, 3, 10, 30),
)
TASK_FAILURES = Counter(
    "perennial_workflow_task_failures",
    "Workflow tasks that failed. Until its cause is mended such a workflow stands still.",
    ["workflow"],
)


class _Core(Collector):
    """What Temporal's core says of itself, read when it is asked for."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def collect(self) -> Iterator[Metric]:
        """All of it, under Temporal's own names."""
        text = httpx.get(self._url, timeout=5, trust_env=False).text
        yield from text_string_to_metric_families(text)

    def describe(self) -> list[Metric]:
        """Nothing: it is not asked before it runs."""
        return []


@cache
def core_port() -> int:
    """Where this process's core answers, on this machine alone; from `workers.logging` on, if it is asked to."""
    return free_port()


@contextmanager
def served(host: str, port: int | None) -> Generator[None]:
    """Serve them on `port` meanwhile; without one nothing is served. Raises StartFailed when somebody listens there."""
    if port is None:
        yield
        return
    refuse_taken(port, host)
    core = _Core(core_port())
    REGISTRY.register(core)
    server, thread = start_http_server(port, host)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        REGISTRY.unregister(core)
