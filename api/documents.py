"""Documents: what an invoice or a quote says on paper, chosen and worded from the books.

    invoice, customer, price book ──► InvoiceDocument ──► a renderer
    quote, plans, customer, price book ──► QuoteDocument, with the first invoice as an estimate

Nothing is decided here: amounts are the invoice's own, and the estimate is drafted by the code that will bill.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from api.list_prices import list_prices
from api.phrases import Phrases
from domain import document as paper
from domain.calendar import local_day
from domain.catalog import Plan, PriceBook
from domain.customer import Customer
from domain.deal import begun, first_draft, ordered
from domain.dunning import Collection
from domain.errors import DomainError
from domain.invoice import Invoice, InvoiceState, LineItem, LineKind
from domain.money import plain, price_text
from domain.payment import Payment, PaymentState
from domain.quote import Quote, QuoteLine
from domain.subscription import Plans
from domain.tax import TaxAmount


def invoice_document(
    invoice: Invoice,
    *,
    customer: Customer,
    book: PriceBook,
    payments: Sequence[Payment] = (),
    collection: Collection | None = None,
) -> paper.InvoiceDocument:
    """The invoice as its customer reads it; `payments` are the attempts at it, `collection` is that of an open one."""
    seller, issued_at = invoice.seller or book.entity, invoice.issued_at
    rows = _invoice_lines(invoice)
    issued_on = local_day(issued_at, invoice.timezone) if issued_at else invoice.period.starts_on
    settling = paper.Settling.PAY
    if collection is not None:
        settling = paper.settling(collection, has_method=customer.payment_method is not None)
    charge_at = collection.charge_at if collection else None
    return paper.InvoiceDocument(
        language=paper.Language(seller.language),
        seller=seller,
        customer=invoice.buyer or customer.buyer,
        number=invoice.number,
        issued_on=issued_on,
        due_on=local_day(invoice.due_at, invoice.timezone) if invoice.due_at else issued_on,
        currency=invoice.currency,
        lines=tuple(rows),
        subtotal=invoice.subtotal.text,
        discount=invoice.discount.text,
        taxes=_taxes(invoice.taxes),
        total=invoice.total.text,
        credits_applied=invoice.credits_applied.text,
        amount_due=invoice.amount_due.text,
        standing=paper.Standing(invoice.state),
        period=invoice.period if any(row.period for row in rows) else None,
        paid_on=local_day(invoice.paid_at, invoice.timezone) if invoice.paid_at else None,
        payment_method=customer.method_label if settling is paper.Settling.CHARGE else _tried(invoice, payments),
        settling=settling,
        charged_on=local_day(charge_at, invoice.timezone) if charge_at else None,
    )


def quote_document(
    quote: Quote, *, customer: Customer, book: PriceBook, plans: Plans, at: datetime
) -> paper.QuoteDocument:
    """The offer as its customer reads it, with what the first invoice would say if it were accepted at `at`."""
    says = Phrases(paper.Language(book.entity.language))
    accepted_at = quote.accepted_at
    return paper.QuoteDocument(
        language=says.language,
        seller=book.entity,
        customer=customer.buyer,
        number=quote.key,
        issued_on=local_day(quote.created_at, customer.timezone),
        # Valid until an instant: the day of the last moment before it is the last day.
        valid_until=local_day(quote.valid_until - timedelta(microseconds=1), customer.timezone),
        currency=quote.currency,
        lines=tuple(_offered(line, plans[line.plan], says) for line in quote.lines),
        estimate=_estimate(quote, customer, book, plans, accepted_at or at),
        terms=says.terms(inclusive=book.inclusive, metered=any(plan.is_metered for plan in plans.values())),
        accepted_by=quote.accepted_by,
        accepted_on=local_day(accepted_at, customer.timezone) if accepted_at else None,
    )


def _tried(invoice: Invoice, payments: Sequence[Payment]) -> str | None:
    """What paid the invoice; while it is open, what was last asked to."""
    paid = invoice.state is InvoiceState.PAID
    return next((p.method_label for p in reversed(payments) if not paid or p.state is PaymentState.SUCCEEDED), None)


def _taxes(taxes: Iterable[TaxAmount]) -> tuple[paper.DocumentTax, ...]:
    return tuple(paper.DocumentTax(rate=plain(tax.rate), base=tax.base.text, amount=tax.amount.text) for tax in taxes)


def _invoice_lines(invoice: Invoice) -> list[paper.DocumentLine]:
    """The lines with each discount below what it is taken from."""
    discounts = [line for line in invoice.lines if line.kind is LineKind.DISCOUNT]
    rows: list[paper.DocumentLine] = []
    for line in invoice.lines:
        if line.kind is LineKind.DISCOUNT:
            continue
        rows.append(_row(line))
        for less in [one for one in discounts if _is_off(one, line)][:1]:
            discounts.remove(less)
            rows.append(_row(less, is_discount=True))
    return rows + [_row(less) for less in discounts]


def _is_off(discount: LineItem, line: LineItem) -> bool:
    return discount.description.endswith(line.description) and discount.period == line.period


def _row(line: LineItem, *, is_discount: bool = False) -> paper.DocumentLine:
    return paper.DocumentLine(
        description=line.description,
        amount=line.amount.text,
        quantity=None if is_discount else line.quantity,
        unit_amount=None
        if is_discount or line.unit_amount is None
        else price_text(line.unit_amount, line.amount.currency),
        # What is sold once is not sold for a time.
        period=None if is_discount or line.kind is LineKind.ONE_TIME else line.period,
        prorated=(line.proration.days, line.proration.of) if line.proration and not is_discount else None,
        is_discount=is_discount,
    )


def _offered(line: QuoteLine, plan: Plan, says: Phrases) -> paper.QuoteLine:
    return paper.QuoteLine(
        plan=plan.name,
        quantity=plain(line.quantity),
        prices=list_prices(plan, says),
        discounts=tuple(says.discount(less, plan.currency) for less in line.discounts),
        remarks=says.remarks(plan),
    )


def _estimate(quote: Quote, customer: Customer, book: PriceBook, plans: Plans, at: datetime) -> paper.Estimate | None:
    """The first invoice, drafted as it will be; None where there is none to draft."""
    try:
        sold, turn = begun(ordered(quote, at), customer, plans, at)
        draft = first_draft(sold, turn, customer, plans, book)
    except DomainError:
        return None
    return None if draft is None else _estimated(draft, local_day(turn.issue_at, customer.timezone))


def _estimated(draft: Invoice, issued_on: date) -> paper.Estimate:
    return paper.Estimate(
        subtotal=draft.subtotal.text,
        discount=draft.discount.text,
        taxes=_taxes(draft.taxes),
        total=draft.total.text,
        issued_on=issued_on,
    )
