"""Workflows as a careless change would leave them: what began under the real code cannot go on under these."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.collection import CollectionWorkflow
    from workflows.order import OrderWorkflow
    from workflows.quote import QuoteWorkflow
    from workflows.runs import CollectionRun, OrderRun, QuoteRun, SubscriptionRun
    from workflows.subscription import SubscriptionWorkflow


async def one_more() -> None:
    """An activity that the real code does not ask for."""
    await workflow.execute_activity("greet", start_to_close_timeout=timedelta(seconds=5))


@workflow.defn(name="QuoteWorkflow")
class GreetingQuote(QuoteWorkflow):
    @workflow.init
    def __init__(self, run: QuoteRun) -> None:
        super().__init__(run)

    @workflow.run
    async def run(self, run: QuoteRun) -> None:
        await one_more()
        await super().run(run)


@workflow.defn(name="OrderWorkflow")
class GreetingOrder(OrderWorkflow):
    @workflow.init
    def __init__(self, run: OrderRun) -> None:
        super().__init__(run)

    @workflow.run
    async def run(self, run: OrderRun) -> None:
        await one_more()
        await super().run(run)


@workflow.defn(name="SubscriptionWorkflow")
class GreetingSubscription(SubscriptionWorkflow):
    @workflow.init
    def __init__(self, run: SubscriptionRun) -> None:
        super().__init__(run)

    @workflow.run
    async def run(self, run: SubscriptionRun) -> None:
        await one_more()
        await super().run(run)


@workflow.defn(name="CollectionWorkflow")
class PoliteCollection(CollectionWorkflow):
    """Does the same, but says thank you when the invoice is paid."""

    @workflow.init
    def __init__(self, run: CollectionRun) -> None:
        super().__init__(run)

    @workflow.run
    async def run(self, run: CollectionRun) -> None:
        await super().run(run)
        await one_more()
