"""Calendar: billing boundaries are local midnights, always counted from the anchor, never from the last boundary.

        anchor 31 Jan     28 Feb      31 Mar      30 Apr      each clamped to its month, none drifts
           |------ 0 ------|---- 1 ----|---- 2 ----|

A period is half-open: `[starts_on, ends_on)`. Its instants are the local midnights in the customer's IANA zone.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Interval(StrEnum):
    """The unit in which a plan recurs."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"

    @property
    def months(self) -> int:
        """Length in months; 0 for day and week."""
        return {"month": 1, "quarter": 3, "half_year": 6, "year": 12}.get(self.value, 0)

    @property
    def days(self) -> int:
        """Length in days; 0 for month and longer."""
        return {"day": 1, "week": 7}.get(self.value, 0)


@dataclass(frozen=True, slots=True)
class Period:
    """Service days from `starts_on` up to but not including `ends_on`, dates in the customer's zone."""

    starts_on: date
    ends_on: date

    @property
    def days(self) -> int:
        """How many local calendar days."""
        return (self.ends_on - self.starts_on).days


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a subscription's boundaries fall: boundary k = anchor + k intervals of `interval` × `count`.

    `anchor_on` is the day of boundary 0. `anchor_day` is the day of the month that is aimed at (31 in a month of 30 clamps
    to the 30th, and comes back); it is ignored for days and weeks.
    """

    interval: Interval
    count: int
    anchor_on: date
    anchor_day: int

    def boundary(self, k: int) -> date:
        """The day on which period k begins."""
        if self.interval.days:
            return self.anchor_on + timedelta(days=k * self.count * self.interval.days)
        month = self.anchor_on.year * 12 + self.anchor_on.month - 1 + k * self.count * self.interval.months
        year, month0 = divmod(month, 12)
        return date(year, month0 + 1, min(self.anchor_day, monthrange(year, month0 + 1)[1]))

    def index(self, on: date) -> int:
        """The number of the period in which the day `on` lies; negative before the anchor."""
        if self.interval.days:
            return (on - self.anchor_on).days // (self.count * self.interval.days)
        months = (on.year - self.anchor_on.year) * 12 + on.month - self.anchor_on.month
        k = months // (self.count * self.interval.months)
        return k if self.boundary(k) <= on else k - 1

    def period(self, k: int) -> Period:
        """The whole period k."""
        return Period(self.boundary(k), self.boundary(k + 1))


def cadence(interval: Interval, count: int, anchor: str | int, starts_on: date) -> Cadence:
    """The cadence of a subscription that starts on `starts_on`.

    `anchor` is "anniversary" (boundary 0 is the start), "calendar" (boundary 0 is the first day of the interval on or after
    the start) or a day of the month 1..31 (boundary 0 is the first such day, clamped, on or after the start). Where
    boundary 0 lies after the start, the time before it is a stub of period -1.
    """
    if anchor == "anniversary" or (anchor == "calendar" and interval is Interval.DAY):
        return Cadence(interval, count, starts_on, starts_on.day)
    if anchor == "calendar" and interval is Interval.WEEK:
        return Cadence(interval, count, starts_on + timedelta(days=-starts_on.weekday() % 7), 1)
    day = 1 if anchor == "calendar" else int(anchor)
    step = interval.months if anchor == "calendar" else 1
    month = starts_on.year * 12 + starts_on.month - 1
    month -= month % step
    unit = Cadence(Interval.MONTH, step, date(month // 12, month % 12 + 1, 1), day)
    first = next(on for on in (unit.boundary(0), unit.boundary(1)) if on >= starts_on)
    return Cadence(interval, count, first, day)


def first_instant(on: date, timezone: str) -> datetime:
    """When `on` begins for a customer in `timezone` (IANA name), as a UTC instant."""
    return datetime.combine(on, time.min, tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def local_day(at: datetime, timezone: str) -> date:
    """The calendar day of the instant `at` for a customer in `timezone`."""
    return at.astimezone(ZoneInfo(timezone)).date()
