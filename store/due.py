"""What is due: the question of a clock that comes back after an outage, and of a lifecycle that lost its process."""

from datetime import datetime
from typing import Any, Literal, NamedTuple, cast, get_args

from sqlalchemy import ColumnElement, Select, Table, func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.dunning import CLOSED_STATES, Collection
from domain.order import Order, OrderState
from domain.quote import OPEN_STATES, Quote
from domain.subscription import Subscription, SubscriptionState
from domain.waiting import OVERDUE_AFTER
from store.collections import CollectionRow
from store.columns import parameter, table_of
from store.orders import OrderRow
from store.quotes import QuoteRow
from store.subscriptions import SubscriptionRow

Kind = Literal["quote", "order", "subscription", "collection"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Lifecycle = Quote | Order | Subscription | Collection


class Due(NamedTuple):
    """`kind` with `id` (of a collection: its invoice's) acts by itself at `at` (UTC)."""

    kind: Kind
    id: str
    at: datetime


class Overdue(NamedTuple):
    """`things` of `kind` should have acted by themselves and have not, the oldest since `since` (UTC)."""

    kind: Kind
    things: int
    since: datetime


_QUOTES, _ORDERS = table_of(QuoteRow), table_of(OrderRow)
_SUBSCRIPTIONS, _COLLECTIONS = table_of(SubscriptionRow), table_of(CollectionRow)


def _due(kind: Kind, table: Table, key: str) -> "Select[Any, Any, Any]":
    at = table.c.next_action_at
    return select(literal(kind).label("kind"), table.c[key].label("id"), at.label("at")).where(at <= parameter("at"))


_ALL_DUE = union_all(
    _due("quote", _QUOTES, "id"),
    _due("order", _ORDERS, "id"),
    _due("subscription", _SUBSCRIPTIONS, "id"),
    _due("collection", _COLLECTIONS, "invoice_id"),
)
_DUE = _ALL_DUE.order_by("at", "kind", "id")
_EACH = _ALL_DUE.subquery()
_OVERDUE = select(_EACH.c.kind, func.count().label("things"), func.min(_EACH.c.at).label("since")).group_by(
    _EACH.c.kind
)
_COLLECTED = _COLLECTIONS.c.state.not_in(sorted(CLOSED_STATES))
_BY_STATE = select(_COLLECTIONS.c.state, func.count().label("things")).where(_COLLECTED).group_by(_COLLECTIONS.c.state)

_OPEN = (
    (_QUOTES, _QUOTES.c.state.in_(sorted(OPEN_STATES))),
    (_ORDERS, _ORDERS.c.state.not_in([OrderState.COMPLETED, OrderState.CANCELLED])),
    (
        _SUBSCRIPTIONS,
        or_(_SUBSCRIPTIONS.c.state != SubscriptionState.ENDED, _SUBSCRIPTIONS.c.next_action_at.is_not(None)),
    ),
    (_COLLECTIONS, _COLLECTED),
)


async def due_by(engine: AsyncEngine, at: datetime) -> list[Due]:
    """What falls due at or before `at`, earliest first. One statement, over indexes of what is open only."""
    async with engine.connect() as connection:
        return [Due(row.kind, row.id, row.at) for row in await connection.execute(_DUE, {"at": at})]


async def overdue_at(engine: AsyncEngine, at: datetime) -> list[Overdue]:
    """What should have been done long before `at` and is not, by kind; nothing when all is well. One statement."""
    async with engine.connect() as connection:
        found = await connection.execute(_OVERDUE.order_by("kind"), {"at": at - OVERDUE_AFTER})
        return [Overdue(row.kind, row.things, row.since) for row in found]


async def open_collections(engine: AsyncEngine) -> dict[str, int]:
    """How many collections are open, by their stored state. One statement."""
    async with engine.connect() as connection:
        return {row.state: row.things for row in await connection.execute(_BY_STATE)}


async def open_lifecycles(engine: AsyncEngine) -> list[Lifecycle]:
    """Every open quote, order, subscription and collection, oldest first of each kind. Four statements."""
    async with engine.connect() as connection:
        return [
            cast("Lifecycle", value)
            for table, is_open in _OPEN
            for value in (await connection.execute(_in_order(table, is_open))).scalars()
        ]


def _in_order(table: Table, is_open: "ColumnElement[bool]") -> "Select[Any]":
    return select(table.c.document).where(is_open).order_by(table.c.seq)
