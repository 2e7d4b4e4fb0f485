"""Lifecycles over a Temporal client: start the workflow of a record, find the one that runs, tell it a fact.

Every start is under the business id with USE_EXISTING: a second start of anything finds the first. So the same calls serve
the ordinary line, repair, and a restart of everything from the books.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy

from domain.dunning import Collection
from domain.order import Order
from domain.quote import Quote
from domain.subscription import Subscription
from workflows import names
from workflows.collection import CollectionWorkflow
from workflows.order import OrderWorkflow
from workflows.quote import QuoteWorkflow
from workflows.runs import CollectionRun, OrderRun, QuoteRun, SubscriptionRun
from workflows.subscription import CancelSubscription, SubscriptionWorkflow


class TemporalLifecycles:
    """`offset` is the story's clock less the server's; zero in production."""

    def __init__(self, client: Client, *, task_queue: str, offset: timedelta = timedelta(0)) -> None:
        self._client = client
        self._task_queue = task_queue
        self._offset = offset

    async def start_quote(self, quote: Quote) -> None:
        """Run an open quote again from its record."""
        await self._start(
            QuoteWorkflow.run,
            QuoteRun(quote_id=quote.id, quote=quote, offset=self._offset),
            names.quote_workflow(quote.id),
            _attributes(quote.customer_id, quote.state),
        )

    async def start_order(self, order: Order) -> None:
        """Provision and complete `order`."""
        await self._start(
            OrderWorkflow.run,
            OrderRun(order=order, offset=self._offset),
            names.order_workflow(order.id),
            _attributes(order.customer_id, order.state),
        )

    async def start_subscription(self, subscription: Subscription, unsettled: Collection | None = None) -> None:
        """Run `subscription`."""
        await self._start(
            SubscriptionWorkflow.run,
            self._subscription_run(subscription, unsettled),
            names.subscription_workflow(subscription.id),
            _attributes(subscription.customer_id, subscription.state),
        )

    async def start_collection(self, collection: Collection) -> None:
        """Collect what is open."""
        await self._start(
            CollectionWorkflow.run,
            CollectionRun(collection=collection, offset=self._offset),
            names.collection_workflow(collection.invoice_id),
            _collection_attributes(collection),
        )

    async def wake_collection(self, collection: Collection, at: datetime) -> None:
        """Start it if it does not run, and tell it to look again."""
        await self._client.start_workflow(
            CollectionWorkflow.run,
            CollectionRun(collection=collection, offset=self._offset),
            id=names.collection_workflow(collection.invoice_id),
            task_queue=self._task_queue,
            start_signal="wake",
            start_signal_args=[at],
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=TypedSearchAttributes(list(_collection_attributes(collection))),
        )

    async def cancel_subscription(self, subscription: Subscription, cause: str, at: datetime) -> None:
        """End it at `at`. One that does not run is started."""
        start: Any = WithStartWorkflowOperation(
            SubscriptionWorkflow.run,
            self._subscription_run(subscription),
            id=names.subscription_workflow(subscription.id),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=TypedSearchAttributes(list(_attributes(subscription.customer_id, subscription.state))),
        )
        command = CancelSubscription(subscription_id=subscription.id, cause=cause, at=at)
        try:
            client: Any = self._client
            await client.execute_update_with_start_workflow(
                SubscriptionWorkflow.cancel, command, start_workflow_operation=start, id=cause
            )
        except WorkflowUpdateFailedError as error:
            # Time made it due: it must be done, so it is asked for again until it is.
            raise RuntimeError(f"{subscription.id} does not end") from error

    def _subscription_run(self, subscription: Subscription, unsettled: Collection | None = None) -> SubscriptionRun:
        return SubscriptionRun(
            subscription_id=subscription.id,
            next_due_at=subscription.next_due_at,
            state=subscription.state,
            unsettled=unsettled,
            offset=self._offset,
        )

    async def _start(self, run: Any, message: Any, id: str, attributes: Iterable[SearchAttributePair[Any]]) -> None:  # noqa: ANN401
        await self._client.start_workflow(
            run,
            message,
            id=id,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=TypedSearchAttributes(list(attributes)),
        )


def _attributes(customer_id: str, state: str) -> tuple[SearchAttributePair[Any], ...]:
    return (
        SearchAttributePair(names.CUSTOMER, customer_id),
        SearchAttributePair(names.STATE, str(state)),
    )


def _collection_attributes(collection: Collection) -> tuple[SearchAttributePair[Any], ...]:
    return (
        *_attributes(collection.customer_id, collection.state),
        SearchAttributePair(names.AMOUNT_DUE_MINOR, collection.amount_due.minor),
        SearchAttributePair(names.DUE_AT, collection.due_at),
    )
