"""PaymentMethodWorkflow: give a customer a payment method, whatever crashes meanwhile."""

from temporalio import workflow

from activities.customers import CustomerActivities, UseMethod
from workflows.options import PROVIDER

__all__ = ["PaymentMethodWorkflow", "UseMethod"]


@workflow.defn
class PaymentMethodWorkflow:
    """Save it at the provider, record it, wake the collections that wait for it.

    Id: `payment-method/{customer_id}/{token}`. Ends when that is done, or when the provider will never take the method.
    """

    @workflow.run
    async def run(self, command: UseMethod) -> None:
        """One activity; its retries are the story."""
        await workflow.execute_activity_method(CustomerActivities.use_method, command, **PROVIDER)
