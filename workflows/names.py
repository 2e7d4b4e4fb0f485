"""Workflow ids, made here and nowhere else, and the search attributes by which people find workflows."""

from typing import Any, Literal

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate


def quote_workflow(quote_id: str) -> str:
    """The id of the workflow of a quote."""
    return f"quote/{quote_id}"


def order_workflow(order_id: str) -> str:
    """The id of the workflow of an order."""
    return f"order/{order_id}"


def subscription_workflow(subscription_id: str) -> str:
    """The id of the workflow of a subscription."""
    return f"subscription/{subscription_id}"


def collection_workflow(invoice_id: str) -> str:
    """The id of the workflow that collects an invoice."""
    return f"collection/{invoice_id}"


def payment_method_workflow(customer_id: str, token: str) -> str:
    """The id of the workflow that gives a customer a payment method; `token` names the request."""
    return f"payment-method/{customer_id}/{token}"


CUSTOMER = SearchAttributeKey.for_keyword("Customer")
STATE = SearchAttributeKey.for_keyword("LifecycleState")
STUCK_REASON = SearchAttributeKey.for_keyword("StuckReason")
STUCK_SINCE = SearchAttributeKey.for_datetime("StuckSince")
AMOUNT_DUE_MINOR = SearchAttributeKey.for_int("AmountDueMinor")
DUE_AT = SearchAttributeKey.for_datetime("DueAt")

SEARCH_ATTRIBUTES: tuple[tuple[str, Literal["Keyword", "Datetime", "Int"]], ...] = (
    (CUSTOMER.name, "Keyword"),
    (STATE.name, "Keyword"),
    (STUCK_REASON.name, "Keyword"),
    (STUCK_SINCE.name, "Datetime"),
    (AMOUNT_DUE_MINOR.name, "Int"),
    (DUE_AT.name, "Datetime"),
)


def show(*updates: SearchAttributeUpdate[Any]) -> None:
    """Make the running workflow findable by these values."""
    workflow.upsert_search_attributes(updates)  # pyright: ignore[reportUnknownMemberType]  (the SDK's own signature)
