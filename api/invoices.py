"""Invoices: what was billed, as JSON and as paper. An invoice is named by id, by number, or `q1#2`: the second of q1."""

from typing import Annotated

from fastapi import Query, Response

from api import showing, showing_money, shown, shown_money
from api.access import Call, Calling
from api.answers import Paged, answer, pdf
from api.context import Context, Doors
from api.customers import whose
from api.docs import PDF, says
from api.documents import invoice_document
from api.endpoint import router
from domain.invoice import Invoice, InvoiceState
from store.lists import list_invoices
from store.naming import invoice_named, keys_of

routes = router("invoices")

_EXAMPLE: showing.Shown = {
    "number": "IW-2026-000001",
    "customer": "ada",
    "subscription": "q1",
    "seller": {
        "key": "gym",
        "legal_name": "Iron Works Ltd",
        "country": "DE",
        "tax_id": "DE123456789",
        "address": ["Weg 1"],
    },
    "buyer": {"name": "Ada", "country": "DE", "tax_id": None, "address": ["Allee 2"]},
    "issued_at": "2026-01-31T08:05:00Z",
    "period": {"start": "2026-01-31", "end": "2026-02-28"},
    "currency": "EUR",
    "lines": [{"charge": "base", "kind": "recurring", "quantity": "1", "unit_amount": "49.00", "amount": "49.00"}],
    "subtotal": "49.00",
    "discount": "0.00",
    "tax": "9.31",
    "total": "58.31",
    "credits_applied": "0.00",
    "amount_due": "58.31",
    "state": "paid",
}


@routes.get("/v1/invoices", responses=says(shown.Page[shown_money.Invoice], {"data": [_EXAMPLE], "next_cursor": None}))
async def get_invoices(
    context: Doors,
    call: Calling,
    asked: Paged,
    customer: str | None = None,
    subscription: Annotated[str | None, Query(description="Id or key.")] = None,
    state: Annotated[InvoiceState | None, Query()] = None,
) -> Response:
    """Invoices with their lines, newest first."""
    page = await list_invoices(
        context.engine, asked, customer=await whose(context, call, customer), subscription=subscription, state=state
    )
    keys = await keys_of(context.pool, (id_ for one in page.data for id_ in (one.customer_id, one.subscription_id)))
    shown = (_shown(invoice, keys[invoice.customer_id], keys[invoice.subscription_id]) for invoice in page.data)
    return answer(showing.page(shown, page.next_cursor))


@routes.get("/v1/invoices/{id}", responses=says(shown_money.Invoice, _EXAMPLE, codes="not_found"))
async def get_invoice(id: str, context: Doors, call: Calling) -> Response:
    """One invoice."""
    invoice = await _named(context, call, id)
    keys = await keys_of(context.pool, [invoice.customer_id, invoice.subscription_id])
    return answer(_shown(invoice, keys[invoice.customer_id], keys[invoice.subscription_id]))


@routes.get("/v1/invoices/{id}/pdf", response_class=Response, responses=PDF)
async def get_invoice_pdf(id: str, context: Doors, call: Calling) -> Response:
    """The invoice as its customer reads it."""
    invoice = await _named(context, call, id)
    async with context.open_books() as books:
        customer = await books.customers.get(invoice.customer_id)
        book = await books.catalog.current()
        payments = await books.payments.of_invoice(invoice.id)
        collection = await books.collections.get(invoice.id) if invoice.state is InvoiceState.OPEN else None
    document = invoice_document(invoice, customer=customer, book=book, payments=payments, collection=collection)
    return pdf(context.render_invoice(document), f"{invoice.number or invoice.id}.pdf")


async def _named(context: Context, call: Call, name: str) -> Invoice:
    invoice_id = await invoice_named(context.pool, name)
    async with context.open_books() as books:
        invoice = await books.invoices.get(invoice_id)
    call.sees(invoice.customer_id, f"invoice {name}")
    return invoice


def _shown(invoice: Invoice, customer: str, subscription: str) -> shown_money.Invoice:
    return showing_money.invoice(invoice, customer=customer, subscription=subscription)
