from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from domain.calendar import Interval
from domain.catalog import Aggregation, ApprovalCondition, ApprovalRule, Charge, Meter, Plan
from domain.discount import Discount
from domain.errors import Refused
from domain.quote import (
    OPEN_STATES,
    Approval,
    Quote,
    QuoteLine,
    QuoteState,
    approvals_for,
    discount_share,
    require_sellable,
    term_months,
)
from domain.waiting import Party
from tests.domain.builders import (
    DAY,
    NOON,
    amount_off,
    commitment,
    fee,
    percent,
    plan,
    plans_by_ref,
    quote,
    setup,
    term,
    usage,
)

DRAFT, IN_APPROVAL, APPROVED = QuoteState.DRAFT, QuoteState.IN_APPROVAL, QuoteState.APPROVED
ACCEPTED, REJECTED = QuoteState.ACCEPTED, QuoteState.REJECTED
EXPIRED, WITHDRAWN = QuoteState.EXPIRED, QuoteState.WITHDRAWN
LATER = NOON + DAY
PREMIUM = quote(lines=(QuoteLine(plan=plan(key="premium").ref),))

MOVES = {
    "submit": lambda offer, at: offer.submitted(at),
    "approve": lambda offer, at: offer.approved_by("finance", at),
    "reject": lambda offer, at: offer.rejected_by("finance", at),
    "accept": lambda offer, at: offer.accepted(by="Ada", at=at, order_id="ord_1"),
    "revise": lambda offer, at: offer.revised(PREMIUM, at),
    "withdraw": lambda offer, at: offer.withdrawn(at),
}


def in_state(state: QuoteState) -> Quote:
    """One that needs the decision of finance."""
    offer = quote("finance")
    submitted = offer.submitted(NOON)
    return {
        DRAFT: offer,
        IN_APPROVAL: submitted,
        APPROVED: submitted.approved_by("finance", NOON),
        ACCEPTED: submitted.approved_by("finance", NOON).accepted(by="Ada", at=NOON, order_id="ord_1"),
        REJECTED: submitted.rejected_by("finance", NOON),
        EXPIRED: offer.expired(),
        WITHDRAWN: offer.withdrawn(NOON),
    }[state]


def outcome(offer: Quote, move: str, at=LATER) -> str:
    """The state after the move, or the code of the rule that refuses it."""
    try:
        return MOVES[move](offer, at).state
    except Refused as refused:
        return refused.code


NO, ASK = "invalid_state", "approval_required"
TABLE = {
    #             submit       approve   reject    accept    revise  withdraw
    DRAFT: ("in_approval", "approved", "rejected", ASK, "draft", "withdrawn"),
    IN_APPROVAL: (NO, "approved", "rejected", ASK, "draft", "withdrawn"),
    APPROVED: (NO, NO, NO, "accepted", "draft", "withdrawn"),
    ACCEPTED: (NO,) * 6,
    REJECTED: (NO,) * 6,
    EXPIRED: ("quote_expired",) * 6,
    WITHDRAWN: (NO,) * 6,
}


class TestMoves:
    @pytest.mark.parametrize(
        ("state", "move", "expected"),
        [(state, move, result) for state, row in TABLE.items() for move, result in zip(MOVES, row, strict=True)],
    )
    def test_from_every_state(self, state: QuoteState, move: str, expected: str):
        assert in_state(state).state is state
        assert outcome(in_state(state), move) == expected

    def test_of_an_offer_that_needs_no_decision(self):
        assert [outcome(quote(), move) for move in MOVES] == ["approved", NO, NO, "accepted", "draft", "withdrawn"]

    def test_say_when(self):
        for move in MOVES:
            offer = in_state(APPROVED if move == "accept" else DRAFT)
            assert MOVES[move](offer, LATER).changed_at == LATER

    def test_leave_the_offer_itself_alone(self):
        offer = quote("finance")
        for move in MOVES:
            outcome(offer, move)
        assert offer == quote("finance")


