from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.catalog import DunningPolicy
from domain.dunning import (
    CLOSED_STATES,
    Action,
    ActionKind,
    Collection,
    CollectionState,
    StuckReason,
)
from domain.payment import DeclineClass, PaymentState
from domain.waiting import Party
from tests.domain.builders import DAY, HOUR, MINUTE, NOON, collection, policy

CHARGE, READ, REMIND = ActionKind.CHARGE, ActionKind.READ, ActionKind.REMIND
SUSPEND, MARK_STUCK, WRITE_OFF = ActionKind.SUSPEND, ActionKind.MARK_STUCK, ActionKind.WRITE_OFF
OPEN, RETRYING, AWAITING = CollectionState.OPEN, CollectionState.RETRYING, CollectionState.AWAITING_CUSTOMER
PROCESSING, STUCK = CollectionState.PROCESSING, CollectionState.STUCK
PAID, WRITTEN_OFF = CollectionState.PAID, CollectionState.WRITTEN_OFF
SOFT, HARD = DeclineClass.TIMED, DeclineClass.NEVER

QUIET = policy(suspend_after=None, write_off_after=None)


def declined(one: Collection, at: datetime = NOON, decline: DeclineClass = SOFT, code: str = "some_code") -> Collection:
    return one.attempted(PaymentState.FAILED, decline, code, at)


def tried(one: Collection, outcome: str, at: datetime = NOON) -> Collection:
    """One attempt, and what came of it."""
    return {
        "paid": lambda: one.attempted(PaymentState.SUCCEEDED, None, None, at),
        "soft": lambda: declined(one, at),
        "hard": lambda: declined(one, at, HARD),
        "authenticate": lambda: one.attempted(PaymentState.REQUIRES_ACTION, None, None, at),
        "asked to authenticate": lambda: declined(one, at, DeclineClass.CUSTOMER, "authentication_required"),
        "processing": lambda: one.attempted(PaymentState.PROCESSING, None, None, at),
        "unknown": lambda: one.attempted(PaymentState.UNKNOWN, None, None, at),
        "no method": lambda: one.unchargeable(at),
    }[outcome]()


def due(one: Collection) -> tuple[str, timedelta] | None:
    """What time does next, and how long after noon of the day of issue."""
    action = one.next_action
    return (action.kind.value, action.at - NOON) if action else None


def left_to_time(one: Collection, outcomes: str = "soft", until: timedelta = 400 * DAY) -> list[tuple[str, timedelta]]:
    """All that time does to it, each charge with the next of the outcomes (the last for all that follow).

    That the provider is asked now and then is left out, but where money is on its way.
    """
    drawn = outcomes.split(", ")
    done: list[tuple[str, timedelta]] = []
    while (action := one.next_action) and action.at <= NOON + until:
        if action.kind is not READ or one.in_flight:
            done.append((action.kind.value, action.at - NOON))
        if action.kind is CHARGE:
            one = tried(one, drawn.pop(0) if len(drawn) > 1 else drawn[0], action.at)
        elif action.kind is READ:
            one = one.looked(action.at)
        else:
            one = one.acted(action)
        assert len(done) < 200
    return done


