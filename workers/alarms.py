"""Alarms: what keeps failing is told at level error with its id and its cause; once for each new cause, not at each try.

    an exception in workflow code ──► Temporal's worker says so at each try ──┐
    a history that does not replay ──► Temporal's core says so ───────────────┼──► new? ──► one line, and a count
    an activity that has failed KEEPS_FAILING times ──────────────────────────┘

A cause is a type and a place in our code, never a message: messages hold names. Temporal's own pages show those.
"""

import asyncio
import logging
import re
import traceback
from pathlib import Path
from types import TracebackType

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.exceptions import ApplicationError, FailureError

from activities.ports import Clock
from domain.errors import DomainError
from store.due import overdue_at
from workers.metrics import TASK_FAILURES

log = structlog.get_logger()

# After a few seconds: what is well again by then was a hiccup.
KEEPS_FAILING = 5
_LOOK_EVERY_S = 60
_MOST_TOLD = 10_000
_ROOT = Path(__file__).parents[1]
_ROOMS = frozenset({"domain", "activities", "workflows", "store", "providers", "workers"})
_told: dict[str, str] = {}

CORE = "temporalio.core"
_WORKFLOW_TASKS = ("temporalio.worker._workflow", "temporalio.worker._workflow_instance")
_DOES_NOT_REPLAY = re.compile(r'message: "(\[TMPRL1100\][^"]*)"')
# Their refusal is the answer to somebody who waits for it.
_ANSWERING = frozenset({"PaymentMethodWorkflow"})
# What a workflow answered is among them.
_NOT_SHOWN = frozenset({"failure", "completion", "action", "activation", "message"})


def is_new(what: str, cause: str) -> bool:
    """Whether `what` was not last told to fail for `cause`; from now on it was."""
    if _told.get(what) == cause:
        return False
    if len(_told) >= _MOST_TOLD:
        _told.clear()
    _told[what] = cause
    return True


def is_well(what: str) -> None:
    """It works again: should it fail once more, that is news."""
    _told.pop(what, None)


def cause_of(error: BaseException) -> str:
    """What is the matter, in a word that holds nothing of what was worked on: type, what lies beneath, and place."""
    beneath = f" of {_kind(error.__cause__)}" if error.__cause__ else ""
    return f"{_kind(error)}{beneath}{_place(error.__traceback__)}"


def workflow_failed(workflow: str, workflow_id: str, cause: str) -> None:
    """A task of a workflow failed. It is tried again until its cause is mended; till then nothing of it moves."""
    TASK_FAILURES.labels(workflow or "unknown").inc()
    if is_new(workflow_id, cause):
        log.error("workflow_task_failing", workflow=workflow, workflow_id=workflow_id, cause=cause)


def workflow_ended(workflow: str, workflow_id: str, failure: FailureError) -> None:
    """A workflow failed for good: nothing runs what it is about any more. One that ends with a refusal has answered."""
    refused = failure.cause
    if workflow in _ANSWERING and isinstance(refused, ApplicationError) and refused.non_retryable:
        return
    log.error("workflow_failed", workflow=workflow, workflow_id=workflow_id, cause=cause_of(failure))


async def watch(engine: AsyncEngine, clock: Clock) -> None:
    """Look every minute, for ever, for what time should have moved and has not: no worker lives, or one fails."""
    while True:
        try:
            for kind, things, since in await overdue_at(engine, clock.now()):
                if is_new(f"overdue {kind}", since.isoformat()):
                    log.error("overdue", kind=kind, things=things, since=since.isoformat())
        except Exception as error:  # noqa: BLE001  (a database that is away says so elsewhere; then it is looked again)
            log.warning("overdue_not_seen", error=type(error).__name__)
        await asyncio.sleep(_LOOK_EVERY_S)


def listen() -> None:
    """Hear what Temporal's worker and core say about failures, whatever the level of the log is. Twice is as once."""
    for name, heard in (
        (CORE, _core),
        *((name, _task) for name in _WORKFLOW_TASKS),
        ("temporalio.activity", _activity),
    ):
        logger = logging.getLogger(name)
        logger.setLevel(min(logging.WARNING, max(logging.INFO, logging.getLogger().level)))
        logger.filters[:] = [heard]


def _task(record: logging.LogRecord) -> bool:
    """An exception ends here, told in our words; what else the worker says goes on."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return _is_wanted(record)
    about = getattr(record, "temporal_workflow", {})
    # Of a task that did not even come to its workflow the worker knows the run alone.
    name = about.get("workflow_id") or str(record.args[0] if isinstance(record.args, tuple) and record.args else "")
    workflow_failed(about.get("workflow_type", ""), name, cause_of(error))
    return False


def _core(record: logging.LogRecord) -> bool:
    fields = getattr(getattr(record, "temporal_log", None), "fields", {})
    if record.getMessage() == "Failing workflow task":
        if found := _DOES_NOT_REPLAY.search(str(fields.get("failure"))):
            workflow_failed("", str(fields.get("workflow_id")), found[1])
        return False
    record.msg = " ".join([record.getMessage(), *(f"{k}={v}" for k, v in fields.items() if k not in _NOT_SHOWN)])
    record.args = ()
    # What it says at INFO our own lines say.
    return _is_wanted(record) and record.levelno != logging.INFO


def _activity(record: logging.LogRecord) -> bool:
    """Our line of the activity says it already, without the message."""
    return getattr(record, "__temporal_error_identifier", None) != "ActivityFailure" and _is_wanted(record)


def _is_wanted(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.getLogger().level


def _kind(error: BaseException) -> str:
    if isinstance(error, DomainError):
        return error.code
    return (isinstance(error, ApplicationError) and error.type) or type(error).__name__


def _place(trace: TracebackType | None) -> str:
    """The innermost line of ours; of a stranger's code alone, its last."""
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if _room(frame.filename)]
    if not frames:
        return ""
    last = ours[-1] if ours else frames[-1]
    path = Path(last.filename)
    return f" at {path.relative_to(_ROOT) if ours else path.name}:{last.lineno}"


def _room(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _ROOMS
