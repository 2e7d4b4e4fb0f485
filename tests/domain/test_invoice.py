import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import CurrencyMismatch, InvalidState
from domain.invoice import Invoice, InvoiceState, LineKind
from domain.money import Money
from tests.domain.builders import BUYER, DAY, NOON, SELLER, draft_of, eur, issued, line

DRAFT, OPEN, PAID = InvoiceState.DRAFT, InvoiceState.OPEN, InvoiceState.PAID
VOID, WRITTEN_OFF = InvoiceState.VOID, InvoiceState.WRITTEN_OFF


def in_state(state: InvoiceState) -> Invoice:
    invoice = draft_of(id=f"inv_{state}")
    return {
        DRAFT: invoice,
        OPEN: issued(),
        PAID: issued().paid_with(eur("119.00"), NOON),
        VOID: draft_of(state=VOID),
        WRITTEN_OFF: issued().written_off(),
    }[state]


def finalized(invoice: Invoice, balance: Money) -> Invoice:
    return invoice.finalized(number="IW-1", issued_at=NOON, due_at=NOON, balance=balance, seller=SELLER, buyer=BUYER)


class TestSums:
    def test_leave_discounts_out_of_the_subtotal_and_burns_in(self):
        invoice = draft_of(
            line("100.00"), line("-30.00", kind=LineKind.CREDIT_BURN), line("-7.00", kind=LineKind.DISCOUNT)
        )
        assert [one.text for one in (invoice.subtotal, invoice.discount, invoice.tax, invoice.total)] == [
            "70.00",
            "7.00",
            "11.97",
            "74.97",
        ]

    def test_of_a_draft_without_lines_are_nothing(self):
        nothing = draft_of(lines=(), taxes=())
        assert (nothing.subtotal, nothing.total, nothing.amount_due) == (eur("0"),) * 3

    def test_never_mix_currencies(self):
        with pytest.raises(CurrencyMismatch):
            _ = draft_of(line(), currency="USD", taxes=()).subtotal


class TestFinalized:
    def test_gives_the_number_and_the_instants_and_keeps_the_lines(self):
        invoice = issued(net_days=14)
        assert (invoice.number, invoice.issued_at, invoice.due_at) == ("IW-2026-000001", NOON, NOON + 14 * DAY)
        assert (invoice.state, invoice.paid_at, invoice.lines) == (OPEN, None, draft_of().lines)

    def test_remembers_who_sold_and_who_bought(self):
        assert (issued().seller, issued().buyer) == (SELLER, BUYER)

    @pytest.mark.parametrize(
        ("balance", "applied", "due", "state"),
        [
            ("0", "0.00", "119.00", OPEN),
            ("19.00", "19.00", "100.00", OPEN),
            ("119.00", "119.00", "0.00", PAID),
            ("500.00", "119.00", "0.00", PAID),
            ("-5.00", "0.00", "119.00", OPEN),
        ],
    )
    def test_spends_the_balance_before_anything_is_asked_for(
        self, balance: str, applied: str, due: str, state: InvoiceState
    ):
        invoice = issued(balance=balance)
        assert (invoice.credits_applied.text, invoice.amount_due.text, invoice.state) == (applied, due, state)
        assert invoice.paid_at == (NOON if state is PAID else None)

    @pytest.mark.parametrize("amount", ["0.00", "-40.00"])
    def test_with_nothing_due_is_paid_at_once_and_leaves_the_balance_alone(self, amount: str):
        invoice = issued(line(amount), balance="10.00")
        assert (invoice.state, invoice.paid_at) == (PAID, NOON)
        assert (invoice.credits_applied.text, invoice.amount_due.text) == ("0.00", "0.00")

    def test_keeps_a_total_below_zero_with_its_tax(self):
        invoice = issued(line("-40.00"))
        assert (invoice.total.text, invoice.tax.text, invoice.amount_due.text) == ("-47.60", "-7.60", "0.00")


class TestPaid:
    def test_once_nothing_is_outstanding(self):
        half = issued().paid_with(eur("100.00"), NOON + DAY)
        assert (half.state, half.outstanding.text, half.paid_at) == (OPEN, "19.00", None)
        paid = half.paid_with(eur("19.00"), NOON + 2 * DAY)
        assert (paid.state, paid.outstanding.text, paid.paid_at) == (PAID, "0.00", NOON + 2 * DAY)

    def test_still_says_what_was_due(self):
        assert in_state(PAID).amount_due.text == "119.00"
        assert issued(balance="19.00").paid_with(eur("100.00"), NOON).amount_due.text == "100.00"

    @pytest.mark.parametrize("amount", ["119.01", "0.00", "-1.00"])
    def test_with_what_does_not_fit_is_refused(self, amount: str):
        with pytest.raises(InvalidState, match=r"does not fit the 119\.00 outstanding"):
            issued().paid_with(eur(amount), NOON)

    def test_in_another_currency_is_refused(self):
        with pytest.raises(CurrencyMismatch):
            issued().paid_with(Money(100, "USD"), NOON)


MOVES = {
    "finalized": lambda invoice: finalized(invoice, eur("0")),
    "paid_with": lambda invoice: invoice.paid_with(eur("119.00"), NOON),
    "written_off": lambda invoice: invoice.written_off(),
}
ALLOWED = {(DRAFT, "finalized"): OPEN, (OPEN, "paid_with"): PAID, (OPEN, "written_off"): WRITTEN_OFF}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("state", InvoiceState)
def test_every_move_from_every_state(state: InvoiceState, move: str):
    invoice = in_state(state)
    assert invoice.state is state
    if (state, move) in ALLOWED:
        after = MOVES[move](invoice)
        assert after.state is ALLOWED[state, move]
        assert after.lines == invoice.lines
    else:
        with pytest.raises(InvalidState, match=f"is {state}, not"):
            MOVES[move](invoice)


amounts = st.integers(-(10**6), 10**6)


@given(st.lists(amounts, max_size=6), amounts)
def test_what_is_due_is_never_below_zero_and_a_balance_never_overspent(lines: list[int], balance: int):
    drawn = [line(amount=Money(minor, "EUR")) for minor in lines] or [line("0.00")]
    invoice = finalized(draft_of(*drawn), Money(balance, "EUR"))
    assert invoice.total == invoice.subtotal - invoice.discount + invoice.tax
    assert invoice.amount_due.minor == max(0, invoice.total.minor - invoice.credits_applied.minor)
    assert 0 <= invoice.credits_applied.minor <= max(0, balance)
    assert (invoice.state is PAID) == (invoice.outstanding.minor == 0)


@given(st.integers(1, 10**6), st.lists(st.integers(1, 10**6), max_size=8))
def test_payments_end_exactly_at_what_was_due(due: int, payments: list[int]):
    invoice = issued(line(amount=Money(due, "EUR"), rate="0"))
    for minor in payments:
        fits = invoice.state is OPEN and minor <= invoice.outstanding.minor
        if fits:
            invoice = invoice.paid_with(Money(minor, "EUR"), NOON)
        else:
            with pytest.raises(InvalidState):
                invoice.paid_with(Money(minor, "EUR"), NOON)
    assert invoice.amount_paid.minor + invoice.outstanding.minor == due
    assert (invoice.state is PAID) == (invoice.amount_paid.minor == due)
