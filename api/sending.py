"""Sending: the one way in which commands reach workflows, and in which their refusals come back.

    command ──update, or update-with-start──► workflow ──► answer
       ▲                                         ├─ a rule said no ──► the domain's own error, as if raised here
       └── again, when its run ended meanwhile ──┴─ not there ──► NotRunning: the record says why

An update id derives from the request's token, so that a request that is made again meets its first update; what the
workflow asks for is written once whatever the id.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError, RPCStatusCode

from api.context import Context
from api.problems import Unavailable
from domain import errors
from domain.errors import DomainError, FieldError, InvalidInput, PricingError
from workflows import names

A = TypeVar("A")

TRIES = 5
STEP_S = 0.1
_RUN_ENDED = "AcceptedUpdateCompletedWorkflow"


class NotRunning(Exception):
    """No workflow runs under that id: what it was about is closed, or its process was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How to start the workflow that a command needs, from the record of what it is about."""

    run: Callable[..., Any]
    message: object
    customer_id: str
    state: str


async def send(
    context: Context,
    update: Callable[..., Any],
    command: object,
    *,
    to: str,
    token: str,
    answer: type[A],
    start: Start | None = None,
) -> A:
    """Carry `command` to the workflow `to` and bring its answer back; with `start` one that does not run is started.

    Raises the domain's errors, NotRunning, Unavailable.
    """
    try:
        async with asyncio.timeout(context.answer_within.total_seconds()):
            for _ in range(TRIES):
                try:
                    return cast(A, await _sent(context, update, command, to, token, answer, start))
                except WorkflowUpdateFailedError as failed:
                    if not _run_ended(failed.cause):
                        raise _refusal(failed.cause) from failed
                except RPCError as error:
                    if error.status is RPCStatusCode.NOT_FOUND:
                        raise NotRunning(to) from error
                    if error.status is not RPCStatusCode.ABORTED:
                        raise
                await asyncio.sleep(STEP_S)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise Unavailable(
            "no answer in time; ask again with the same Idempotency-Key: it is done at most once"
        ) from error
    raise Unavailable("the workflow kept changing runs")


async def run_through(context: Context, start: Start, *, to: str) -> bool:
    """Start the workflow `to`, or find it, and wait for its end; False when it still runs after a while.

    Raises what it failed with, where that is an error of the domain.
    """
    handle = await context.temporal.start_workflow(
        cast(Any, start.run),
        start.message,
        id=to,
        task_queue=context.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        search_attributes=_attributes(start.customer_id, start.state),
    )
    try:
        async with asyncio.timeout(context.answer_within.total_seconds()):
            await handle.result()
    except TimeoutError:
        return False
    except WorkflowFailureError as failed:
        raise _refusal(failed.cause) from failed
    return True


async def _sent(
    context: Context,
    update: Callable[..., Any],
    command: object,
    to: str,
    token: str,
    answer: type[Any],
    start: Start | None,
) -> object:
    # The SDK's overloads ask for methods whose types are known; here they come from many workflows.
    client: Any = context.temporal
    if start is None:
        return await client.get_workflow_handle(to).execute_update(update, command, id=token, result_type=answer)
    operation: Any = WithStartWorkflowOperation(
        cast(Any, start.run),
        start.message,
        id=to,
        task_queue=context.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        search_attributes=_attributes(start.customer_id, start.state),
    )
    return await client.execute_update_with_start_workflow(
        update, command, start_workflow_operation=operation, id=token, result_type=answer
    )


def _attributes(customer_id: str, state: str) -> TypedSearchAttributes:
    pairs = (SearchAttributePair(names.CUSTOMER, customer_id), SearchAttributePair(names.STATE, str(state)))
    return TypedSearchAttributes(pairs)


def _run_ended(cause: BaseException | None) -> bool:
    return isinstance(cause, ApplicationError) and cause.type == _RUN_ENDED


def _refusal(cause: BaseException | None) -> Exception:
    """The domain's error that `cause` tells of; what is no rule's refusal comes back as it is."""
    inner = cause
    while isinstance(inner, FailureError) and not isinstance(inner, ApplicationError):
        inner = inner.cause
    if isinstance(inner, ApplicationError) and inner.type in _KINDS:
        return _told(_KINDS[inner.type], inner)
    return cause if isinstance(cause, Exception) else Unavailable()


def _told(kind: type[DomainError], error: ApplicationError) -> DomainError:
    """The reverse of how the activity interceptor tells a refusal: class by name, code and field errors as detail."""
    detail: Mapping[str, Any] = error.details[0] if error.details else {}
    if issubclass(kind, InvalidInput):
        found = tuple(FieldError(tuple(loc), msg) for loc, msg in detail.get("errors", ()))
        return kind(error.message, found)
    if issubclass(kind, PricingError):
        return kind(str(detail.get("code", kind.code)), error.message)
    return kind(error.message)


def _tree(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


_KINDS = {kind.__name__: kind for kind in _tree(errors.DomainError)}