class TestExpiry:
    LAST = NOON + 30 * DAY - timedelta(microseconds=1)

    @pytest.mark.parametrize("move", MOVES)
    @pytest.mark.parametrize("state", sorted(OPEN_STATES))
    def test_at_its_instant_an_open_offer_takes_no_move_more(self, state: QuoteState, move: str):
        """What is due by time happens first: whoever moves at that instant finds the offer expired, recorded or not."""
        offer = in_state(state)
        assert outcome(offer, move, self.LAST) == outcome(offer, move)
        assert outcome(offer, move, offer.valid_until) == "quote_expired"
        assert outcome(offer.expired(), move, offer.valid_until) == "quote_expired"

    @pytest.mark.parametrize("state", [ACCEPTED, REJECTED, WITHDRAWN])
    def test_is_not_the_reason_where_it_was_closed_before(self, state: QuoteState):
        assert {outcome(in_state(state), move, NOON + 99 * DAY) for move in MOVES} == {NO}

    def test_dates_from_the_instant_at_which_it_was_due(self):
        expired = quote().expired()
        assert (expired.state, expired.changed_at) == (EXPIRED, NOON + 30 * DAY)

    @pytest.mark.parametrize("state", sorted(set(QuoteState) - OPEN_STATES))
    def test_leaves_a_closed_offer_as_it_is(self, state: QuoteState):
        assert in_state(state).expired() == in_state(state)


class TestDecisions:
    def test_are_all_needed(self):
        offer = quote("sales-manager", "finance").submitted(NOON)
        half = offer.approved_by("finance", LATER)
        assert (half.state, [one.approver for one in half.open_approvals]) == (IN_APPROVAL, ["sales-manager"])
        assert half.approved_by("sales-manager", LATER).state is APPROVED

    def test_against_it_end_it_whatever_the_others_said(self):
        offer = quote("sales-manager", "finance").submitted(NOON).approved_by("finance", NOON)
        assert offer.rejected_by("sales-manager", LATER).state is REJECTED

    @pytest.mark.parametrize("verb", ["approved_by", "rejected_by"])
    def test_are_for_those_who_were_asked(self, verb: str):
        offer = quote("finance").submitted(NOON)
        with pytest.raises(Refused) as refused:
            getattr(offer, verb)("sales-manager", LATER)
        assert refused.value.code == "not_an_approver"

    def test_are_made_once(self):
        offer = quote("sales-manager", "finance").approved_by("finance", NOON)
        with pytest.raises(Refused) as refused:
            offer.approved_by("finance", LATER)
        assert refused.value.code == "not_an_approver"

    def test_are_remembered_with_their_instant(self):
        (decision,) = quote("finance").approved_by("finance", LATER).approvals
        assert decision == Approval(approver="finance", reason="discount", approved=True, decided_at=LATER)


class TestRevision:
    def test_starts_anew_with_the_decisions_of_the_new_lines(self):
        offer = quote("finance").submitted(NOON).approved_by("finance", NOON)
        changed = replace(PREMIUM, approvals=quote("sales-manager").approvals, valid_until=NOON + 60 * DAY)
        revised = offer.revised(changed, LATER)
        assert (revised.state, revised.lines, revised.valid_until) == (DRAFT, PREMIUM.lines, NOON + 60 * DAY)
        assert [one.approver for one in revised.open_approvals] == ["sales-manager"]
        assert (revised.id, revised.created_at) == (offer.id, offer.created_at)

    def test_to_the_same_lines_changes_nothing(self):
        offer = quote("finance").submitted(NOON).approved_by("finance", NOON)
        assert offer.revised(quote("finance"), LATER) == offer

    def test_to_the_same_lines_for_longer_keeps_the_decisions(self):
        offer = quote("finance").submitted(NOON).approved_by("finance", NOON)
        longer = offer.revised(quote("finance", valid_until=NOON + 60 * DAY), LATER)
        assert longer == replace(offer, valid_until=NOON + 60 * DAY, changed_at=LATER)


METERS = {
    "leads": Meter(key="leads", event="lead.won", aggregation=Aggregation.COUNT, outcome=True),
    "units": Meter(key="units", event="used", aggregation=Aggregation.COUNT),
}


