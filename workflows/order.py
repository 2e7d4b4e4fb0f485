"""OrderWorkflow: one accepted order, provisioned step by step, then brought to life or taken back."""

from datetime import datetime

from temporalio import workflow

from activities.ordering import CallBack, DoStep, OrderAt, OrderingActivities
from domain.order import CALL_BACK_WITHIN, Order, OrderState, Step
from workflows.inbox import Inbox
from workflows.names import STATE, STUCK_SINCE, show
from workflows.options import PROVIDER, STORE
from workflows.runs import OrderRun

__all__ = ["CallBack", "OrderAt", "OrderWorkflow"]

# Nothing more is provisioned. The record may be ahead of the snapshot with which a run began.
_DECIDED = frozenset({OrderState.COMPENSATING, OrderState.CANCELLED, OrderState.COMPLETED})


@workflow.defn
class OrderWorkflow:
    """Each step is asked for until its target answers; a step that fails takes all others back.

    Id: `order/{order_id}`. Ends with the order completed or cancelled.
    """

    @workflow.init
    def __init__(self, run: OrderRun) -> None:
        self._order = run.order
        self._offset = run.offset
        self._due = run.order.changed_at or run.order.accepted_at
        self._inbox = Inbox[CallBack | OrderAt, Order]()
        self._cause = ""

    @workflow.run
    async def run(self, run: OrderRun) -> None:
        """Provision every step, then activate; or compensate."""
        while self._order.state not in _DECIDED and (step := self._order.next_step):
            if await self._may_ask(step):
                await self._provision(step)
        if self._order.state is OrderState.COMPENSATING:
            await self._compensate()
        elif self._order.state is not OrderState.CANCELLED:
            await self._activate()
        show(STATE.value_set(self._order.state))
        await self._refuse_the_late()
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update
    async def call_back(self, command: CallBack) -> Order:
        """An asynchronous target reports."""
        return await self._inbox.ask(command)

    @workflow.update
    async def retry(self, command: OrderAt) -> Order:
        """Ask a target that could not be asked, now."""
        return await self._inbox.ask(command)

    async def _may_ask(self, step: Step) -> bool:
        """Whether to ask for `step` now; before that, wait for its retry or its call back, and hear who speaks meanwhile."""
        if self._order.state is OrderState.WAITING:
            wait_until, summary = self._due + CALL_BACK_WITHIN, f"{step.name} calls back"
        else:
            wait_until, summary = self._order.retry_at or self._due, f"retry {step.name}"
        asked = await self._inbox.next(wait_until, self._offset, summary)
        if asked is None:
            self._due = wait_until
            if self._order.state is OrderState.WAITING:
                await self._report(
                    CallBack(
                        order_id=self._order.id,
                        step=step.name,
                        done=False,
                        at=wait_until,
                        detail="no call back",
                        silent=True,
                    )
                )
                return False
            return True
        if isinstance(asked.command, CallBack):
            self._due = max(self._due, asked.command.at)
            await asked.answered_by(self._report(asked.command))
            return False
        asked.answers.append(self._order)
        if self._order.state is OrderState.WAITING:
            return False
        self._due = max(self._due, asked.command.at)
        self._cause = asked.command.cause
        return True

    async def _provision(self, step: Step) -> None:
        command = DoStep(
            order_id=self._order.id, step=step.name, attempt=step.attempts + 1, at=self._due, cause=self._cause
        )
        self._cause = ""
        self._now(await workflow.execute_activity_method(OrderingActivities.provision, command, **PROVIDER))

    async def _report(self, command: CallBack) -> Order:
        self._now(await workflow.execute_activity_method(OrderingActivities.call_back, command, **STORE))
        return self._order

    def _now(self, order: Order) -> None:
        """Remember where it stands; one that is stuck, or no more, shows it to who searches."""
        if (order.state is OrderState.STUCK) != (self._order.state is OrderState.STUCK):
            since = order.changed_at if order.state is OrderState.STUCK else None
            show(
                STATE.value_set(order.state),
                STUCK_SINCE.value_set(since) if since else STUCK_SINCE.value_unset(),
            )
        self._order = order

    async def _compensate(self) -> None:
        for step in self._order.to_undo:
            command = DoStep(order_id=self._order.id, step=step.name, attempt=1, at=self._due)
            self._order = await workflow.execute_activity_method(OrderingActivities.undo, command, **PROVIDER)
        self._order = await workflow.execute_activity_method(
            OrderingActivities.cancel_order, self._at(self._due), **STORE
        )

    async def _activate(self) -> None:
        self._order = await workflow.execute_activity_method(OrderingActivities.activate, self._at(self._due), **STORE)

    async def _refuse_the_late(self) -> None:
        """Who asked while the order was finished gets the domain's answer."""
        while not self._inbox.is_empty:
            asked = await self._inbox.next(None, self._offset, "")
            if asked and isinstance(asked.command, CallBack):
                await asked.answered_by(self._report(asked.command))
            elif asked:
                asked.answers.append(self._order)

    def _at(self, at: datetime) -> OrderAt:
        return OrderAt(order_id=self._order.id, at=at)
