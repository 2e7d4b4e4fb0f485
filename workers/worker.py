"""The worker: where doors meet activities, and nowhere else."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.billing import BillingActivities
from activities.collecting import CollectingActivities
from activities.customers import CustomerActivities
from activities.ordering import OrderingActivities
from activities.quoting import QuotingActivities
from workers.doors import Doors
from workers.telemetry import traced
from workflows.collection import CollectionWorkflow
from workflows.order import OrderWorkflow
from workflows.payment_method import PaymentMethodWorkflow
from workflows.quote import QuoteWorkflow
from workflows.subscription import SubscriptionWorkflow

WORKFLOWS = (QuoteWorkflow, OrderWorkflow, SubscriptionWorkflow, CollectionWorkflow, PaymentMethodWorkflow)


def build_worker(client: Client, doors: Doors, *, task_queue: str) -> Worker:
    """A worker for every workflow and activity. `client` carries the plugin (workers.plugin)."""
    payments, target, mail = (
        traced(doors.payments, "payments"),
        traced(doors.target, "provisioning"),
        traced(doors.mail, "mail"),
    )
    quoting = QuotingActivities(open_books=doors.open_books, lifecycles=doors.lifecycles)
    ordering = OrderingActivities(open_books=doors.open_books, target=target, lifecycles=doors.lifecycles)
    billing = BillingActivities(open_books=doors.open_books)
    customers = CustomerActivities(open_books=doors.open_books, payments=payments, lifecycles=doors.lifecycles)
    collecting = CollectingActivities(
        open_books=doors.open_books,
        payments=payments,
        mail=mail,
        lifecycles=doors.lifecycles,
        clock=doors.clock,
    )
    return Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        activities=[
            quoting.offer,
            quoting.revise,
            quoting.move,
            quoting.accept,
            ordering.provision,
            ordering.call_back,
            ordering.undo,
            ordering.cancel_order,
            ordering.activate,
            billing.close_period,
            billing.cancel,
            collecting.settle,
            collecting.charge,
            collecting.look_up,
            collecting.act,
            customers.use_method,
        ],
        graceful_shutdown_timeout=timedelta(seconds=20),
    )