class TestOffering:
    @pytest.mark.parametrize(
        "charge",
        [
            usage(meter="leads", key="commit"),
            usage(pay="prepaid_credits", key="commit"),
            fee(tax_code="books", key="commit"),
        ],
        ids=["outcome", "credits", "tax"],
    )
    def test_what_would_be_billed_otherwise_than_it_says_is_refused(self, charge: Charge):
        with pytest.raises(Refused, match="plan std, charge commit: ") as refused:
            require_sellable([plan(usage(), charge, term=term(3))], METERS)
        assert refused.value.code == "not_supported"

    def test_what_can_be_billed_is_not(self):
        over_term = commitment("300.00", "usage", key="term", over="term")
        require_sellable([plan(usage(), fee(), commitment("300.00", "usage"), over_term, term=term(3))], METERS)


def test_acceptance_keeps_who_when_and_the_order():
    accepted = quote().accepted(by="Ada", at=LATER, order_id="ord_1")
    assert (accepted.accepted_by, accepted.accepted_at, accepted.order_id) == ("Ada", LATER, "ord_1")


@pytest.mark.parametrize(
    ("offer", "party"),
    [
        (quote(), Party.CUSTOMER),
        (quote("finance"), Party.US),
        (in_state(IN_APPROVAL), Party.APPROVER),
        (in_state(APPROVED), Party.CUSTOMER),
    ],
)
def test_an_open_offer_waits_for_somebody_until_it_expires(offer: Quote, party: Party):
    assert offer.waiting is not None
    assert (offer.waiting.on, offer.waiting.since) == (party, NOON)
    assert (offer.waiting.until, offer.waiting.next_action, offer.waiting.next_action_at) == (
        offer.valid_until,
        "expire",
        offer.valid_until,
    )


@pytest.mark.parametrize("state", sorted(set(QuoteState) - OPEN_STATES))
def test_a_closed_offer_waits_for_nobody(state: QuoteState):
    assert (in_state(state).waiting, in_state(state).is_open) == (None, False)


def rule(approver: str, discount_over: str | None = None, term_months_over: int | None = None) -> ApprovalRule:
    over = None if discount_over is None else Decimal(discount_over)
    return ApprovalRule(
        when=ApprovalCondition(discount_over=over, term_months_over=term_months_over), approver=approver
    )


def needed(rules: list[ApprovalRule], *lines: tuple[Plan, tuple[Discount, ...]]) -> list[tuple[str, str]]:
    plans = plans_by_ref(*(sold for sold, _ in lines))
    offered = tuple(QuoteLine(plan=sold.ref, discounts=less) for sold, less in lines)
    return [(one.approver, one.reason) for one in approvals_for(offered, plans, rules)]


class TestApprovals:
    BY_DISCOUNT, BY_TERM = rule("sales-manager", "0.20"), rule("finance", term_months_over=24)

    @pytest.mark.parametrize(
        ("discounts", "asked"),
        [
            ((), False),
            ((percent("20"),), False),
            ((percent("20.01"),), True),
            ((percent("10"), percent("11.1")), False),
            ((percent("10"), percent("11.2")), True),
            ((amount_off("6.00"),), False),
            ((amount_off("6.01"),), True),
            ((percent("10"), amount_off("3.01")), True),
        ],
    )
    def test_are_needed_over_a_discount_not_at_it(self, discounts: tuple[Discount, ...], asked: bool):
        expected = [("sales-manager", "discount over 0.20")] if asked else []
        assert needed([self.BY_DISCOUNT, self.BY_TERM], (plan(fee("30.00")), discounts)) == expected

    @pytest.mark.parametrize(
        ("interval", "count", "intervals", "asked"),
        [
            ("month", 1, 24, False),
            ("month", 1, 25, True),
            ("month", 5, 5, True),
            ("year", 1, 2, False),
            ("year", 1, 3, True),
            ("quarter", 1, 8, False),
            ("week", 1, 104, False),
            ("week", 1, 105, True),
            ("day", 30, 24, False),
            ("day", 1, 730, False),
            ("day", 1, 732, True),
        ],
    )
    def test_are_needed_over_a_term_not_at_it(self, interval: str, count: int, intervals: int, asked: bool):
        """104 weeks are 728 days, less than two years of any kind."""
        long = plan(interval=Interval(interval), interval_count=count, term=term(intervals))
        expected = [("finance", "term over 24 months")] if asked else []
        assert needed([self.BY_DISCOUNT, self.BY_TERM], (long, ())) == expected

    def test_look_at_the_worst_line(self):
        long = plan(key="long", term=term(36))
        rules = [self.BY_TERM, self.BY_DISCOUNT]
        assert [who for who, _ in needed(rules, (plan(), (percent("50"),)), (long, ()))] == ["finance", "sales-manager"]

    def test_of_one_approver_are_asked_for_once(self):
        rules = [rule("finance", "0.10"), rule("finance", "0.20")]
        assert needed(rules, (plan(), (percent("50"),))) == [("finance", "discount over 0.10")]

    @pytest.mark.parametrize(("discount", "months", "asked"), [("50", 36, True), ("50", 12, False), ("10", 36, False)])
    def test_with_two_conditions_need_both(self, discount: str, months: int, asked: bool):
        both = rule("board", "0.20", 24)
        assert bool(needed([both], (plan(term=term(months)), (percent(discount),)))) is asked

    def test_start_open(self):
        (approval,) = approvals_for(
            (QuoteLine(plan=plan().ref, discounts=(percent("50"),)),), plans_by_ref(plan()), [self.BY_DISCOUNT]
        )
        assert (approval.approved, approval.decided_at) == (None, None)


