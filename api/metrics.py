"""Metrics: what this process did since it began, and what the books say now. For Prometheus, at GET /metrics.

No label takes a value that a caller chooses: routes are templates, the rest are words of ours.
"""

import asyncio
from collections.abc import Iterable, Iterator

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.context import Context, Doors
from domain.dunning import CLOSED_STATES, CollectionState
from store.connections import in_use
from store.due import KINDS, open_collections, overdue_at

routes = APIRouter(tags=["health"])

log = structlog.get_logger()

REQUESTS = Histogram(
    "perennial_request_seconds",
    "Requests that were answered, by route and class of status, and how long they took.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 20),
)
IN_FLIGHT = Gauge("perennial_requests_in_flight", "Requests that are being answered.")
USAGE = Counter("perennial_usage_events", "Usage events: accepted, duplicate, rejected.", ["outcome"])
CHECKS = Counter("perennial_checks", "Entitlement checks of one feature, by their answer.", ["allowed"])

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PATIENCE_S = 3


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """Count one request."""
    REQUESTS.labels(method if method in _METHODS else "other", route, f"{status // 100}xx").observe(seconds)


@routes.get("/metrics", openapi_extra={"security": list[str]()}, response_class=PlainTextResponse)
async def get_metrics(context: Doors) -> Response:
    """Everything counted here, and how the books stand; without the database the former, and `perennial_database_up 0`."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            books = await _books(context)
    except Exception as error:  # noqa: BLE001  (whatever the database does, the rest is told)
        log.warning("books_not_measured", error=type(error).__name__)
        books = [GaugeMetricFamily("perennial_database_up", _UP, value=0)]
    now = CollectorRegistry()
    now.register(_Told(books))
    return Response(generate_latest(REGISTRY) + generate_latest(now), media_type=CONTENT_TYPE_LATEST)


_UP = "Whether the database answers."


async def _books(context: Context) -> list[Metric]:
    at = context.clock.now()
    overdue = {late.kind: late for late in await overdue_at(context.engine, at)}
    states = await open_collections(context.engine)
    oldest = max(((at - late.since).total_seconds() for late in overdue.values()), default=0)
    still_open = (state for state in CollectionState if state not in CLOSED_STATES)
    return [
        GaugeMetricFamily("perennial_database_up", _UP, value=1),
        _gauge(
            "perennial_overdue",
            "Things that time should have moved on and has not: nobody runs them, or their process keeps failing.",
            "kind",
            ((kind, overdue[kind].things if kind in overdue else 0) for kind in KINDS),
        ),
        GaugeMetricFamily(
            "perennial_overdue_oldest_seconds", "For how long the oldest of them should have moved.", value=oldest
        ),
        _gauge(
            "perennial_open_collections",
            "Invoices with money due, by the state of their collection.",
            "state",
            ((state, states.get(state, 0)) for state in still_open),
        ),
        _gauge(
            "perennial_connections_in_use",
            "Connections to the database that somebody works with.",
            "pool",
            in_use(context.engine, context.pool).items(),
        ),
    ]


def _gauge(name: str, meaning: str, label: str, values: Iterable[tuple[str, int]]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, meaning, labels=[label])
    for value, number in values:
        gauge.add_metric([value], number)
    return gauge


class _Told(Collector):
    """Metrics that are already known."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics
