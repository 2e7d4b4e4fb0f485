"""Order: what was accepted, and the steps that make it usable.

open ──> provisioning ──all steps done──> completed
           ├──target calls back later──> waiting ──> provisioning
           ├──target cannot be asked, too long──> stuck ──retry──> provisioning
           └──a step failed──> compensating ──all undone──> cancelled
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from domain.errors import InvalidState, NotFound, holds
from domain.subscription import Item
from domain.waiting import Party, Waiting

RETRY_WAITS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
)
STUCK_AFTER_ATTEMPTS = 4
CALL_BACK_WITHIN = timedelta(days=7)
# An order sees a handful of retries; what is older than these is no repetition any more.
_REMEMBERED = 20


class OrderState(StrEnum):
    """Where an order is in its life (contract section 7)."""

    OPEN = "open"
    PROVISIONING = "provisioning"
    WAITING = "waiting"
    COMPLETED = "completed"
    COMPENSATING = "compensating"
    CANCELLED = "cancelled"
    STUCK = "stuck"


class StepState(StrEnum):
    """Where one step stands."""

    PENDING = "pending"
    UNAVAILABLE = "unavailable"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do at a provisioning target. `at` is the instant of the last answer, UTC.

    `silent`: the target took it on and never called back; it may have done it, or do it yet.
    """

    name: str
    state: StepState = StepState.PENDING
    attempts: int = 0
    at: datetime | None = None
    detail: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An immutable snapshot; every move returns the next one. Instants are UTC. `moved_by` are the retries heard so far."""

    id: str
    key: str
    quote_id: str
    customer_id: str
    items: tuple[Item, ...]
    accepted_at: datetime
    steps: tuple[Step, ...]
    state: OrderState = OrderState.OPEN
    changed_at: datetime | None = None
    subscription_id: str | None = None
    moved_by: tuple[str, ...] = ()

    @property
    def next_step(self) -> Step | None:
        """The first step that is not done."""
        return next((step for step in self.steps if step.state is not StepState.DONE), None)

    @property
    def to_undo(self) -> tuple[Step, ...]:
        """What compensation has to take back, the last done first."""
        asked = {StepState.DONE, StepState.WAITING}
        return tuple(
            step
            for step in reversed(self.steps)
            if step.state in asked or (step.state is StepState.FAILED and step.silent)
        )

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done."""
        return self.state not in {OrderState.COMPLETED, OrderState.CANCELLED}

    @property
    def waiting(self) -> Waiting | None:
        """Whose move it is; None when nothing is left to do."""
        if not self.is_open:
            return None
        since = self.changed_at or self.accepted_at
        step = self.next_step
        if self.state is OrderState.WAITING and step:
            limit = since + CALL_BACK_WITHIN
            return Waiting(
                on=Party.PROVIDER, since=since, until=limit, next_action=f"give up on {step.name}", next_action_at=limit
            )
        retry_at = self.retry_at
        if step and retry_at:
            return Waiting(
                on=Party.US, since=since, until=retry_at, next_action=f"retry {step.name}", next_action_at=retry_at
            )
        action = f"provision {step.name}" if step else "activate"
        if self.state is OrderState.COMPENSATING:
            action = f"undo {self.to_undo[0].name}" if self.to_undo else "cancel"
        return Waiting(on=Party.US, since=since, until=since, next_action=action, next_action_at=since)

    @property
    def retry_at(self) -> datetime | None:
        """When a target that could not be asked is asked again."""
        step = self.next_step
        if step is None or step.state is not StepState.UNAVAILABLE or step.at is None:
            return None
        return step.at + RETRY_WAITS[min(step.attempts, len(RETRY_WAITS)) - 1]

    def step(self, name: str) -> Step:
        """The step of that name. Raises NotFound."""
        found = next((step for step in self.steps if step.name == name), None)
        if found is None:
            raise NotFound(f"order {self.key} has no step {name}")
        return found

    def answered(self, name: str, state: StepState, at: datetime, detail: str = "") -> "Order":
        """A target answered, or called back: the step is in `state`. A step that is done stays done."""
        was = self.step(name)
        if was.state is StepState.DONE and state is not StepState.UNDONE:
            return self
        why = detail or (was.detail if was.silent else "")
        now = replace(was, state=state, attempts=was.attempts + 1, at=at, detail=why)
        steps = tuple(now if step.name == name else step for step in self.steps)
        order_state = {
            StepState.WAITING: OrderState.WAITING,
            StepState.FAILED: OrderState.COMPENSATING,
            StepState.UNDONE: OrderState.COMPENSATING,
            StepState.UNAVAILABLE: OrderState.STUCK
            if now.attempts >= STUCK_AFTER_ATTEMPTS
            else OrderState.PROVISIONING,
        }.get(state, OrderState.PROVISIONING)
        return replace(self, steps=steps, state=order_state, changed_at=at)

    def called_back(self, name: str, *, done: bool, at: datetime, detail: str = "", silent: bool = False) -> "Order":
        """An asynchronous target reports, or in its stead its time is over (`silent`).

        Saying the same again changes nothing; the opposite raises InvalidState.
        """
        state = StepState.DONE if done else StepState.FAILED
        was = self.step(name)
        if was.state is state:
            return self
        # One that could not be heard may have begun all the same.
        if was.state not in {StepState.WAITING, StepState.UNAVAILABLE}:
            raise InvalidState(f"step {name} of order {self.key} is {was.state}, not waiting")
        answered = self.answered(name, state, at, detail)
        steps = tuple(replace(step, silent=silent) if step.name == name else step for step in answered.steps)
        return replace(answered, steps=steps)

    def retried(self) -> Step:
        """The step whose target is asked again, now. Raises InvalidState where nothing is left to ask."""
        step = self.next_step
        if not self.is_open or self.state is OrderState.COMPENSATING or step is None:
            raise InvalidState(f"order {self.key} is {self.state}: nothing is left to retry")
        if self.state is OrderState.WAITING:
            raise InvalidState(f"step {step.name} of order {self.key} was taken on: its target will call back")
        return step

    def moved(self, cause: str) -> "Order":
        """The same, and the request `cause` is remembered, if there was one."""
        return replace(self, moved_by=(*self.moved_by, cause)[-_REMEMBERED:]) if cause else self

    def completed(self, *, subscription_id: str, at: datetime) -> "Order":
        """Everything is usable: the subscription lives."""
        return replace(self, state=OrderState.COMPLETED, subscription_id=subscription_id, changed_at=at)

    def cancelled(self, at: datetime) -> "Order":
        """Everything is taken back."""
        return replace(self, state=OrderState.CANCELLED, changed_at=at)


def steps_for(items: tuple[Item, ...]) -> tuple[Step, ...]:
    """The customer's account first, then each sold line."""
    return (Step(name="account"), *(Step(name=f"{item.plan.key}-{item.position + 1}") for item in items))


def possible(order: Order, at: datetime) -> tuple[str, ...]:
    """The verbs that `order` takes at `at`, each by its own rule; those on a step with its name."""
    rules: dict[str, Callable[[], object]] = {"retry": order.retried}
    for step in order.steps:
        if step.state is StepState.WAITING:
            for verb, done in (("complete", True), ("fail", False)):
                rules[f"steps/{step.name}/{verb}"] = partial(order.called_back, step.name, done=done, at=at)
    return tuple(verb for verb, rule in rules.items() if holds(rule))
