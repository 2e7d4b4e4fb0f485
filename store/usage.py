"""The one store of usage: events as they were sent, written by the batch, measured where they are."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Column, Index, Row, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.catalog import Aggregation, Meter
from domain.errors import NotFound
from domain.measure import Measure
from domain.metering import Event, Span, Usage, measured
from store.catalog import MeterRow
from store.columns import among, codec, table_of
from store.connections import Fetches
from store.measuring import NOTHING, Count, Place, Query, counted, unique_sql, value_sql


class UsageEventRow(SQLModel, table=True):
    """`usage_events`: everything that was ever accepted, once per customer, source and id. Rows never change."""

    __tablename__ = "usage_events"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("usage_events_customer_id_type_time_idx", "customer_id", "type", "time"),)

    customer_id: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    type: str
    time: datetime
    received_at: datetime
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event fit to be stored: its customer is known by id, its `data` holds JSON values; `time` in UTC."""

    customer_id: str
    source: str
    id: str
    type: str
    time: datetime
    data: Mapping[str, Any]


_METER_ROWS = table_of(MeterRow)
_RECORD = """
    INSERT INTO usage_events (customer_id, source, id, type, time, received_at, data)
    SELECT customer_id, source, id, type, time, $7, data
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::jsonb[])
           AS given (customer_id, source, id, type, time, data)
    ON CONFLICT DO NOTHING
    RETURNING customer_id, source, id
"""
_METERS = select(_METER_ROWS.c.key, _METER_ROWS.c.document).where(_METER_ROWS.c.key.in_(among("keys")))
_EVENTS = f"""
    SELECT asked.at, {value_sql("asked.value")} AS v, {unique_sql("asked.value")} AS u, data::text AS data, time
      FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
           WITH ORDINALITY AS asked (type, value, starts_at, ends_at, at)
      JOIN usage_events ON customer_id = $1 AND usage_events.type = asked.type
           AND time >= asked.starts_at AND time < asked.ends_at
     ORDER BY asked.at, time, received_at, source, id
"""  # noqa: S608 - value_sql and unique_sql name a column
_NEEDS_NO_NUMBER = frozenset({Aggregation.COUNT, Aggregation.UNIQUE_COUNT})


async def record(pool: Fetches, events: Sequence[StoredEvent], received_at: datetime) -> list[bool]:
    """Store `events` and answer which were new, in their order; the others are duplicates.

    One statement. With a pool, or a connection outside a transaction, they are on disk when it returns.
    """
    if not events:
        return []
    # In one order everywhere, or two batches that share events could wait for each other.
    ordered = sorted(events, key=_identity)
    rows = await pool.fetch(
        _RECORD,
        [event.customer_id for event in ordered],
        [event.source for event in ordered],
        [event.id for event in ordered],
        [event.type for event in ordered],
        [event.time for event in ordered],
        [to_json(event.data, inf_nan_mode="strings").decode() for event in ordered],
        received_at,
    )
    new: set[tuple[str, str, str]] = {(row["customer_id"], row["source"], row["id"]) for row in rows}
    return [_taken_from(new, _identity(event)) for event in events]