def times(done: list[tuple[str, timedelta]], kind: ActionKind) -> list[int]:
    """On which days."""
    return [after // DAY for what, after in done if what == kind.value]


class TestFirstCharge:
    @pytest.mark.parametrize(("net_days", "after"), [(0, 0), (1, 1), (14, 14), (30, 30)])
    def test_is_at_issue_without_terms_and_else_when_due(self, net_days: int, after: int):
        one = collection(policy(net_days=net_days, write_off_after=None))
        assert due(one) == ("charge", after * DAY)
        assert (one.state, one.due_at, one.first_charge_at) == (OPEN, NOON + net_days * DAY, NOON + after * DAY)
        assert (one.attempts, one.amount_due.text) == (0, "119.00")

    def test_that_brings_the_money_ends_it(self):
        paid = tried(collection(), "paid")
        assert (paid.state, paid.attempts, paid.next_action, paid.waiting) == (PAID, 1, None, None)


class TestRetries:
    def test_each_count_from_the_failure_before_it(self):
        done = left_to_time(collection(policy("1 3 5 7", suspend_after=None, write_off_after=None)))
        assert times(done, CHARGE) == [0, 1, 4, 9, 16]

    def test_count_from_when_the_failure_was_known_not_from_when_it_was_due(self):
        late = declined(collection(QUIET), NOON + 2 * HOUR)
        assert due(late) == ("charge", DAY + 2 * HOUR)
        assert due(declined(late, NOON + 2 * DAY)) == ("charge", 5 * DAY)

    def test_count_from_the_first_failure_where_there_are_terms(self):
        done = left_to_time(collection(policy("2 2", net_days=14, suspend_after=None, write_off_after=None)))
        assert times(done, CHARGE) == [14, 16, 18]

    def test_of_a_slow_policy(self):
        """One retry done on the tenth day, the next due on the sixteenth (scenario-dunning-retrying)."""
        rules = policy("8 8 8 8 8 8", suspend_after=40 * DAY, write_off_after=120 * DAY)
        assert times(left_to_time(collection(rules)), CHARGE)[:3] == [0, 8, 16]

    def test_that_are_used_up_leave_it_to_the_customer(self):
        one = declined(declined(collection(policy("2"))), NOON + 2 * DAY)
        assert (one.state, one.cause, one.charge_at) == (AWAITING, StuckReason.RETRIES_EXHAUSTED, None)
        assert (one.attempts, one.retries_used, one.retries_left) == (2, 1, 0)

    def test_of_none_leave_it_to_the_customer_at_once(self):
        assert declined(collection(policy(""))).cause is StuckReason.RETRIES_EXHAUSTED

    @pytest.mark.parametrize("decline", [one for one in DeclineClass if one.is_soft])
    def test_follow_a_soft_decline(self, decline: DeclineClass):
        one = declined(collection(), decline=decline, code="try_again_later")
        assert (one.state, one.retries_used, one.last_decline) == (RETRYING, 1, "try_again_later")

    def test_do_not_follow_a_request_that_only_we_can_mend(self):
        one = declined(collection(), decline=DeclineClass.US, code="request_rejected")
        assert (one.state, one.stuck_reason, one.charge_at) == (STUCK, StuckReason.PROCESS_FAILING, None)
        assert one.waiting is not None
        assert one.waiting.on is Party.US
        # Nobody is dunned for our own fault, nor for the time that it took us.
        assert one.next_action is None
        mended = one.method_changed(NOON + 20 * DAY)
        assert left_to_time(mended, "hard")[:2] == [("charge", 20 * DAY), ("suspend", 20 * DAY)]

    @pytest.mark.parametrize("decline", [DeclineClass.NEVER, DeclineClass.CUSTOMER])
    def test_do_not_follow_a_hard_one(self, decline: DeclineClass):
        one = declined(collection(), decline=decline, code="lost_card")
        assert (one.state, one.retries_used, one.cause) == (AWAITING, 0, StuckReason.HARD_DECLINE)
        assert (one.charge_at, one.last_decline) == (None, "lost_card")

    def test_follow_a_refusal_without_a_reason(self):
        assert collection().attempted(PaymentState.FAILED, None, None, NOON).state is RETRYING


class TestReminders:
    @pytest.mark.parametrize(
        ("net_days", "reminders", "sent"),
        [(0, "-3 0 3 10", [0, 3, 10]), (14, "-3 0 3 10", [11, 14, 17, 24]), (2, "-3 -2 -1", [0, 1]), (0, "-1", [])],
    )
    def test_count_from_due_and_never_lie_before_issue(self, net_days: int, reminders: str, sent: list[int]):
        rules = policy("9 9 9", reminders, net_days=net_days, suspend_after=None, write_off_after=None)
        assert times(left_to_time(collection(rules)), REMIND) == sent

    def test_are_sent_in_order_however_they_are_written(self):
        rules = policy("", "10 3 0", suspend_after=None, write_off_after=None)
        assert times(left_to_time(collection(rules)), REMIND) == [0, 3, 10]

    def test_at_one_instant_are_one(self):
        rules = policy("", "3 3", suspend_after=None, write_off_after=None)
        assert times(left_to_time(collection(rules)), REMIND) == [3]

    def test_stop_when_the_money_is_there(self):
        rules = policy("1", "0 3", suspend_after=None, write_off_after=None)
        assert times(left_to_time(collection(rules), "paid"), REMIND) == []
        assert times(left_to_time(collection(rules), "soft, paid"), REMIND) == [0]

    def test_go_on_while_it_is_stuck(self):
        rules = policy("", "0 30", stuck_after=DAY, suspend_after=None, write_off_after=None)
        done = left_to_time(collection(rules), "hard")
        assert (times(done, MARK_STUCK), times(done, REMIND)) == ([1], [0, 30])


class TestSuspensionAndWriteOff:
    @pytest.mark.parametrize(("net_days", "suspended", "written_off"), [(0, 40, 120), (14, 54, 134)])
    def test_count_from_due(self, net_days: int, suspended: int, written_off: int):
        """Access is cut forty days after due (scenario-dunning-suspend-40)."""
        rules = policy("8 8 8 8 8 8", net_days=net_days, suspend_after=40 * DAY, write_off_after=120 * DAY)
        done = left_to_time(collection(rules))
        assert (times(done, SUSPEND), times(done, WRITE_OFF)) == ([suspended], [written_off])
        assert done[-1][0] == "write_off"

    def test_never_come_where_the_policy_names_none(self):
        done = left_to_time(collection(QUIET))
        assert (times(done, SUSPEND), times(done, WRITE_OFF)) == ([], [])

    def test_are_lifted_by_payment(self):
        suspended = collection().acted(Action(kind=SUSPEND, at=NOON + 14 * DAY))
        assert suspended.suspended
        assert not suspended.paid(NOON + 15 * DAY).suspended

    def test_of_a_written_off_invoice_leave_nothing_pending(self):
        stuck = replace(tried(collection(), "hard"), suspended=True, state=STUCK, stuck_reason=StuckReason.HARD_DECLINE)
        gone = stuck.acted(Action(kind=WRITE_OFF, at=NOON + 60 * DAY))
        assert (gone.state, gone.since, gone.next_action, gone.waiting) == (WRITTEN_OFF, NOON + 60 * DAY, None, None)
        assert (gone.charge_at, gone.read_at, gone.suspended, gone.cause, gone.stuck_reason) == (
            None,
            None,
            False,
            None,
            None,
        )

    def test_come_though_the_process_was_down_with_the_dates_they_should_have_had(self):
        """Nothing asks what time it is: what is overdue is worked off in order, each with its own instant."""
        rules = policy("1 1", "0 3", stuck_after=3 * DAY, suspend_after=4 * DAY, write_off_after=10 * DAY)
        assert left_to_time(collection(rules)) == [
            ("charge", 0 * DAY),
            ("remind", 0 * DAY),
            ("charge", 1 * DAY),
            ("charge", 2 * DAY),
            ("remind", 3 * DAY),
            ("suspend", 4 * DAY),
            ("mark_stuck", 5 * DAY),
            ("write_off", 10 * DAY),
        ]


class TestStuck:
    @pytest.mark.parametrize(
        ("outcome", "reason", "after"),
        [
            ("no method", StuckReason.NO_PAYMENT_METHOD, 3 * DAY),
            ("authenticate", StuckReason.AUTHENTICATION_REQUIRED, 3 * DAY),
            ("asked to authenticate", StuckReason.AUTHENTICATION_REQUIRED, 3 * DAY),
            ("hard", StuckReason.HARD_DECLINE, 3 * DAY),
            ("soft", StuckReason.RETRIES_EXHAUSTED, 3 * DAY),
            ("unknown", StuckReason.UNKNOWN_OUTCOME, 3 * DAY),
            ("processing", StuckReason.PROCESSING_TOO_LONG, 7 * DAY),
        ],
    )
    def test_after_its_limit_and_says_why(self, outcome: str, reason: StuckReason, after: timedelta):
        rules = policy("", stuck_after=3 * DAY, suspend_after=None, write_off_after=None)
        one = tried(collection(rules), outcome)
        assert (one.cause, one.stuck_reason) == (reason, None)
        while one.next_action and one.next_action.kind is READ:
            one = one.looked(one.next_action.at)
        assert due(one) == ("mark_stuck", after)
        stuck = one.acted(one.next_action)
        assert (stuck.state, stuck.stuck_reason, stuck.since) == (STUCK, reason, NOON + after)

    def test_after_the_retries_of_two_days_each(self):
        """scenario-dunning-exhausted: given up on day 4, stuck on day 7."""
        rules = policy("2 2", "-3 0 3 10", stuck_after=3 * DAY, suspend_after=30 * DAY, write_off_after=60 * DAY)
        done = left_to_time(collection(rules))
        assert (times(done, CHARGE), times(done, MARK_STUCK)) == ([0, 2, 4], [7])

    def test_never_while_a_retry_is_to_come(self):
        rules = policy("30", stuck_after=DAY, suspend_after=None, write_off_after=None)
        assert left_to_time(collection(rules))[1] == ("charge", 30 * DAY)

    def test_of_no_patience_is_stuck_at_once(self):
        rules = policy("", stuck_after=timedelta(0), suspend_after=None, write_off_after=None)
        assert due(tried(collection(rules), "hard")) == ("mark_stuck", timedelta(0))

    def test_is_marked_once(self):
        rules = policy("", stuck_after=DAY, suspend_after=None, write_off_after=None)
        assert left_to_time(collection(rules), "hard") == [("charge", timedelta(0)), ("mark_stuck", DAY)]

    def test_no_more_once_its_outcome_is_known(self):
        rules = policy("1", stuck_after=timedelta(0), suspend_after=None, write_off_after=None)
        unknown = tried(collection(rules), "unknown")
        stuck = unknown.acted(Action(kind=MARK_STUCK, at=NOON))
        for outcome, decline, state in [
            (PaymentState.FAILED, SOFT, RETRYING),
            (PaymentState.FAILED, HARD, AWAITING),
            (PaymentState.REQUIRES_ACTION, None, AWAITING),
            (PaymentState.PROCESSING, None, PROCESSING),
            (PaymentState.SUCCEEDED, None, PAID),
        ]:
            known = stuck.resolved(outcome, decline, None, NOON + HOUR)
            assert (known.state, known.stuck_reason, known.since) == (state, None, NOON + HOUR)


class TestLate:
    def test_by_hours_changes_nothing(self):
        one = declined(collection(policy("2 2", "3 10")))
        assert one.behind(23 * HOUR) == one

    def test_by_months_all_that_is_to_come_keeps_its_distance(self):
        rules = policy("2 2", "1 10", suspend_after=14 * DAY, write_off_after=60 * DAY)
        one = declined(collection(rules)).behind(90 * DAY)
        assert left_to_time(one, "soft")[:6] == [
            ("remind", 91 * DAY),
            ("charge", 92 * DAY),
            ("charge", 94 * DAY),
            ("mark_stuck", 97 * DAY),
            ("remind", 100 * DAY),
            ("suspend", 104 * DAY),
        ]

    def test_a_reminder_is_sent_once_and_the_next_one_when_its_time_has_passed(self):
        one = (
            collection(policy("", "0 3 10", net_days=30))
            .acted(Action(kind=REMIND, at=NOON + 30 * DAY))
            .behind(40 * DAY)
        )
        assert one.reminded_until == NOON + 70 * DAY
        reminders = [after // DAY for what, after in left_to_time(replace(one, charge_at=None)) if what == "remind"]
        assert reminders == [73, 80]

    def test_what_is_closed_is_closed(self):
        paid = tried(collection(), "paid")
        assert paid.behind(90 * DAY) == paid


class TestOutcomeToCome:
    @pytest.mark.parametrize(("outcome", "first"), [("unknown", 5 * MINUTE), ("processing", 15 * MINUTE)])
    def test_is_looked_up_after_an_hour_and_then_ever_more_rarely(self, outcome: str, first: timedelta):
        one = tried(collection(QUIET), outcome)
        assert (one.state, one.charge_at) == (PROCESSING, None)
        after = [first, first + HOUR, 2 * (first + HOUR), 4 * (first + HOUR)]
        assert left_to_time(one, until=after[-1]) == [("read", wait) for wait in after]
        assert times(left_to_time(one, until=6 * DAY), READ)[-3:] == [3, 4, 5]

    @pytest.mark.parametrize("outcome", ["authenticate", "asked to authenticate"])
    def test_that_is_the_customers_to_give_is_looked_up_too(self, outcome: str):
        assert due(tried(collection(QUIET), outcome)) == ("read", 15 * MINUTE)

    def test_is_looked_up_as_soon_as_the_provider_says_so(self):
        retrying = declined(collection(QUIET)).told(NOON + HOUR)
        assert due(retrying) == ("read", HOUR)
        assert due(retrying.looked(NOON + HOUR)) == ("charge", DAY)
        assert tried(collection(), "paid").told(NOON + HOUR).read_at is None

    @pytest.mark.parametrize("outcome", ["processing", "unknown"])
    def test_is_never_dunned_nor_given_up(self, outcome: str):
        rules = policy("1", "0 3", suspend_after=3 * DAY, write_off_after=6 * DAY, stuck_after=30 * DAY)
        done = left_to_time(tried(collection(rules), outcome), until=40 * DAY)
        assert {what for what, _ in done} == {"read", "mark_stuck"}

    def test_and_then_fails_is_dunned_from_then_on_without_the_mails_of_that_time(self):
        rules = policy("", "0 3 10", suspend_after=3 * DAY, write_off_after=6 * DAY, stuck_after=30 * DAY)
        late = tried(collection(rules), "processing").resolved(PaymentState.FAILED, HARD, None, NOON + 5 * DAY)
        assert left_to_time(late) == [("suspend", 5 * DAY), ("write_off", 6 * DAY)]

    def test_is_looked_up_also_when_it_is_stuck(self):
        rules = policy("", stuck_after=timedelta(0), suspend_after=None, write_off_after=None)
        stuck = tried(collection(rules), "unknown").acted(Action(kind=MARK_STUCK, at=NOON))
        assert due(stuck) == ("read", 5 * MINUTE)

    @pytest.mark.parametrize("outcome", ["unknown", "processing"])
    @pytest.mark.parametrize(
        ("known", "decline", "state", "next_"),
        [
            (PaymentState.SUCCEEDED, None, PAID, None),
            (PaymentState.FAILED, SOFT, RETRYING, ("charge", DAY + 2 * HOUR)),
            (PaymentState.FAILED, HARD, AWAITING, ("read", 2 * HOUR + 15 * MINUTE)),
            (PaymentState.REQUIRES_ACTION, None, AWAITING, ("read", 2 * HOUR + 15 * MINUTE)),
        ],
    )
    def test_once_it_is_known_goes_its_way(
        self, outcome: str, known: PaymentState, decline: DeclineClass | None, state: CollectionState, next_: object
    ):
        one = tried(collection(QUIET), outcome).resolved(known, decline, None, NOON + 2 * HOUR)
        assert (one.state, one.in_flight, one.attempts) == (state, False, 1)
        assert due(one) == next_

    def test_that_never_happened_is_charged_anew_under_a_new_number(self):
        one = tried(collection(QUIET), "unknown").not_executed(NOON + HOUR)
        assert (one.state, due(one), one.attempts) == (OPEN, ("charge", HOUR), 1)
        assert one.attempted(PaymentState.SUCCEEDED, None, None, NOON + HOUR).state is PAID

    def test_that_never_happens_again_and_again_is_asked_for_more_rarely_and_then_wants_a_person(self):
        one = collection(policy("1 2", "0 1 2", stuck_after=3 * DAY, suspend_after=DAY, write_off_after=2 * DAY))
        one = one.acted(Action(kind=REMIND, at=NOON))
        charged: list[timedelta] = []
        while (action := one.next_action) and action.kind is CHARGE:
            charged.append(action.at - NOON)
            one = tried(one, "unknown", action.at).not_executed(action.at + 5 * MINUTE)
        minutes = [after // MINUTE for after in charged]
        assert minutes[:7] == [0, 5, 15, 35, 75, 155, 315]
        assert all(later - earlier <= DAY + 5 * MINUTE for earlier, later in pairwise(charged))
        assert due(one) == ("mark_stuck", 3 * DAY + 5 * MINUTE)
        stuck = one.acted(action)
        assert (stuck.state, stuck.stuck_reason) == (STUCK, StuckReason.PROVIDER_UNAVAILABLE)
        assert stuck.next_action is None
        late = NOON + 10 * DAY
        paid = stuck.method_changed(late).attempted(PaymentState.SUCCEEDED, None, None, late)
        assert (paid.state, paid.unheard_since) == (PAID, None)

    def test_unknown_that_turns_out_to_be_on_its_way_gets_the_banks_patience(self):
        one = tried(collection(QUIET), "unknown").resolved(PaymentState.PROCESSING, None, None, NOON + 5 * MINUTE)
        assert (one.cause, due(one)) == (StuckReason.PROCESSING_TOO_LONG, ("read", 20 * MINUTE))


class TestNewPaymentMethod:
    @pytest.mark.parametrize("outcome", ["no method", "authenticate", "hard"])
    @pytest.mark.parametrize("stuck", [False, True])
    def test_is_charged_at_once_where_nothing_is_scheduled(self, outcome: str, stuck: bool):
        one = tried(collection(policy("")), outcome)
        if stuck:
            one = one.acted(Action(kind=MARK_STUCK, at=NOON + 3 * DAY))
        changed = one.method_changed(NOON + 4 * DAY)
        assert (changed.state, changed.cause, changed.stuck_reason) == (OPEN, None, None)
        assert due(changed) == ("charge", 4 * DAY)

    @pytest.mark.parametrize("outcome", ["soft", "processing", "unknown"])
    def test_waits_for_what_is_scheduled(self, outcome: str):
        one = tried(collection(), outcome)
        assert one.method_changed(NOON + HOUR) == one

    def test_waits_for_the_first_charge(self):
        one = collection(policy(net_days=14))
        assert one.method_changed(NOON + HOUR) == one

    @pytest.mark.parametrize("outcome", ["processing", "unknown"])
    def test_is_never_charged_while_the_outcome_of_the_last_charge_is_open(self, outcome: str):
        """Stuck, but asked: who asked and did not hear must not ask for the money a second time."""
        stuck = tried(collection(), outcome).acted(Action(kind=MARK_STUCK, at=NOON + 7 * DAY))
        assert stuck.state is STUCK
        assert stuck.method_changed(NOON + 8 * DAY) == stuck

    def test_is_charged_at_once_also_before_a_retry_where_access_is_shut(self):
        shut = replace(declined(collection(policy("20"))), suspended=True)
        assert due(shut.method_changed(NOON + 15 * DAY)) == ("charge", 15 * DAY)
        assert due(replace(shut, suspended=False).method_changed(NOON + DAY)) != ("charge", DAY)

    def test_does_not_bring_an_invoice_forward_that_is_not_due(self):
        early = collection(policy(net_days=14)).unchargeable(NOON + DAY)
        assert due(early.method_changed(NOON + 2 * DAY)) == ("charge", 14 * DAY)

    def test_does_not_wake_what_is_closed(self):
        paid = tried(collection(), "paid")
        assert paid.method_changed(NOON + DAY) == paid

    def test_that_is_declined_softly_goes_on_with_the_retries_that_are_left(self):
        one = tried(collection(policy("1 3")), "hard").method_changed(NOON + DAY)
        assert due(declined(one, NOON + DAY)) == ("charge", 2 * DAY)
        used_up = declined(declined(declined(collection(policy("1")), NOON), NOON + DAY).method_changed(NOON + 2 * DAY))
        assert used_up.cause is StuckReason.RETRIES_EXHAUSTED


def test_at_one_instant_it_charges_looks_up_reminds_suspends_marks_and_writes_off():
    rules = policy("1", "0", stuck_after=timedelta(0), suspend_after=timedelta(0), write_off_after=timedelta(0))
    everything = replace(collection(rules), read_at=NOON, cause=StuckReason.HARD_DECLINE)
    done: list[ActionKind] = []
    while (action := everything.next_action) is not None:
        assert action.at == NOON
        done.append(action.kind)
        match action.kind:
            case ActionKind.CHARGE:
                everything = replace(everything, charge_at=None)
            case ActionKind.READ:
                everything = everything.looked(action.at)
            case _:
                everything = everything.acted(action)
    assert done == [CHARGE, READ, REMIND, SUSPEND, MARK_STUCK, WRITE_OFF]


def test_a_charge_is_told_by_its_outcome_alone():
    with pytest.raises(ValueError, match="outcome"):
        collection().acted(Action(kind=CHARGE, at=NOON))
    with pytest.raises(ValueError, match="outcome"):
        collection().acted(Action(kind=READ, at=NOON))


class TestWaiting:
    @pytest.mark.parametrize(
        ("outcome", "on", "until"),
        [
            ("soft", Party.US, DAY),
            ("hard", Party.CUSTOMER, 3 * DAY),
            ("no method", Party.CUSTOMER, 3 * DAY),
            ("authenticate", Party.CUSTOMER, 3 * DAY),
            ("processing", Party.BANK, 7 * DAY),
            ("unknown", Party.BANK, 3 * DAY),
        ],
    )
    def test_says_whose_move_it_is_and_up_to_when(self, outcome: str, on: Party, until: timedelta):
        """`until` is the limit of the wait, not the next time we look."""
        one = tried(collection(), outcome)
        waits = one.waiting
        assert waits is not None
        assert (waits.on, waits.since, waits.until) == (on, NOON, NOON + until)
        shown = one if one.in_flight else replace(one, read_at=None)
        assert (waits.next_action, waits.next_action_at) == (shown.next_action.kind, shown.next_action.at)

    def test_for_the_first_charge_is_ours(self):
        waits = collection(policy(net_days=14)).waiting
        assert waits is not None
        assert (waits.on, waits.until, waits.next_action) == (Party.US, NOON + 14 * DAY, CHARGE)

    def test_without_a_next_action_has_no_end(self):
        stuck = tried(collection(replace(QUIET, retries=())), "hard").acted(Action(kind=MARK_STUCK, at=NOON + 3 * DAY))
        waits = stuck.waiting
        assert waits is not None
        assert (waits.on, waits.until, waits.next_action, waits.next_action_at) == (Party.US, None, None, None)


waits = st.integers(0, 30).map(lambda days: days * DAY)
policies = st.builds(
    DunningPolicy,
    net_days=st.sampled_from([0, 14]),
    retries=st.lists(st.integers(1, 9).map(lambda days: days * DAY), max_size=4).map(tuple),
    reminders=st.lists(st.integers(-20, 40).map(lambda days: days * DAY), max_size=4).map(tuple),
    suspend_after=st.none() | waits,
    stuck_after=waits,
    write_off_after=st.none() | waits.map(lambda wait: wait + 10 * DAY),
)
OUTCOMES = ["soft", "soft", "soft", "hard", "authenticate", "processing", "unknown", "no method", "paid"]
KNOWN = [
    (PaymentState.FAILED, SOFT),
    (PaymentState.FAILED, HARD),
    (PaymentState.REQUIRES_ACTION, None),
    (PaymentState.PROCESSING, None),
    (PaymentState.SUCCEEDED, None),
]


@settings(max_examples=150)
@given(policies, st.data())
def test_whatever_happens_time_never_goes_backwards(rules: DunningPolicy, data: st.DataObject):
    """Along any sequence of outcomes and facts from outside: no action lies before what has happened, no charge is made
    while one is open, and what is closed or stuck says so everywhere.
    """
    one, now = collection(rules), NOON
    for _ in range(25):
        action = one.next_action
        if action is None:
            break
        assert action.at >= now
        fact = data.draw(st.sampled_from(["time", "time", "time", "method", "told", "known", "no trace"]))
        seconds = int((action.at - now).total_seconds())
        between = now + timedelta(seconds=data.draw(st.integers(0, seconds)))
        before = one
        if fact == "method":
            one, now = one.method_changed(between), between
        elif fact == "told":
            one, now = one.told(between), between
        elif fact == "known" and one.in_flight:
            one, now = one.resolved(*data.draw(st.sampled_from(KNOWN)), None, between), between
        elif fact == "no trace" and one.in_flight:
            one, now = one.not_executed(between), between
        elif action.kind is READ:
            one, now = one.looked(action.at), action.at
        elif action.kind is CHARGE:
            one, now = tried(one, data.draw(st.sampled_from(OUTCOMES)), action.at), action.at
        else:
            one, now = one.acted(action), action.at
        assert one.attempts >= before.attempts
        assert one.retries_used <= len(rules.retries)
        assert not (one.charge_at and one.in_flight)
        assert (one.stuck_reason is not None) == (one.state is STUCK)
        assert (one.state in {RETRYING, OPEN}) == (one.charge_at is not None)
        if one.state in CLOSED_STATES:
            assert (one.next_action, one.charge_at, one.read_at, one.suspended) == (None, None, None, False)


@settings(max_examples=60)
@given(policies, st.lists(st.sampled_from(OUTCOMES), max_size=8))
def test_left_to_time_alone_it_is_paid_or_given_up(rules: DunningPolicy, outcomes: list[str]):
    one, drawn = collection(replace(rules, write_off_after=rules.write_off_after or 60 * DAY)), list(outcomes)
    while (action := one.next_action) is not None:
        match action.kind:
            case ActionKind.CHARGE:
                one = tried(one, drawn.pop(0) if drawn else "soft", action.at)
            case ActionKind.READ:
                one = one.resolved(PaymentState.FAILED, HARD, None, action.at)
            case _:
                one = one.acted(action)
    assert one.state in CLOSED_STATES
