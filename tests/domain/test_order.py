from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidState, NotFound
from domain.order import (
    CALL_BACK_WITHIN,
    RETRY_WAITS,
    STUCK_AFTER_ATTEMPTS,
    Order,
    OrderState,
    Step,
    StepState,
    steps_for,
)
from domain.waiting import Party
from tests.domain.builders import DAY, HOUR, MINUTE, NOON, items, plan

PENDING, UNAVAILABLE, WAITING = StepState.PENDING, StepState.UNAVAILABLE, StepState.WAITING
DONE, FAILED, UNDONE = StepState.DONE, StepState.FAILED, StepState.UNDONE
LATER = NOON + HOUR


def order(*states: StepState, state: OrderState = OrderState.OPEN) -> Order:
    """Its steps are named a, b, c."""
    steps = tuple(Step(name="abc"[index], state=one) for index, one in enumerate(states or (PENDING, PENDING)))
    return Order(
        id="ord_1",
        key="q1",
        quote_id="quo_1",
        customer_id="cus_1",
        items=items(plan()),
        accepted_at=NOON,
        steps=steps,
        state=state,
    )


def after(*answers: tuple[str, StepState]) -> Order:
    """What became of an order of two steps, an answer a minute."""
    made = order()
    for minute, (name, state) in enumerate(answers):
        made = made.answered(name, state, NOON + minute * MINUTE)
    return made


def states(made: Order) -> list[str]:
    return [step.state.value for step in made.steps]


class TestSteps:
    def test_are_the_account_first_and_then_each_sold_line(self):
        sold = items(plan(key="gym"), plan(key="pool"), plan(key="gym"))
        assert [step.name for step in steps_for(sold)] == ["account", "gym-1", "pool-2", "gym-3"]

    def test_have_names(self):
        with pytest.raises(NotFound, match="no step z"):
            order().step("z")

    def test_come_one_after_the_other(self):
        assert [
            made.next_step and made.next_step.name for made in (order(), order(DONE, PENDING), order(DONE, DONE))
        ] == [
            "a",
            "b",
            None,
        ]


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("answer", "becomes"),
        [
            (DONE, OrderState.PROVISIONING),
            (WAITING, OrderState.WAITING),
            (UNAVAILABLE, OrderState.PROVISIONING),
            (FAILED, OrderState.COMPENSATING),
            (UNDONE, OrderState.COMPENSATING),
        ],
    )
    def test_says_where_the_order_stands(self, answer: StepState, becomes: OrderState):
        answered = order().answered("a", answer, LATER, "said so")
        assert (answered.state, answered.changed_at) == (becomes, LATER)
        assert answered.step("a") == Step(name="a", state=answer, attempts=1, at=LATER, detail="said so")

    @pytest.mark.parametrize("answer", [PENDING, UNAVAILABLE, WAITING, DONE, FAILED])
    def test_to_a_step_that_is_done_changes_nothing_but_an_undo(self, answer: StepState):
        done = after(("a", DONE))
        assert done.answered("a", answer, LATER) == done
        assert states(done.answered("a", UNDONE, LATER)) == ["undone", "pending"]

    def test_leaves_the_other_steps_alone(self):
        assert states(after(("a", DONE), ("b", UNAVAILABLE))) == ["done", "unavailable"]


class TestATargetThatCannotBeAsked:
    @pytest.mark.parametrize(
        ("attempts", "wait", "state"),
        [
            (1, MINUTE, OrderState.PROVISIONING),
            (2, 5 * MINUTE, OrderState.PROVISIONING),
            (3, 30 * MINUTE, OrderState.PROVISIONING),
            (4, 2 * HOUR, OrderState.STUCK),
            (5, 6 * HOUR, OrderState.STUCK),
            (6, 6 * HOUR, OrderState.STUCK),
            (50, 6 * HOUR, OrderState.STUCK),
        ],
    )
    def test_is_asked_again_ever_more_rarely_and_stuck_in_the_end(
        self, attempts: int, wait: timedelta, state: OrderState
    ):
        made = after(*[("a", UNAVAILABLE)] * attempts)
        last = NOON + (attempts - 1) * MINUTE
        assert (made.retry_at, made.state) == (last + wait, state)
        assert (attempts >= STUCK_AFTER_ATTEMPTS) == (state is OrderState.STUCK)
        assert list(RETRY_WAITS) == sorted(RETRY_WAITS)

    def test_that_answers_at_last_lets_the_order_go_on(self):
        made = after(*[("a", UNAVAILABLE)] * 5, ("a", DONE))
        assert (made.state, made.retry_at) == (OrderState.PROVISIONING, None)
        assert made.next_step == Step(name="b")

    @pytest.mark.parametrize("state", [PENDING, WAITING, DONE, FAILED])
    def test_is_the_only_one_that_is_retried(self, state: StepState):
        assert order(state, DONE).retry_at is None