class PostgresUsage:
    """The book of usage. The caller owns the transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def measured(self, customer_id: str, measures: Iterable[Measure]) -> dict[Measure, Usage]:
        """What the meters counted: three statements, however much is asked. Raises NotFound for an unknown meter."""
        wanted = list(dict.fromkeys(measures))
        meters = await self._meters({measure.meter for measure in wanted})
        by_event = [measure for measure in wanted if measure.events]
        summed = [measure for measure in wanted if not measure.events]
        return {
            **(await self._summed(customer_id, summed, meters) if summed else {}),
            **(await self._with_events(customer_id, by_event, meters) if by_event else {}),
        }

    async def _meters(self, keys: set[str]) -> dict[str, Meter]:
        rows = await self._connection.execute(_METERS, {"keys": sorted(keys)})
        meters: dict[str, Meter] = {row.key: row.document for row in rows}
        missing = keys - meters.keys()
        if missing:
            raise NotFound(f"no meter {', '.join(sorted(missing))}")
        return meters

    async def _summed(
        self, customer_id: str, measures: Sequence[Measure], meters: Mapping[str, Meter]
    ) -> dict[Measure, Usage]:
        counts = [
            Count(
                meter=meters[m.meter],
                edges=(m.starts_at, m.ends_at),
                dimensions=m.dimensions,
                without=m.without,
                opens_at=m.opens_at,
            )
            for m in measures
        ]
        query = Query(customer_id, counts)
        rows = await self._connection.exec_driver_sql(query.text, tuple(query.parameters))
        found = counted(counts, rows)
        return {
            measure: Usage(
                quantity=found.get((index, 1, None), NOTHING)[0],
                groups=_groups(found, index) if measure.dimensions else None,
            )
            for index, measure in enumerate(measures)
        }

    async def _with_events(
        self, customer_id: str, measures: Sequence[Measure], meters: Mapping[str, Meter]
    ) -> dict[Measure, Usage]:
        asked = [meters[measure.meter] for measure in measures]
        parameters = (
            customer_id,
            [meter.event for meter in asked],
            [meter.value for meter in asked],
            [measure.starts_at for measure in measures],
            [measure.ends_at for measure in measures],
        )
        events = [list[Event]() for _ in measures]
        for row in await self._connection.exec_driver_sql(_EVENTS, parameters):
            index = int(row.at) - 1
            is_claimed = any(span.holds(row.time) for span in measures[index].without)
            if not is_claimed and (row.v is not None or asked[index].aggregation in _NEEDS_NO_NUMBER):
                events[index].append(_event(row))
        return {
            measure: measured(meter.aggregation, found, measure.dimensions, Span(measure.starts_at, measure.ends_at))
            for measure, meter, found in zip(measures, asked, events, strict=True)
        }


async def windows_used(
    pool: Fetches, customer_id: str, asked: Sequence[tuple[Meter, tuple[datetime, ...]]]
) -> list[list[Fraction]]:
    """The use of each meter in each window between its boundaries, earliest first; without boundaries, the use ever.

    One statement for all of them. A level (weighted_sum) without boundaries has no use.
    """
    per_question = [_windows(meter, boundaries) for meter, boundaries in asked]
    counts = [count for windows in per_question for count in windows]
    if not counts:
        return [[Fraction(0)] for _ in asked]
    query = Query(customer_id, counts)
    found = counted(counts, await pool.fetch(query.text, *query.parameters))
    places = iter([[(index, bucket, None) for bucket in count.buckets] for index, count in enumerate(counts)])
    return [
        [found.get(place, NOTHING)[0] for _ in windows for place in next(places)] or [Fraction(0)]
        for windows in per_question
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageWindow:
    """What was used in `[starts_at, ends_at)` by one group (its values in the order asked for; none: by all)."""

    starts_at: datetime
    ends_at: datetime
    group: tuple[str, ...]
    quantity: Fraction
    events: int


async def usage_by_window(
    pool: Fetches, customer_id: str, meter_key: str, edges: Sequence[datetime], group_by: tuple[str, ...] = ()
) -> list[UsageWindow]:
    """The use of a meter between each two `edges` (at least two, ascending), apart per `group_by`; two statements.

    In the order of time, then of the groups; a window without use is left out. Raises NotFound.
    """
    rows = await pool.fetch("SELECT document FROM meters WHERE key = $1", meter_key)
    if not rows:
        raise NotFound(f"no meter {meter_key}")
    meter: Meter = codec(Meter).validate_json(rows[0]["document"])
    windows = list(pairwise(edges))
    counts = [replace(count, dimensions=group_by) for count in _windows(meter, tuple(edges))]
    query = Query(customer_id, counts)
    found = counted(counts, await pool.fetch(query.text, *query.parameters))
    places = sorted(place for place in found if (place[2] is not None) is bool(group_by))
    return [
        UsageWindow(
            starts_at=starts_at, ends_at=ends_at, group=group or (), quantity=found[place][0], events=found[place][1]
        )
        for place in places
        for index, bucket, group in [place]
        for starts_at, ends_at in [windows[index + bucket - 1]]
    ]


def _windows(meter: Meter, boundaries: tuple[datetime, ...]) -> list[Count]:
    """One question, but a level is asked apart for each window: what came before the window counts in it too."""
    if meter.aggregation is not Aggregation.WEIGHTED_SUM:
        return [Count(meter=meter, edges=boundaries)]
    return [Count(meter=meter, edges=window) for window in pairwise(boundaries)]


def _groups(found: Mapping[Place, tuple[Fraction, int]], index: int) -> dict[tuple[str, ...], Fraction]:
    return {group: quantity for (at, _, group), (quantity, _) in found.items() if at == index and group is not None}


def _event(row: "Row[Any]") -> Event:
    data: dict[str, Any] = json.loads(row.data, parse_float=str, parse_int=str)
    return Event(
        value=Decimal(row.v or 0),
        properties={name: _text(value) for name, value in data.items() if value is not None},
        time=row.time,
        unique=row.u,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _identity(event: StoredEvent) -> tuple[str, str, str]:
    return event.customer_id, event.source, event.id


def _taken_from(new: set[tuple[str, str, str]], identity: tuple[str, str, str]) -> bool:
    """Whether `identity` is new; only once, so that its repetitions in a batch are duplicates."""
    if identity not in new:
        return False
    new.remove(identity)
    return True
