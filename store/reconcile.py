"""Reconcile, the books' part: where they disagree with themselves, and what of them others should say too.

It reads the whole of the books, by a constant number of statements: for an operator, not for a customer's request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import desc, exists, or_, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.dunning import CLOSED_STATES
from domain.payment import Payment, PaymentState
from store.collections import CollectionRow
from store.columns import parameter, table_of
from store.invariants import INVARIANTS, violations
from store.payments import PaymentRow

Between = Literal["books", "access", "provider", "workflows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """`what` does not hold `between` two who should agree: of the things with these `ids`, `detail` more closely.

    `mend` is what an operator does about it.
    """

    between: Between
    what: str
    ids: Mapping[str, str]
    detail: str = ""
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What was compared at `at` (UTC), how many of each, and every disagreement."""

    at: datetime
    rules: int
    intents: int
    workflows: int
    disagreements: tuple[Disagreement, ...]


_BY_HAND = (
    "a row was changed by other hands than ours, or we have a fault: keep the rows, restore them from the backup where they "
    "were right, and correct what was invoiced by credit note, never by hand"
)

_ACCESS_MISSING = "what is sold and runs is given"
_MISSING = text("""
    SELECT runs.id AS subscription, runs.customer_id AS customer, wanted ->> 'feature' AS feature
      FROM subscriptions runs
     CROSS JOIN LATERAL (
           SELECT section -> 'items' AS items
             FROM jsonb_array_elements(runs.document -> 'sections') WITH ORDINALITY sections(section, n)
            WHERE (section ->> 'starts_at')::timestamptz <= :at
            ORDER BY n DESC LIMIT 1) now
     CROSS JOIN LATERAL jsonb_array_elements(now.items) item
      JOIN plans sold ON sold.key = item -> 'plan' ->> 'key' AND sold.version = (item -> 'plan' ->> 'version')::int
     CROSS JOIN LATERAL jsonb_array_elements(sold.document -> 'entitlements') wanted
     WHERE runs.state IN ('trialing', 'active')
       AND NOT EXISTS (SELECT FROM entitlements held
                        WHERE held.subscription_id = runs.id AND held.feature = wanted ->> 'feature'
                          AND held.starts_at <= :at AND (held.ends_at IS NULL OR held.ends_at > :at))
     ORDER BY runs.seq LIMIT 100""")

_PAYMENTS, _COLLECTIONS = table_of(PaymentRow), table_of(CollectionRow)
_LATEST = (
    select(_PAYMENTS)
    .where(_PAYMENTS.c.intent_ref.is_not(None))
    .ext(distinct_on(_PAYMENTS.c.invoice_id, _PAYMENTS.c.intent_ref))
    .order_by(_PAYMENTS.c.invoice_id, _PAYMENTS.c.intent_ref, desc(_PAYMENTS.c.attempt), desc(_PAYMENTS.c.seq))
    .subquery()
)
_FINAL = (PaymentState.SUCCEEDED, PaymentState.FAILED, PaymentState.REFUNDED)
_IS_COLLECTED = exists().where(
    _COLLECTIONS.c.invoice_id == _LATEST.c.invoice_id, _COLLECTIONS.c.state.not_in(sorted(CLOSED_STATES))
)
_TO_COMPARE = (
    select(_LATEST.c.document)
    .where(or_(_LATEST.c.state.not_in(_FINAL), _LATEST.c.at >= parameter("since"), _IS_COLLECTED))
    .order_by(_LATEST.c.seq)
)


def rules() -> int:
    """How many rules the books are held to."""
    return len(INVARIANTS) + 1


async def within_the_books(engine: AsyncEngine, at: datetime) -> list[Disagreement]:
    """Every row that breaks a rule of the books, or lacks what was sold at `at`; at most a hundred of each rule."""
    found = [
        Disagreement(between="books", what=broken.name, ids=_ids(row), mend=_BY_HAND)
        for broken in await violations(engine)
        for row in broken.rows
    ]
    async with engine.connect() as connection:
        missing = (await connection.execute(_MISSING, {"at": at})).mappings().all()
    mend = "look in its timeline for what took it away; `POST /v1/orders/{id}/retry` for an order that did not complete"
    lost = [Disagreement(between="access", what=_ACCESS_MISSING, ids=_ids(row), mend=mend) for row in missing]
    return found + lost


async def to_compare(engine: AsyncEngine, since: datetime) -> list[Payment]:
    """The last attempt on each intent that is open, unknown, collected further, or made since; oldest first."""
    async with engine.connect() as connection:
        rows = (await connection.execute(_TO_COMPARE, {"since": since})).scalars()
        return [cast("Payment", row) for row in rows]


def _ids(row: Mapping[Any, Any]) -> dict[str, str]:
    return {str(column): str(value) for column, value in row.items()}