class TestACallBack:
    def waiting(self) -> Order:
        return after(("a", WAITING))

    @pytest.mark.parametrize(
        ("done", "step", "becomes"),
        [(True, "done", OrderState.PROVISIONING), (False, "failed", OrderState.COMPENSATING)],
    )
    def test_settles_the_step_that_waits_for_it(self, done: bool, step: str, becomes: OrderState):
        reported = self.waiting().called_back("a", done=done, at=LATER, detail="x")
        assert (states(reported)[0], reported.state, reported.changed_at) == (step, becomes, LATER)

    @pytest.mark.parametrize("done", [True, False])
    def test_twice_is_the_same_as_once(self, done: bool):
        once = self.waiting().called_back("a", done=done, at=LATER)
        assert once.called_back("a", done=done, at=LATER + DAY, detail="again") == once

    @pytest.mark.parametrize("done", [True, False])
    def test_that_says_the_opposite_is_refused(self, done: bool):
        once = self.waiting().called_back("a", done=done, at=LATER)
        with pytest.raises(InvalidState, match="not waiting"):
            once.called_back("a", done=not done, at=LATER)

    @pytest.mark.parametrize(("done", "state"), [(True, DONE), (False, FAILED)])
    def test_to_a_step_whose_target_could_not_be_heard_counts(self, done: bool, state: StepState):
        assert order(UNAVAILABLE).called_back("a", done=done, at=LATER).step("a").state is state

    @pytest.mark.parametrize("state", [PENDING, UNDONE])
    @pytest.mark.parametrize("done", [True, False])
    def test_nobody_waits_for_is_refused(self, state: StepState, done: bool):
        with pytest.raises(InvalidState, match=f"is {state}, not waiting"):
            order(state).called_back("a", done=done, at=LATER)

    def test_to_a_step_that_is_not_there_is_refused(self):
        with pytest.raises(NotFound):
            self.waiting().called_back("z", done=True, at=LATER)


class TestCompensation:
    def test_takes_back_the_last_first_and_what_may_still_be_done(self):
        assert [step.name for step in order(DONE, DONE, FAILED).to_undo] == ["b", "a"]
        assert [step.name for step in order(DONE, WAITING, PENDING).to_undo] == ["b", "a"]
        assert [step.name for step in order(UNDONE, UNDONE, FAILED).to_undo] == []

    def test_takes_back_what_never_called_back_but_not_what_failed_by_its_own_word(self):
        waiting = after(("a", DONE), ("b", WAITING))
        given_up = waiting.called_back("b", done=False, at=LATER, detail="no call back", silent=True)
        assert [step.name for step in given_up.to_undo] == ["b", "a"]
        assert given_up.answered("b", UNDONE, LATER).step("b").detail == "no call back"
        assert [step.name for step in waiting.called_back("b", done=False, at=LATER).to_undo] == ["a"]

    def test_goes_on_until_everything_is_undone(self):
        made = after(("a", DONE), ("b", FAILED))
        assert made.state is OrderState.COMPENSATING
        made = made.answered("a", UNDONE, LATER)
        assert (made.state, made.to_undo, made.is_open) == (OrderState.COMPENSATING, (), True)
        cancelled = made.cancelled(LATER + DAY)
        assert (cancelled.state, cancelled.is_open, cancelled.changed_at) == (OrderState.CANCELLED, False, LATER + DAY)


def test_a_completed_order_has_its_subscription():
    made = after(("a", DONE), ("b", DONE)).completed(subscription_id="sub_1", at=LATER)
    assert (made.state, made.subscription_id, made.is_open) == (OrderState.COMPLETED, "sub_1", False)


class TestWaiting:
    @pytest.mark.parametrize(
        ("made", "on", "action", "at"),
        [
            (order(), Party.US, "provision a", NOON),
            (after(("a", DONE)), Party.US, "provision b", NOON),
            (after(("a", UNAVAILABLE)), Party.US, "retry a", NOON + MINUTE),
            (after(*[("a", UNAVAILABLE)] * 4), Party.US, "retry a", NOON + 3 * MINUTE + 2 * HOUR),
            (after(("a", WAITING)), Party.PROVIDER, "give up on a", NOON + CALL_BACK_WITHIN),
            (after(("a", DONE), ("b", DONE)), Party.US, "activate", NOON + MINUTE),
            (after(("a", DONE), ("b", FAILED)), Party.US, "undo a", NOON + MINUTE),
            (after(("a", FAILED)), Party.US, "cancel", NOON),
            (after(("a", DONE), ("b", FAILED), ("a", UNDONE)), Party.US, "cancel", NOON + 2 * MINUTE),
        ],
    )
    def test_says_whose_move_it_is_and_what_comes_next(self, made: Order, on: Party, action: str, at: datetime):
        waits = made.waiting
        assert waits is not None
        assert (waits.on, waits.next_action, waits.next_action_at, waits.until) == (on, action, at, at)
        assert waits.since == (made.changed_at or NOON)

    def test_is_over_when_the_order_is_closed(self):
        closed = [order(DONE).completed(subscription_id="sub_1", at=LATER), order(UNDONE).cancelled(LATER)]
        assert [made.waiting for made in closed] == [None, None]


answers = st.lists(st.sampled_from([DONE, UNAVAILABLE, WAITING]), max_size=12)


@given(answers)
def test_whatever_targets_answer_an_order_goes_forward(drawn: Sequence[StepState]):
    """Done steps stay done and first, and as long as something is left there is a next action."""
    made = order(PENDING, PENDING, PENDING)
    done = 0
    for minute, answer in enumerate(drawn):
        step = made.next_step
        if step is None:
            break
        made = made.answered(step.name, answer, NOON + minute * MINUTE)
        was, done = done, states(made).count("done")
        assert done >= was
        assert states(made)[:done] == ["done"] * done
        assert made.waiting is not None
        assert made.waiting.next_action_at is not None
        assert made.waiting.next_action_at >= NOON + minute * MINUTE
