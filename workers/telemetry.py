"""Telemetry: traces to where the standard OTEL_ variables say, or none at all.

    request ─► workflow ─► activity ─► provider: one trace, by workers.carried

Spans hold ids, types and places: no name, no message, no body.
"""

import inspect
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from opentelemetry import trace

from workers.carried import span

P = TypeVar("P")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# A collector that does not answer must not keep a process from ending.
_FLUSH_MS = 2_000


def is_wanted() -> bool:
    """Whether the environment names a collector of traces, and does not say no."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(os.environ.get(name) for name in _ENDPOINTS)


@contextmanager
def traces(process: str) -> Generator[None]:
    """Send traces meanwhile, as `perennial-<process>` unless OTEL_SERVICE_NAME says otherwise; or do nothing."""
    if not is_wanted():
        yield
        return
    # Only here: who wants no traces does not pay for the libraries.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    service = os.environ.get("OTEL_SERVICE_NAME") or f"perennial-{process}"
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.force_flush(_FLUSH_MS)


def traced(port: P, name: str) -> P:
    """`port`, each of whose calls is a span `name.call`."""
    return cast(P, _Traced(port, name))


class _Traced:
    def __init__(self, port: object, name: str) -> None:
        self._port = port
        self._name = name

    def __getattr__(self, call: str) -> Any:  # noqa: ANN401
        found = getattr(self._port, call)
        if not inspect.iscoroutinefunction(found):
            return found
        asked = cast(Callable[..., Any], found)

        @wraps(asked)
        async def within(*args: object, **more: object) -> object:
            with span(f"{self._name}.{call}"):
                return await asked(*args, **more)

        return within
