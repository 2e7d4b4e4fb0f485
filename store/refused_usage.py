"""Refused usage: what was sent and could not be counted, so that whoever can mend the cause finds it.

One row for all events of one subject, type and code, however often they come: a wrong door counts itself to no end. What was
not refused again for as long as usage may still come is forgotten, and so are the rows beyond the latest MOST_ROWS: a subject
is kept as it was sent, so it may be anything, a person's mail address too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from domain.metering import USAGE_MAX_AGE
from store.columns import sequence
from store.connections import Fetches

MOST_ROWS = 10_000


class RefusedUsageRow(SQLModel, table=True):
    """`refused_usage`: `times` counts refusals, a repeated event each time; `last_id` and `detail` are the latest's."""

    __tablename__ = "refused_usage"  # pyright: ignore[reportAssignmentType]

    subject: str = Field(primary_key=True)
    type: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    times: int = Field(sa_column=Column(BigInteger, nullable=False))
    first_at: datetime
    last_at: datetime
    last_id: str
    detail: str
    seq: int = sequence()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One event that was not taken: `subject` as it was sent, which may be nobody."""

    subject: str
    type: str
    code: str
    id: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedUsage:
    """Events of one subject and type, refused for one reason `times` times between two instants, UTC."""

    subject: str
    type: str
    code: str
    times: int
    first_at: datetime
    last_at: datetime
    last_id: str
    detail: str


_NOTE = """
    INSERT INTO refused_usage AS known (subject, type, code, times, first_at, last_at, last_id, detail)
    SELECT subject, type, code, count(*), $6, $6,
           (array_agg(id ORDER BY place DESC))[1], (array_agg(detail ORDER BY place DESC))[1]
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
           WITH ORDINALITY AS given (subject, type, code, id, detail, place)
     GROUP BY subject, type, code ORDER BY subject, type, code
    ON CONFLICT (subject, type, code) DO UPDATE
       SET times = known.times + excluded.times, last_at = excluded.last_at, last_id = excluded.last_id,
           detail = excluded.detail
"""
# Rows that another batch holds are left to it: whoever waited here could be waited for there.
_FORGET = """
    DELETE FROM refused_usage WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM refused_usage
         WHERE last_at < $1 OR (last_at, seq) < (
               SELECT last_at, seq FROM refused_usage ORDER BY last_at DESC, seq DESC OFFSET $2 LIMIT 1)
           FOR UPDATE SKIP LOCKED))
"""


async def note(pool: Fetches, refusals: Sequence[Refusal], at: datetime) -> None:
    """Keep what was refused `at`, and forget what is older than usage may be; two statements."""
    if refusals:
        columns = ([getattr(one, name) for one in refusals] for name in ("subject", "type", "code", "id", "detail"))
        await pool.fetch(_NOTE, *columns, at)
        await pool.fetch(_FORGET, at - USAGE_MAX_AGE, MOST_ROWS - 1)
