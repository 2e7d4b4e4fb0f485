"""One plugin for client, worker and replayer: how values travel, what a workflow may import, how a refusal is told.

Whatever is decided about serialisation, the sandbox or interceptors is decided here, so tests, CI and production agree.
"""

import time
from typing import Any

import structlog
from temporalio import activity
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy as Notify

from domain.errors import DomainError, InvalidInput
from workers.alarms import KEEPS_FAILING, cause_of, is_new, is_well
from workers.carried import Carried
from workers.metrics import ACTIVITIES

log = structlog.get_logger()

# The activities behind which a caller waits for an answer, a refusal included.
COMMANDS = frozenset({"offer", "revise", "move", "accept", "call_back", "cancel", "use_method"})

RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "domain",
        "activities",
        "workflows.clock",
        "workflows.inbox",
        "workflows.names",
        "workflows.options",
        "workflows.runs",
    ).with_import_notification_policy(Notify.WARN_ON_DYNAMIC_IMPORT | Notify.RAISE_ON_UNINTENTIONAL_PASSTHROUGH)
)

# Each workflow makes converters of its own. What they know of our types is shared, and so learnt once in a process: it takes
# long, for a workflow task. Types that travel are in modules that pass through; others would be new ones in each workflow.
_JSON = PydanticJSONPlainPayloadConverter()


class _Payloads(CompositePayloadConverter):
    """Temporal's, with pydantic's JSON."""

    def __init__(self) -> None:
        usual = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(_JSON if isinstance(one, JSONPlainPayloadConverter) else one for one in usual))


class _Activities(ActivityInboundInterceptor):
    """One canonical line per activity; a rule's "no" is an answer that no retry can change.

    What is tried again and again raises an alarm, be it a rule that says no to what time made due.
    """

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: ANN401
        info = activity.info()
        line = log.bind(activity=info.activity_type, workflow_id=info.workflow_id, attempt=info.attempt)
        what = f"{info.workflow_id} {info.activity_type}"
        began = time.monotonic_ns()

        def ended(outcome: str) -> int:
            took = time.monotonic_ns() - began
            ACTIVITIES.labels(info.activity_type, outcome).observe(took / 1_000_000_000)
            return took // 1_000_000

        def failed(error: Exception) -> None:
            if info.attempt >= KEEPS_FAILING and is_new(what, cause := cause_of(error)):
                line.error("activity_keeps_failing", cause=cause)

        try:
            result = await super().execute_activity(input)
        except DomainError as refusal:
            line.info("activity_refused", code=refusal.code, ms=ended("refused"))
            failed(refusal)
            raise told(refusal, final=info.activity_type in COMMANDS) from refusal
        except Exception as trouble:
            line.warning("activity_failed", error=type(trouble).__name__, ms=ended("failed"))
            failed(trouble)
            raise
        line.info("activity_done", ms=ended("done"))
        is_well(what)
        return result


class _Interceptor(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Activities(next)


def told(refusal: DomainError, *, final: bool = True) -> ApplicationError:
    """A domain error as it crosses Temporal: its class by name, its code and field errors as the one detail.

    To a caller it is `final`. What time makes due must be done all the same: it is asked for again until its cause is mended.
    """
    errors = refusal.errors if isinstance(refusal, InvalidInput) else ()
    detail = {"code": refusal.code, "errors": [[list(error.loc), error.msg] for error in errors]}
    return ApplicationError(refusal.detail, detail, type=type(refusal).__name__, non_retryable=final)


def plugin() -> SimplePlugin:
    """A fresh plugin, for one client; the workers of that client inherit it."""
    return SimplePlugin(
        "perennial",
        data_converter=DataConverter(payload_converter_class=_Payloads),
        interceptors=[Carried(), _Interceptor()],
        workflow_runner=RUNNER,
        workflow_failure_exception_types=[DomainError],
    )
