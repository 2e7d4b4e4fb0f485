"""Documents: what is printed is what was decided, in the seller's language."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from api.documents import invoice_document, quote_document
from api.price_book import read_price_book
from domain.calendar import Period
from domain.customer import Customer
from domain.discount import Discount
from domain.document import Language, Standing
from domain.invoice import Invoice, InvoiceState, LineItem, LineKind
from domain.money import Money
from domain.payment import Payment, PaymentState
from domain.quote import Quote, QuoteLine
from domain.rating import Share
from domain.tax import TaxAmount
from tests.api.conftest import BOOK

AT = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
FEBRUARY = Period(date(2026, 2, 1), date(2026, 3, 1))
PRICES = read_price_book(BOOK.read_text())
PLANS = {plan.ref: plan for plan in PRICES.plans}
ADA = Customer(id="cus_1", key="ada", name="Ada", currency="EUR", created_at=AT, timezone="Europe/Berlin", country="DE")


def quote(plan="all-access", **more):
    ref = next(ref for ref in PLANS if ref.key == plan)
    line = QuoteLine(plan=ref, quantity=Decimal(2), discounts=(Discount(percent=Decimal(10), periods=3),))
    base = Quote(
        id="quo_1",
        key="q1",
        customer_id="cus_1",
        currency="EUR",
        lines=(line,),
        created_at=AT,
        valid_until=datetime(2026, 2, 27, 23, tzinfo=UTC),
    )
    return replace(base, **more)


def offer(language="en", **more):
    book = replace(PRICES, entity=replace(PRICES.entity, language=language))
    return quote_document(quote(**more), customer=ADA, book=book, plans=PLANS, at=AT)


def line(charge, amount, kind=LineKind.RECURRING, **more):
    name = f"All access: {charge}"
    return LineItem(
        charge=charge,
        kind=kind,
        description=f"Discount on {name}" if kind is LineKind.DISCOUNT else name,
        quantity="1",
        unit_amount=None if kind is LineKind.DISCOUNT else Decimal(49),
        amount=Money.parsed(amount, "EUR"),
        period=FEBRUARY,
        tax_rate=Decimal("0.19"),
        **more,
    )


def printed(*lines, payments=(), **more):
    invoice = Invoice(
        id="inv_1",
        customer_id="cus_1",
        subscription_id="sub_1",
        currency="EUR",
        timezone="Europe/Berlin",
        period=FEBRUARY,
        lines=lines,
        taxes=(TaxAmount(Decimal("0.19"), Money(8820, "EUR"), Money(1676, "EUR")),),
        credits_applied=Money(0, "EUR"),
        amount_paid=Money(0, "EUR"),
        state=InvoiceState.OPEN,
        number="IW-2026-000001",
        issued_at=AT,
        due_at=AT,
    )
    return invoice_document(replace(invoice, **more), customer=ADA, book=PRICES, payments=payments)


class TestAnInvoice:
    def test_is_dated_on_the_customers_day(self):
        assert printed(line("base", "49.00")).issued_on == date(2026, 2, 1)

    def test_shows_each_discount_below_what_it_is_taken_from(self):
        off = LineKind.DISCOUNT
        document = printed(
            line("base", "49.00"), line("sauna", "49.00"), line("base", "-4.90", off), line("sauna", "-4.90", off)
        )
        assert [(row.amount, row.is_discount) for row in document.lines] == [
            ("49.00", False),
            ("-4.90", True),
            ("49.00", False),
            ("-4.90", True),
        ]

    def test_repeats_the_sums(self):
        document = printed(line("base", "98.00"), line("base", "-9.80", LineKind.DISCOUNT))
        assert (document.subtotal, document.discount, document.total) == ("98.00", "9.80", "104.96")
        assert [(tax.rate, tax.base, tax.amount) for tax in document.taxes] == [("0.19", "88.20", "16.76")]

    def test_names_both_parties_as_they_were_when_it_was_issued(self):
        then = replace(PRICES.entity, legal_name="Iron Works & Sons", language="de")
        document = printed(line("base", "49.00"), seller=then, buyer=replace(ADA.buyer, name="Ada Byron"))
        assert (document.seller, document.customer.name, document.language) == (then, "Ada Byron", Language.DE)

    def test_says_what_part_of_a_period_was_billed(self):
        assert printed(line("base", "24.50", proration=Share(14, 28))).lines[0].prorated == (14, 28)

    def test_gives_no_time_to_what_is_sold_for_good(self):
        licence = line("licence", "49.00", LineKind.ONE_TIME)
        assert (printed(licence).period, printed(licence).lines[0].period) == (None, None)
        mixed = printed(licence, line("base", "49.00"))
        assert (mixed.period, [row.period for row in mixed.lines]) == (FEBRUARY, [None, FEBRUARY])

    def test_that_was_paid_by_transfer_names_no_card(self):
        declined = Payment(
            id="pay_1",
            invoice_id="inv_1",
            customer_id="cus_1",
            attempt=1,
            amount=Money(100, "EUR"),
            method="pm_1",
            method_label="visa •4242",
            at=AT,
            state=PaymentState.FAILED,
        )
        assert printed(payments=[declined]).payment_method == "visa •4242"
        assert printed(state=InvoiceState.PAID, paid_at=AT, payments=[declined]).payment_method is None

    def test_stands_where_it_stands(self):
        paid = printed(line("base", "49.00"), state=InvoiceState.PAID, paid_at=AT)
        assert (paid.standing, paid.paid_on) == (Standing.PAID, date(2026, 2, 1))


class TestAQuote:
    def test_is_valid_through_its_last_whole_day(self):
        assert offer().valid_until == date(2026, 2, 27)

    def test_estimates_the_first_invoice_as_it_will_be(self):
        estimate = offer().estimate
        assert estimate is not None
        assert (estimate.subtotal, estimate.discount, estimate.total) == ("49.00", "4.90", "52.48")

    def test_estimates_nothing_where_nothing_is_billed_first(self):
        free = {ref: replace(plan, charges=()) for ref, plan in PLANS.items()}
        document = quote_document(quote(), customer=ADA, book=PRICES, plans=free, at=AT)
        assert document.estimate is None

    def test_words_prices_discounts_and_term(self):
        [row] = offer().lines
        assert [(p.description, p.amount, p.unit) for p in row.prices] == [
            ("base", "49.00", "per month"),
            ("courts", "4.50", "each"),
        ]
        assert row.discounts == ("10% off for the first 3 periods",)
        assert row.remarks == ("runs until it is cancelled",)
        yearly = quote(plan="yearly")
        [row] = quote_document(yearly, customer=ADA, book=PRICES, plans=PLANS, at=AT).lines
        assert row.remarks == ("3 years, renews by itself",)

    @pytest.mark.parametrize(
        ("language", "words"), [("en", "Prices are net of tax."), ("de", "Alle Preise verstehen sich netto.")]
    )
    def test_speaks_the_sellers_language(self, language, words):
        document = offer(language)
        assert document.language is Language(language)
        assert document.terms.startswith(words)

    def test_says_who_accepted_it(self):
        document = offer(accepted_by="Ada", accepted_at=AT)
        assert (document.accepted_by, document.accepted_on) == ("Ada", date(2026, 2, 1))
