"""Unsold usage: what was accepted and counts for nothing, because its customer had bought nothing that counts it at its time.

Sold is what a subscription's plan bills, and what an entitlement counts against a limit, from activation to its end.
"""

from dataclasses import dataclass
from datetime import datetime

from store.connections import Fetches


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsoldUsage:
    """Events of one type of one customer (its key) that nobody will bill, between two instants, UTC, both included."""

    customer: str
    type: str
    meters: tuple[str, ...]
    events: int
    first_at: datetime
    last_at: datetime


_UNSOLD = """
    WITH sold AS (
        SELECT sub.customer_id, sub.activated_at AS starts_at, sub.ended_at AS ends_at, meter.event
          FROM subscriptions sub
          CROSS JOIN jsonb_array_elements(sub.document -> 'sections') section
          CROSS JOIN jsonb_array_elements(section -> 'items') item
          JOIN plans plan ON plan.key = item -> 'plan' ->> 'key' AND plan.version = (item -> 'plan' ->> 'version')::int
          CROSS JOIN jsonb_array_elements(plan.document -> 'charges') charge
          JOIN meters meter ON meter.key = charge ->> 'meter'
         UNION
        SELECT held.customer_id, held.starts_at, held.ends_at, meter.event
          FROM entitlements held JOIN meters meter ON meter.key = held.meter
    )
    SELECT buyer.key AS customer, used.type, count(*) AS events, min(used.time) AS first_at, max(used.time) AS last_at,
           ARRAY(SELECT key FROM meters WHERE event = used.type ORDER BY key) AS meters
      FROM usage_events used JOIN customers buyer ON buyer.id = used.customer_id
     WHERE used.time >= $1 AND used.time < $2 AND ($3::text IS NULL OR buyer.id = $3 OR buyer.key = $3)
       AND NOT EXISTS (SELECT FROM sold WHERE sold.customer_id = used.customer_id AND sold.event = used.type
                                          AND sold.starts_at <= used.time
                                          AND (sold.ends_at IS NULL OR used.time < sold.ends_at))
     GROUP BY buyer.key, used.type ORDER BY max(used.time) DESC, buyer.key, used.type LIMIT $4
"""


async def unsold_usage(
    pool: Fetches, since: datetime, until: datetime, *, customer: str | None, limit: int
) -> tuple[UnsoldUsage, ...]:
    """What happened in `[since, until)`, of one customer (id or key) or of all, the latest first; one statement."""
    rows = await pool.fetch(_UNSOLD, since, until, customer, limit)
    return tuple(
        UnsoldUsage(
            customer=row["customer"],
            type=row["type"],
            meters=tuple(row["meters"]),
            events=row["events"],
            first_at=row["first_at"],
            last_at=row["last_at"],
        )
        for row in rows
    )
