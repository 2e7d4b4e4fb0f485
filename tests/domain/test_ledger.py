from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.invoice import Invoice, InvoiceState, LineItem, LineKind
from domain.ledger import Account, Leg, Posting, invoice_posting, payment_posting, write_off_posting
from domain.money import Money
from domain.payment import Payment
from tests.domain.builders import BUYER, DAY, NOON, SELLER, draft_of, eur, issued, line

RECEIVABLE, CREDIT = Account.RECEIVABLE, Account.CUSTOMER_CREDIT


def payment(amount: Money, n: int = 1) -> Payment:
    return Payment(
        id=f"pay_{n}",
        invoice_id="inv_1",
        customer_id="cus_1",
        attempt=n,
        amount=amount,
        method="pm_card_visa",
        at=NOON,
    )


def legs(posting: Posting) -> dict[str, str]:
    return {leg.account.value: leg.amount.text for leg in posting.legs}


def balances(postings: Iterable[Posting]) -> Counter[Account]:
    sums: Counter[Account] = Counter()
    for posting in postings:
        for leg in posting.legs:
            sums[leg.account] += leg.amount.minor
    return sums


class TestAPosting:
    def test_that_does_not_balance_cannot_be_made(self):
        with pytest.raises(ValueError, match="does not balance"):
            Posting(cause="x", at=NOON, customer_id="cus_1", legs=(Leg(Account.CASH, eur("1.00")),))

    def test_of_two_currencies_cannot_be_made(self):
        mixed = (Leg(Account.CASH, eur("1.00")), Leg(RECEIVABLE, Money(-100, "USD")))
        with pytest.raises(ValueError, match="does not balance"):
            Posting(cause="x", at=NOON, customer_id="cus_1", legs=mixed)

    def test_names_its_cause_and_its_instant(self):
        invoice = issued()
        posted = [
            invoice_posting(invoice),
            payment_posting(payment(eur("1.00")), NOON + DAY),
            write_off_posting(invoice, NOON + 2 * DAY),
        ]
        assert [(one.cause, one.at) for one in posted] == [
            ("invoice/inv_1", NOON),
            ("payment/pay_1", NOON + DAY),
            ("write-off/inv_1", NOON + 2 * DAY),
        ]


class TestAnInvoice:
    def test_is_owed_earned_and_taxed(self):
        assert legs(invoice_posting(issued(line("100.00"), line("-10.00", kind=LineKind.DISCOUNT)))) == {
            "receivable": "107.10",
            "revenue": "-90.00",
            "tax_payable": "-17.10",
        }

    @pytest.mark.parametrize(
        ("balance", "booked"),
        [("19.00", {"receivable": "100.00", "customer_credit": "19.00"}), ("500.00", {"customer_credit": "119.00"})],
    )
    def test_is_first_paid_from_the_credit_balance(self, balance: str, booked: dict[str, str]):
        assert legs(invoice_posting(issued(balance=balance))) == booked | {
            "revenue": "-100.00",
            "tax_payable": "-19.00",
        }

    def test_below_zero_becomes_credit_with_its_tax(self):
        assert legs(invoice_posting(issued(line("-40.00")))) == {
            "customer_credit": "-47.60",
            "revenue": "40.00",
            "tax_payable": "7.60",
        }

    def test_of_nothing_moves_nothing(self):
        assert legs(invoice_posting(issued(line("0.00")))) == {}


def test_a_payment_is_cash_and_no_longer_owed():
    assert legs(payment_posting(payment(eur("119.00")), NOON)) == {"cash": "119.00", "receivable": "-119.00"}


def test_a_write_off_gives_up_what_is_still_outstanding():
    invoice = issued().paid_with(eur("100.00"), NOON)
    assert legs(write_off_posting(invoice, NOON)) == {"bad_debt": "19.00", "receivable": "-19.00"}
    assert legs(write_off_posting(invoice.written_off(), NOON)) == {"bad_debt": "19.00", "receivable": "-19.00"}


lines = st.builds(
    line,
    amount=st.integers(-(10**6), 10**6).map(lambda minor: Money(minor, "EUR")),
    rate=st.sampled_from(["0", "0.07", "0.19"]),
    kind=st.sampled_from([LineKind.RECURRING, LineKind.USAGE, LineKind.DISCOUNT, LineKind.CREDIT_BURN]),
)


@settings(max_examples=60)
@given(st.lists(st.lists(lines, min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_receivables_are_what_is_outstanding_and_credit_is_what_we_owe(
    drafts: list[list[LineItem]], data: st.DataObject
):
    """Whatever is invoiced, paid in whatever pieces and given up: the books balance after each step and say the same."""
    posted: list[Posting] = []
    invoices: list[Invoice] = []
    for number, drawn in enumerate(drafts):
        balance = Money(-balances(posted)[CREDIT], "EUR")
        draft = draft_of(*drawn, id=f"inv_{number}")
        invoice = draft.finalized(
            number=f"IW-{number}", issued_at=NOON, due_at=NOON, balance=balance, seller=SELLER, buyer=BUYER
        )
        posted.append(invoice_posting(invoice))
        for fate in data.draw(st.lists(st.sampled_from(["all", "part", "nothing more"]), max_size=3)):
            if invoice.state is not InvoiceState.OPEN:
                break
            if fate == "nothing more":
                posted.append(write_off_posting(invoice, NOON))
                invoice = invoice.written_off()
                continue
            left = invoice.outstanding.minor
            part = Money(left if fate == "all" else -(-left // 3), "EUR")
            posted.append(payment_posting(payment(part, len(posted)), NOON))
            invoice = invoice.paid_with(part, NOON)
        invoices.append(invoice)
        sums = balances(posted)
        assert sum(sums.values()) == 0
        outstanding = [one.outstanding.minor for one in invoices if one.state is InvoiceState.OPEN]
        assert sums[RECEIVABLE] == sum(outstanding)
        assert sums[CREDIT] <= 0
    earned = sum((one.total.minor - one.tax.minor for one in invoices), 0)
    assert balances(posted)[Account.REVENUE] == -earned
    assert balances(posted)[Account.TAX_PAYABLE] == -sum(one.tax.minor for one in invoices)


def test_tax_is_booked_apart_from_revenue_to_the_cent():
    booked = legs(invoice_posting(issued(line("0.05", rate="0.07"), line("9.99", rate="0.19"))))
    assert sum(Decimal(amount) for amount in booked.values()) == 0
    assert booked == {"receivable": "11.94", "revenue": "-10.04", "tax_payable": "-1.90"}
