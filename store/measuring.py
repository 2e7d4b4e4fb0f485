"""Measuring: one SELECT that aggregates usage for many questions at once, exactly.

    (meter, edges, dimensions)… ──► SQL ──► rows (question, bucket, group, n, quantity) ──► Fractions

Between the `edges` e0 < e1 < … the use is counted apart: bucket k is `[e(k-1), e(k))`. What comes out equals
`domain.metering` over the same events; an event without a number where its meter wants one is left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from domain.catalog import Aggregation, Meter
from domain.metering import Span

NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"
_TICK = timedelta(microseconds=1)

NOTHING = (Fraction(0), 0)
Place = tuple[int, int, tuple[str, ...] | None]
"""Which question, which bucket, which group (None: all of them together)."""
Answered = tuple[int, int, list[str] | None, int, Decimal | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What is asked: `meter` between `edges` (none: ever), apart per value of `dimensions` too if there are any.

    What lies in a span of `without`, between the edges too, is left out. A level is averaged over the time from `opens_at`, or
    else the first edge, to the last.
    """

    meter: Meter
    edges: tuple[datetime, ...]
    dimensions: tuple[str, ...] = ()
    without: tuple[Span, ...] = ()
    opens_at: datetime | None = None

    @property
    def buckets(self) -> range:
        """The numbers of its buckets."""
        return range(1, max(2, len(self.edges)))


class Query:
    """SQL text with `$n` parameters, and their values in order; `$1` is the customer."""

    def __init__(self, customer_id: str, counts: Iterable[Count]) -> None:
        self.parameters: list[Any] = [customer_id]
        self.text = "\nUNION ALL\n".join(self._arm(index, count) for index, count in enumerate(counts))

    def _bind(self, value: object, kind: str) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def _arm(self, index: int, count: Count) -> str:
        meter = count.meter
        value = self._bind(meter.value, "text")
        condition, bucket, span = self._edges(count)
        groups = ", ".join(f"coalesce(data ->> {self._bind(name, 'text')}, '')" for name in count.dimensions)
        grouping = "GROUPING SETS ((bucket, grp), (bucket))" if groups else "bucket"
        # Only names and operators are put together here; whatever a caller said is a parameter.
        return f"""SELECT {index} AS asked, bucket, {"grp" if groups else "NULL::text[]"} AS grp,
            {_PER_AGGREGATION[meter.aggregation]}
            FROM (SELECT {bucket} AS bucket, ARRAY[{groups}]::text[] AS grp, {span} AS lasts,
                         time, received_at, source, id,
                         {value_sql(value)} AS v, {unique_sql(value)} AS u
                    FROM usage_events
                   WHERE customer_id = $1 AND type = {self._bind(meter.event, "text")} {condition}) counted
            GROUP BY {grouping}"""  # noqa: S608

    def _span(self, span: Span) -> tuple[str, str]:
        return self._bind(span.starts_at, "timestamptz"), self._bind(span.ends_at, "timestamptz")

    def _edges(self, count: Count) -> tuple[str, str, str]:
        """The condition on time, the bucket, and for levels how long an event has lasted at the end."""
        if not count.edges:
            return "", "1", "NULL::numeric"
        first = self._bind(count.edges[0], "timestamptz")
        last = self._bind(count.edges[-1], "timestamptz")
        if count.meter.aggregation is Aggregation.WEIGHTED_SUM:
            lasts = [_lasts(first, last), *(_lasts(*self._span(span)) for span in count.without)]
            return f"AND time < {last}", "1", " - ".join(lasts)
        spans = [self._span(span) for span in count.without]
        within = " ".join(
            [
                f"AND time >= {first} AND time < {last}",
                *(f"AND NOT (time >= {starts_at} AND time < {ends_at})" for starts_at, ends_at in spans),
            ]
        )
        if len(count.edges) == 2:
            return within, "1", "NULL::numeric"
        return within, f"width_bucket(time, {self._bind(list(count.edges), 'timestamptz[]')})", "NULL::numeric"


def _lasts(starts_at: str, ends_at: str) -> str:
    """For how many seconds of a span a change of level has held at its end; before it, none."""
    return f"extract(epoch FROM {ends_at} - least(greatest(time, {starts_at}), {ends_at}))"


def value_sql(key: str) -> str:
    """The number under `key`, as JSON number or as string; NULL for anything else."""
    return f"CASE WHEN data ->> {key} ~ '{NUMBER}' THEN (data ->> {key})::numeric END"


def unique_sql(key: str) -> str:
    """What unique_count tells apart: a number by its value, anything else by its text."""
    number = f"trim_scale((data ->> {key})::numeric)::text"
    return f"CASE WHEN jsonb_typeof(data -> {key}) = 'number' THEN {number} ELSE data ->> {key} END"


def counted(counts: Sequence[Count], rows: Iterable[object]) -> dict[Place, tuple[Fraction, int]]:
    """Quantity and number of events by place; what is missing was never used."""
    return {
        (index, bucket, None if group is None else tuple(group)): (_exact(counts[index], n, quantity), n)
        for index, bucket, group, n, quantity in cast("Iterable[Answered]", rows)
    }


def _exact(count: Count, n: int, quantity: Decimal | None) -> Fraction:
    summed = Fraction(quantity or 0)
    match count.meter.aggregation:
        case Aggregation.AVERAGE:
            return summed / n if n else Fraction(0)
        case Aggregation.WEIGHTED_SUM:
            lasts = count.edges[-1] - (count.opens_at or count.edges[0])
            return summed / Fraction(lasts // _TICK, 10**6) if lasts else Fraction(0)
        case _:
            return summed


_LATEST = "(array_agg(v ORDER BY time DESC, received_at DESC, source DESC, id DESC) FILTER (WHERE v IS NOT NULL))[1]"
_PER_AGGREGATION = {
    Aggregation.COUNT: "count(*) AS n, count(*)::numeric AS quantity",
    Aggregation.SUM: "count(v) AS n, sum(v) AS quantity",
    Aggregation.MAX: "count(v) AS n, max(v) AS quantity",
    Aggregation.MIN: "count(v) AS n, min(v) AS quantity",
    Aggregation.AVERAGE: "count(v) AS n, sum(v) AS quantity",
    Aggregation.LATEST: f"count(v) AS n, {_LATEST} AS quantity",
    Aggregation.UNIQUE_COUNT: "count(u) AS n, count(DISTINCT u)::numeric AS quantity",
    Aggregation.WEIGHTED_SUM: "count(v) AS n, sum(v * lasts) AS quantity",
}
