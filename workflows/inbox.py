"""Inbox: commands to a workflow, carried out one at a time by its main coroutine.

A handler puts its command in and waits for the answer; `run` takes it out, acts, and answers. So there is one order of
events, whatever arrives at once, and nothing is in flight when a run ends.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows.clock import until

C = TypeVar("C")
A = TypeVar("A")


class Asked(Generic[C, A]):
    """A command on its way to an answer."""

    def __init__(self, command: C) -> None:
        self.command = command
        self.answers: list[A] = []
        self.refusal: ApplicationError | None = None
        # Of the asker: what is done for it is told under its request, not under the one that began the run.
        self._context = copy_context()

    @property
    def is_answered(self) -> bool:
        """Whether the asker may go on."""
        return bool(self.answers) or self.refusal is not None

    async def answered_by(self, work: Coroutine[Any, Any, A]) -> A | None:
        """Do the work and answer with what it gives, or with the rule that refused it (None then)."""
        try:
            answer = await asyncio.create_task(work, context=self._context)
        except ActivityError as error:
            if not isinstance(error.cause, ApplicationError):
                raise
            self.refusal = error.cause
            return None
        self.answers.append(answer)
        return answer


class Inbox(Generic[C, A]):
    """Commands of type C, answered with A."""

    def __init__(self) -> None:
        self._waiting: deque[Asked[C, A]] = deque()

    async def ask(self, command: C) -> A:
        """Put `command` in and wait for its answer. Raises the ApplicationError of a refusal."""
        asked = Asked[C, A](command)
        self._waiting.append(asked)
        await workflow.wait_condition(lambda: asked.is_answered)
        if asked.refusal is not None:
            raise ApplicationError(
                asked.refusal.message, *asked.refusal.details, type=asked.refusal.type, non_retryable=True
            )
        return asked.answers[0]

    async def next(self, due: datetime | None, offset: timedelta, summary: str) -> Asked[C, A] | None:
        """The next command, or None when `due` came first."""
        if await until(due, offset, lambda: bool(self._waiting), summary):
            return self._waiting.popleft()
        return None

    async def last(self) -> Asked[C, A] | None:
        """The next command of those who came before the run could end; None when everybody has an answer."""
        await workflow.wait_condition(lambda: bool(self._waiting) or workflow.all_handlers_finished())
        return self._waiting.popleft() if self._waiting else None

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._waiting
