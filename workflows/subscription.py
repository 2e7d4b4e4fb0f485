"""SubscriptionWorkflow: what was sold, running for years; one run per billing period."""

from temporalio import workflow

from activities.billing import Billed, BillingActivities, CancelSubscription, ClosePeriod
from activities.collecting import ChargeInvoice, CollectingActivities
from domain.dunning import Collection
from workflows.inbox import Inbox
from workflows.names import STATE, show
from workflows.options import PROVIDER, STORE
from workflows.runs import SubscriptionRun

__all__ = ["CancelSubscription", "SubscriptionWorkflow"]


@workflow.defn
class SubscriptionWorkflow:
    """Settle, wait for the boundary or for a change, bill, and begin the next run with what came of it.

    Id: `subscription/{subscription_id}`. Ends with the subscription, once all its usage is billed.
    """

    @workflow.init
    def __init__(self, run: SubscriptionRun) -> None:
        self._offset = run.offset
        self._inbox = Inbox[CancelSubscription, Billed]()

    @workflow.run
    async def run(self, run: SubscriptionRun) -> None:
        """One period, or one change of it."""
        await self._settle(run.unsettled)
        if run.ended:
            while asked := await self._inbox.last():
                await asked.answered_by(self._cancel(asked.command))
            return
        asked = await self._inbox.next(run.next_due_at, self._offset, "period runs")
        if asked is None:
            billed = await self._close_period(run)
        else:
            billed = await asked.answered_by(self._cancel(asked.command))
        while asked := await self._inbox.last():
            await self._settle(billed.unsettled if billed else None)
            billed = await asked.answered_by(self._cancel(asked.command)) or billed
        workflow.continue_as_new(self._next(run, billed))

    @workflow.update
    async def cancel(self, command: CancelSubscription) -> Billed:
        """End it now."""
        return await self._inbox.ask(command)

    async def _settle(self, unsettled: Collection | None) -> None:
        if unsettled is None:
            return
        command = ChargeInvoice(invoice_id=unsettled.invoice_id, attempt=unsettled.attempts + 1, at=unsettled.issued_at)
        await workflow.execute_activity_method(CollectingActivities.settle, command, **PROVIDER)

    async def _close_period(self, run: SubscriptionRun) -> Billed:
        assert run.next_due_at is not None
        command = ClosePeriod(subscription_id=run.subscription_id, due_at=run.next_due_at)
        return await workflow.execute_activity_method(BillingActivities.close_period, command, **STORE)

    async def _cancel(self, command: CancelSubscription) -> Billed:
        return await workflow.execute_activity_method(BillingActivities.cancel, command, **STORE)

    def _next(self, run: SubscriptionRun, billed: Billed | None) -> SubscriptionRun:
        """The next run; a refused change leaves things as they were."""
        if billed is None:
            return SubscriptionRun(
                subscription_id=run.subscription_id,
                next_due_at=run.next_due_at,
                state=run.state,
                offset=self._offset,
            )
        if billed.state is not run.state:
            show(STATE.value_set(billed.state))
        return SubscriptionRun(
            subscription_id=run.subscription_id,
            next_due_at=billed.next_due_at,
            state=billed.state,
            unsettled=billed.unsettled,
            ended=billed.ended,
            offset=self._offset,
        )
