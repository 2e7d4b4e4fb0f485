"""Logging: one stream of events to standard error, ours and the libraries', as JSON or for the eye."""

import logging
import sys

import structlog
from structlog.typing import Processor
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

# They say at INFO, per request, what our canonical line already says.
_CORE_LEVELS = {"WARNING": "WARN", "INFO": "WARN"}
_TALKATIVE = ("httpx", "httpx2", "httpcore", "stripe", "uvicorn.access", "asyncio")


def configure_logging(*, level: str, as_json: bool) -> None:
    """Send structlog, the standard library's logging and Temporal's core to standard error, from `level` on.

    Calling it again replaces what it did; only the core keeps the level of the first call.
    """
    core = TelemetryFilter(core_level=_CORE_LEVELS.get(level, level), other_level="ERROR")
    Runtime.set_default(
        Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=core))), error_if_already_set=False
    )
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


def _rendering(*, as_json: bool) -> list[Processor]:
    # Tracebacks without local variables in both: those hold secrets and people.
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
