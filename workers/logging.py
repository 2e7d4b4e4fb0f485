"""Logging: one stream of events to standard error, ours and the libraries', as JSON or for the eye."""

import logging
import sys

import structlog
from structlog.typing import Processor
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from workers import alarms
from workers.metrics import core_port

# They say at INFO, per request, what our canonical line already says.
_TALKATIVE = ("httpx", "httpx2", "httpcore", "stripe", "uvicorn.access", "asyncio")


def configure_logging(*, level: str, as_json: bool, core_metrics: bool = False) -> None:
    """Send structlog, the standard library's logging and Temporal's core to standard error, from `level` on.

    Calling it again replaces what it did; only the core keeps what the first call said. With
    `core_metrics` it answers with its own on `workers.metrics.core_port`.
    """
    Runtime.set_default(core_runtime(core_metrics=core_metrics), error_if_already_set=False)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json=as_json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # At DEBUG Temporal prints what it carries, and that names people.
    logging.getLogger("temporalio").setLevel(max(logging.INFO, root.level))
    alarms.listen()


def core_runtime(*, core_metrics: bool) -> Runtime:
    """Temporal's core, whose lines go through ours."""
    # Always heard: among its warnings is that a history does not replay, and from INFO on it says of which workflow.
    heard = TelemetryFilter(core_level="INFO", other_level="ERROR")
    forwarding = LogForwardingConfig(
        logger=logging.getLogger(alarms.CORE),
        append_target_to_name=False,
        prepend_target_on_message=False,
        append_log_fields_to_message=False,
    )
    metrics = PrometheusConfig(f"127.0.0.1:{core_port()}", durations_as_seconds=True) if core_metrics else None
    return Runtime(
        telemetry=TelemetryConfig(logging=LoggingConfig(filter=heard, forwarding=forwarding), metrics=metrics)
    )


def _rendering(*, as_json: bool) -> list[Processor]:
    # Tracebacks without local variables in both: those hold secrets and people.
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
