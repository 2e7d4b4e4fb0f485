"""CollectionWorkflow: one invoice with money due, until it is paid or written off."""

from datetime import datetime

from temporalio import workflow

from activities.collecting import Act, ChargeInvoice, CollectingActivities, LookUp
from domain.dunning import Action, ActionKind, Collection
from workflows.clock import until
from workflows.names import STATE, STUCK_REASON, STUCK_SINCE, show
from workflows.options import PROVIDER, STORE
from workflows.runs import CollectionRun


@workflow.defn
class CollectionWorkflow:
    """Do what the policy says when it says so; look again whenever somebody says that something changed.

    Id: `collection/{invoice_id}`. Ends with the invoice paid or written off. The one writer of its invoice.
    """

    @workflow.init
    def __init__(self, run: CollectionRun) -> None:
        self._collection = run.collection
        self._told_at = run.told_at
        self._offset = run.offset

    @workflow.run
    async def run(self, run: CollectionRun) -> None:
        """One action after the other."""
        while self._collection.is_open:
            action = self._collection.next_action
            await until(action.at if action else None, self._offset, self._is_told, self._summary(action))
            if self._told_at is not None:
                told_at, self._told_at = self._told_at, None
                await self._look_up(told_at)
            elif action is not None:
                await self._do(action)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(
                    CollectionRun(collection=self._collection, told_at=self._told_at, offset=self._offset)
                )
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.signal
    async def wake(self, at: datetime) -> None:
        """Something outside changed at `at`: a payment method, an answer of the provider."""
        self._told_at = max(at, self._told_at or at)

    @workflow.query
    def collection(self) -> Collection:
        """The collection as this workflow sees it."""
        return self._collection

    async def _do(self, action: Action) -> None:
        match action.kind:
            case ActionKind.CHARGE:
                await self._charge(action)
            case ActionKind.READ:
                await self._look_up(action.at)
            case _:
                await self._act(action)

    async def _charge(self, action: Action) -> None:
        command = ChargeInvoice(
            invoice_id=self._collection.invoice_id, attempt=self._collection.attempts + 1, at=action.at
        )
        self._now(await workflow.execute_activity_method(CollectingActivities.charge, command, **PROVIDER))

    async def _act(self, action: Action) -> None:
        command = Act(invoice_id=self._collection.invoice_id, action=action)
        options = PROVIDER if action.kind in {ActionKind.REMIND, ActionKind.WRITE_OFF} else STORE
        self._now(await workflow.execute_activity_method(CollectingActivities.act, command, **options))

    async def _look_up(self, at: datetime) -> None:
        command = LookUp(invoice_id=self._collection.invoice_id, at=at)
        self._now(await workflow.execute_activity_method(CollectingActivities.look_up, command, **PROVIDER))

    def _now(self, collection: Collection) -> None:
        """Remember where it stands, and show it to who searches."""
        if (collection.state, collection.stuck_reason) != (self._collection.state, self._collection.stuck_reason):
            stuck = collection.stuck_reason
            show(
                STATE.value_set(collection.state),
                STUCK_REASON.value_set(stuck) if stuck else STUCK_REASON.value_unset(),
                STUCK_SINCE.value_set(collection.since) if stuck else STUCK_SINCE.value_unset(),
            )
        self._collection = collection

    def _is_told(self) -> bool:
        return self._told_at is not None

    def _summary(self, action: Action | None) -> str:
        return f"{action.kind} next" if action else "waits for a fact"