class TestDiscountShare:
    @pytest.mark.parametrize(
        ("sold", "quantity", "discounts", "share"),
        [
            (plan(fee("100.00")), "1", (), "0"),
            (plan(fee("100.00")), "1", (percent("10"), percent("20")), "28/100"),
            (plan(fee("100.00")), "1", (amount_off("25.00"),), "1/4"),
            (plan(fee("100.00")), "1", (percent("20"), amount_off("5.00")), "1/4"),
            (plan(setup("60.00"), fee("40.00")), "1", (amount_off("25.00"),), "1/4"),
            (plan(fee("40.00"), fee("60.00", "arrears", key="desk")), "1", (amount_off("25.00"),), "1/4"),
            (plan(fee("10.00"), usage("5.00")), "1", (amount_off("5.00"),), "1/2"),
            (plan(fee("10.00"), commitment("90.00", "fee")), "1", (amount_off("5.00"),), "1/2"),
            (plan(usage("1.00", meter=None, timing="advance")), "50", (amount_off("5.00"),), "1/10"),
            (plan(usage("1.00", meter=None, quantity=Decimal(20))), "50", (amount_off("5.00"),), "1/4"),
            (plan(fee("10.00")), "1", (amount_off("50.00"),), "1"),
            (plan(fee("10.00")), "1", (percent("90"), amount_off("5.00")), "1"),
            (plan(usage("5.00")), "1", (amount_off("0.01"),), "1"),
            (plan(usage("5.00")), "1", (percent("10"),), "1/10"),
            (plan(fee("100.00")), "1", (percent("10", 1), amount_off("5.00", 1)), "15/100"),
        ],
    )
    def test_is_what_comes_off_the_first_period_at_list_price(
        self, sold: Plan, quantity: str, discounts: tuple[Discount, ...], share: str
    ):
        offered = QuoteLine(plan=sold.ref, quantity=Decimal(quantity), discounts=discounts)
        assert discount_share(offered, sold) == Fraction(share)


@pytest.mark.parametrize(
    ("interval", "count", "intervals", "months"),
    [
        ("month", 1, 12, 12),
        ("month", 2, 6, 12),
        ("quarter", 1, 4, 12),
        ("half_year", 1, 3, 18),
        ("year", 1, 3, 36),
        ("week", 1, 4, 1),
        ("week", 1, 5, 2),
        ("week", 1, 52, 12),
        ("week", 1, 53, 13),
        ("day", 1, 1, 1),
        ("day", 1, 365, 12),
        ("day", 1, 367, 13),
    ],
)
def test_a_term_is_counted_in_months_begun(interval: str, count: int, intervals: int, months: int):
    assert term_months(plan(interval=Interval(interval), interval_count=count, term=term(intervals))) == months


def test_what_runs_without_a_term_has_none():
    assert term_months(plan()) == 0
