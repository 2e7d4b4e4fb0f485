"""Carried: the id of a request, and its trace, go with what it sets going, through workflows into activities.

    request ──header──► workflow: its start, or the update it answers ──header──► activity ──► log lines, provider's call
                                                                                     └──► what it starts, in the same way

In a header, not in the messages: nothing that is decided knows of it. A run that follows by continue-as-new begins without:
what a period brings was caused by no request.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import structlog
import temporalio.client as outside
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter
from temporalio.exceptions import FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from workers.alarms import workflow_ended

HEADER = "perennial-cause"
REQUEST_ID = "request_id"
Headers = Mapping[str, Payload]

_TRACE = TraceContextTextMapPropagator()
_CONVERTER = PayloadConverter.default
_tracer = trace.get_tracer("perennial")
# Inside a workflow: the header of what is being answered.
_cause: ContextVar[Payload | None] = ContextVar("cause", default=None)


def _packed(carrier: dict[str, str]) -> Payload | None:
    return _CONVERTER.to_payloads([carrier])[0] if carrier else None


def _unpacked(headers: Headers) -> dict[str, str]:
    """What the header says; one that is not ours says nothing."""
    payload = headers.get(HEADER)
    if payload is None:
        return {}
    carrier: object = _CONVERTER.from_payloads([payload])[0]
    return cast("dict[str, str]", carrier) if isinstance(carrier, dict) else {}


def _with(headers: Headers, cause: Payload | None) -> Headers:
    return headers if cause is None else {**headers, HEADER: cause}


def _here() -> Payload | None:
    """The request and the span in which this is called."""
    carrier: dict[str, str] = {}
    if request_id := structlog.contextvars.get_contextvars().get(REQUEST_ID):
        carrier[REQUEST_ID] = request_id
    _TRACE.inject(carrier)
    return _packed(carrier)


@contextmanager
def span(
    name: str, *, kind: SpanKind = SpanKind.CLIENT, within: Context | None = None, **about: str
) -> Generator[None]:
    """A span around what is done meanwhile. A failure is told by its type: messages hold names."""
    with _tracer.start_as_current_span(
        name, within, kind, about, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


class _Client(outside.OutboundInterceptor):
    """Whatever is asked of a workflow says what asked."""

    async def start_workflow(self, input: outside.StartWorkflowInput) -> outside.WorkflowHandle[Any, Any]:
        with span(f"start {input.workflow}", workflow_id=input.id):
            input.headers = _with(input.headers, _here())
            return await super().start_workflow(input)

    async def signal_workflow(self, input: outside.SignalWorkflowInput) -> None:
        with span(f"signal {input.signal}", workflow_id=input.id):
            input.headers = _with(input.headers, _here())
            await super().signal_workflow(input)

    async def start_workflow_update(self, input: outside.StartWorkflowUpdateInput) -> outside.WorkflowUpdateHandle[Any]:
        with span(f"update {input.update}", workflow_id=input.id):
            input.headers = _with(input.headers, _here())
            return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self, input: outside.StartWorkflowUpdateWithStartInput
    ) -> outside.WorkflowUpdateHandle[Any]:
        start, update = input.start_workflow_input, input.update_workflow_input
        with span(f"update {update.update}", workflow_id=start.id):
            start.headers, update.headers = _with(start.headers, _here()), _with(update.headers, _here())
            return await super().start_update_with_start_workflow(input)


class _Workflows(WorkflowInboundInterceptor):
    """What a run or an update does is caused by what started it; a run that fails for good is told."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outward(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: ANN401
        info = workflow.info()
        _cause.set(_begun(f"run {info.workflow_type}", input.headers))
        try:
            return await super().execute_workflow(input)
        except FailureError as failure:
            if not workflow.unsafe.is_replaying():
                workflow_ended(info.workflow_type, info.workflow_id, failure)
            raise

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: ANN401
        _cause.set(_begun(f"answer {input.update}", input.headers))
        return await super().handle_update_handler(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        _cause.set(_begun(f"hear {input.signal}", input.headers))
        await super().handle_signal(input)


class _Outward(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        input.headers = _with(input.headers, _cause.get())
        return super().start_activity(input)


class _Activities(ActivityInboundInterceptor):
    """Every line that an activity logs carries the request's id, and its span lies in the request's trace."""

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: ANN401
        info, carrier = activity.info(), _unpacked(input.headers)
        with (
            structlog.contextvars.bound_contextvars(**_request(carrier)),
            span(
                f"do {info.activity_type}",
                kind=SpanKind.SERVER,
                within=_TRACE.extract(carrier),
                workflow_id=info.workflow_id or "",
            ),
        ):
            return await super().execute_activity(input)


class Carried(outside.Interceptor, Interceptor):
    """For client and worker alike."""

    def intercept_client(self, next: outside.OutboundInterceptor) -> outside.OutboundInterceptor:
        """What goes out."""
        return _Client(next)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """What an activity is asked."""
        return _Activities(next)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """What a workflow is asked."""
        return _Workflows


def _request(carrier: Mapping[str, str]) -> dict[str, str]:
    return {REQUEST_ID: carrier[REQUEST_ID]} if REQUEST_ID in carrier else {}


def _begun(name: str, headers: Headers) -> Payload | None:
    """The cause that the work has from here on: the same, seen from a span of this workflow's own.

    The span ends as it begins: one that stays open would be lost with the worker. A replay makes none.
    """
    carrier = _unpacked(headers)
    if "traceparent" in carrier and not workflow.unsafe.is_replaying():
        at = workflow.time_ns()
        with workflow.unsafe.sandbox_unrestricted():
            mark = _tracer.start_span(
                name,
                context=_TRACE.extract(carrier),
                kind=SpanKind.SERVER,
                attributes={"workflow_id": workflow.info().workflow_id},
                start_time=at,
            )
            mark.end(at)
        if mark.is_recording() or mark.get_span_context().is_valid:
            _TRACE.inject(carrier, trace.set_span_in_context(mark))
    return _packed(carrier)
