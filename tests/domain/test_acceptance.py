"""A usage event is judged by what was sold to its customer at its time, or else by what is on offer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.acceptance import Counting, refusal
from domain.catalog import Aggregation, Matrix, MatrixPrice, Meter, Timing
from tests.domain.builders import NOON, instant

HOURS = Meter(key="hours", event="booked", aggregation=Aggregation.SUM, value="hours")
MINUTES = Meter(key="minutes", event="booked", aggregation=Aggregation.SUM, value="minutes")
BOOKINGS = Meter(key="bookings", event="booked", aggregation=Aggregation.COUNT)
COURTS = Matrix(
    key="courts",
    timing=Timing.ARREARS,
    meter="hours",
    dimensions=("court", "peak"),
    prices=(MatrixPrice(match={"court": "1"}, unit_amount=Decimal(12)),),
)
PEAK = replace(COURTS, prices=(MatrixPrice(match={"peak": "true"}, unit_amount=Decimal(9)),))


def code(
    data: Mapping[str, object],
    sold: Sequence[Counting] = (),
    offered: Sequence[Counting] = (),
    at: str = "2026-06-01T12:00",
) -> str | None:
    """Why an event is refused."""
    found = refusal("booked", instant(at), data, sold=sold, offered=offered)
    return found.code if found else None


def counting(
    meter: Meter = HOURS, line: str | None = "a/0", matrix: Matrix | None = None, **changed: object
) -> Counting:
    return Counting(meter=meter, line=line, matrix=matrix, **changed)  # type: ignore[arg-type]


class TestAMeter:
    def test_must_know_the_type(self):
        other = replace(HOURS, event="cancelled")
        assert code({"hours": 1}, [counting(other)], [counting(other)]) == "unknown_event"

    def test_in_force_counts_what_one_that_is_no_longer_offered_could_not(self):
        assert code({"minutes": 60}, offered=[counting(MINUTES, None)]) is None

    def test_that_is_sold_judges_alone_so_that_what_it_cannot_bill_is_not_lost_in_silence(self):
        assert code({"minutes": 60}, [counting(HOURS)], [counting(MINUTES, None)]) == "invalid_event"
        assert code({"hours": 1}, [counting(HOURS)], [counting(MINUTES, None)]) is None

    def test_is_no_judge_of_what_happened_before_it_was_sold_or_after_its_end(self):
        june = counting(HOURS, starts_at=instant("2026-06-01"), ends_at=instant("2026-07-01"))
        offered = [counting(MINUTES, None)]
        assert code({"minutes": 60}, [june], offered, at="2026-05-31T23:59") is None
        assert code({"minutes": 60}, [june], offered, at="2026-06-01") == "invalid_event"
        assert code({"minutes": 60}, [june], offered, at="2026-07-01") is None

    @pytest.mark.parametrize("place", ["sold", "offered"])
    def test_of_two_that_disagree_one_that_can_count_is_enough(self, place: str):
        two = {place: [counting(HOURS), counting(MINUTES, "b/0")]}
        assert code({"hours": 1}, **two) is None
        assert code({"minutes": 60}, **two) is None
        assert code({"seconds": 1}, **two) == "invalid_event"

    def test_of_a_line_that_sells_two_must_each_count_or_the_other_would_be_lost_in_silence(self):
        both = [counting(BOOKINGS), counting(HOURS)]
        assert code({"hours": 1}, both) is None
        assert code({}, both) == "invalid_event"
        assert code({}, offered=[counting(BOOKINGS, None), counting(HOURS, None)]) is None

    def test_that_limits_judges_only_where_nothing_is_charged(self):
        limits = [counting(BOOKINGS, None), counting(MINUTES, None)]
        assert code({}, limits) is None
        assert code({}, [counting(HOURS), *limits]) == "invalid_event"


class TestAPrice:
    @pytest.mark.parametrize("place", ["sold", "offered"])
    @pytest.mark.parametrize(
        ("court", "refused"), [("1", None), (1, None), ("7", "unmatched_dimension"), (None, "unmatched_dimension")]
    )
    def test_is_needed(self, place: str, court: object, refused: str | None):
        assert code({"hours": 1, "court": court}, **{place: [counting(matrix=COURTS)]}) == refused

    def test_is_found_by_the_text_that_the_store_groups_by(self):
        assert code({"hours": 1, "peak": True}, [counting(matrix=PEAK)]) is None

    def test_of_the_oldest_line_on_a_meter_decides(self):
        oldest, younger = counting(matrix=COURTS), counting(line="b/0", matrix=PEAK)
        assert code({"hours": 1, "court": "1"}, [oldest, younger]) is None
        assert code({"hours": 1, "peak": True}, [oldest, younger]) == "unmatched_dimension"
        ended = replace(oldest, ends_at=NOON)
        assert code({"hours": 1, "peak": True}, [ended, younger]) is None

    def test_is_needed_for_each_charge_of_that_line(self):
        assert (
            code({"hours": 1, "court": "1"}, [counting(matrix=COURTS), counting(matrix=PEAK)]) == "unmatched_dimension"
        )

    def test_is_not_asked_of_a_meter_that_leaves_the_event_out(self):
        sold = [counting(HOURS, matrix=COURTS), counting(MINUTES, "b/0")]
        assert code({"minutes": 60, "court": "7"}, sold) is None

    def test_on_offer_one_is_enough(self):
        offered = [counting(line=None, matrix=COURTS), counting(line=None, matrix=PEAK)]
        assert code({"hours": 1, "peak": True}, offered=offered) is None
        assert code({"hours": 1, "peak": False}, offered=offered) == "unmatched_dimension"
