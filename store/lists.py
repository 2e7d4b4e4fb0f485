"""Lists: newest first, a page at a time, each a constant number of statements.

A cursor is the place of the last row in the order in which things came about: what comes later never moves a page.
`customer` is an id or a key wherever it filters.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Row, Select, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.audit import AuditEvent
from domain.customer import Customer
from domain.dunning import CLOSED_STATES, Collection
from domain.errors import InvalidInput
from domain.invoice import Invoice
from domain.ledger import Account
from domain.money import Money
from domain.order import Order
from domain.payment import Payment
from domain.quote import Quote
from domain.subscription import Subscription
from domain.waiting import OVERDUE_AFTER
from store.access import ApiKey, ApiKeyRow, Role
from store.audit import AuditEventRow
from store.collections import CollectionRow
from store.columns import table_of
from store.customers import CustomerRow
from store.entitlements import SuspensionRow
from store.invoice_rows import HEADERS, LINES, WITH_LINES, invoices_of
from store.ledger import LedgerEntryRow
from store.orders import OrderRow
from store.payments import PaymentRow
from store.quotes import QuoteRow
from store.refused_usage import RefusedUsage, RefusedUsageRow
from store.subscriptions import SubscriptionRow

LARGEST_PAGE = 200
V = TypeVar("V")
Condition = ColumnElement[bool]

_API_KEYS, _REFUSED = table_of(ApiKeyRow), table_of(RefusedUsageRow)
_CUSTOMERS, _QUOTES, _ORDERS = table_of(CustomerRow), table_of(QuoteRow), table_of(OrderRow)
_SUBSCRIPTIONS, _COLLECTIONS, _PAYMENTS = table_of(SubscriptionRow), table_of(CollectionRow), table_of(PaymentRow)
_ENTRIES, _EVENTS, _SUSPENSIONS = table_of(LedgerEntryRow), table_of(AuditEventRow), table_of(SuspensionRow)
# When a row came about, by which a list is narrowed to a span of time.
_CAME_ABOUT = {
    _API_KEYS: _API_KEYS.c.created_at,
    _REFUSED: _REFUSED.c.last_at,
    _CUSTOMERS: _CUSTOMERS.c.created_at,
    _QUOTES: _QUOTES.c.created_at,
    _ORDERS: _ORDERS.c.accepted_at,
    _SUBSCRIPTIONS: _SUBSCRIPTIONS.c.activated_at,
    HEADERS: HEADERS.c.issued_at,
    _COLLECTIONS: _COLLECTIONS.c.issued_at,
    _ENTRIES: _ENTRIES.c.at,
    _EVENTS: _EVENTS.c.at,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which page: at most `limit` rows (200 are the most), those that follow `cursor`, of `[since, until)` (UTC)."""

    limit: int = 50
    cursor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """Some rows, and the cursor of those that follow; None when these are the last."""

    data: tuple[V, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A collection with the number of its invoice and all attempts at it."""

    collection: Collection
    number: str
    attempts: tuple[Payment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One leg as it was posted."""

    cause: str
    position: int
    at: datetime
    customer_id: str
    account: Account
    amount: Money


async def list_api_keys(
    engine: AsyncEngine, asked: Asked, *, customer: str | None = None, role: str | None = None
) -> Page[ApiKey]:
    """All keys, revoked ones too; never a secret, nor what is kept of it."""
    return await _rows(engine, _API_KEYS, asked, (_of(_API_KEYS, customer), _is(_API_KEYS.c.role, role)), _api_key)


async def list_customers(engine: AsyncEngine, asked: Asked) -> Page[Customer]:
    """All customers."""
    return await _documents(engine, _CUSTOMERS, asked)


async def list_quotes(
    engine: AsyncEngine, asked: Asked, *, customer: str | None = None, state: str | None = None
) -> Page[Quote]:
    """Quotes."""
    return await _documents(engine, _QUOTES, asked, _of(_QUOTES, customer), _is(_QUOTES.c.state, state))


async def list_orders(
    engine: AsyncEngine, asked: Asked, *, customer: str | None = None, state: str | None = None
) -> Page[Order]:
    """Orders."""
    return await _documents(engine, _ORDERS, asked, _of(_ORDERS, customer), _is(_ORDERS.c.state, state))


async def list_subscriptions(
    engine: AsyncEngine, asked: Asked, *, customer: str | None = None, state: str | None = None
) -> Page[Subscription]:
    """Subscriptions; `state` is the one that is stored, see `suspended_among`."""
    conditions = (_of(_SUBSCRIPTIONS, customer), _is(_SUBSCRIPTIONS.c.state, state))
    return await _documents(engine, _SUBSCRIPTIONS, asked, *conditions)


async def suspended_among(engine: AsyncEngine, subscription_ids: Iterable[str], at: datetime) -> frozenset[str]:
    """Those of the subscriptions that are suspended at `at`."""
    shut = select(_SUSPENSIONS.c.subscription_id).where(
        _SUSPENSIONS.c.subscription_id.in_(list(subscription_ids)),
        _SUSPENSIONS.c.starts_at <= at,
        or_(_SUSPENSIONS.c.ends_at.is_(None), _SUSPENSIONS.c.ends_at > at),
    )
    async with engine.connect() as connection:
        return frozenset((await connection.execute(shut)).scalars())


async def list_invoices(
    engine: AsyncEngine,
    asked: Asked,
    *,
    customer: str | None = None,
    subscription: str | None = None,
    state: str | None = None,
) -> Page[Invoice]:
    """Invoices with all their lines, one statement for the page. `subscription` is an id or a key."""
    named = select(_SUBSCRIPTIONS.c.id).where(_named(_SUBSCRIPTIONS, subscription or ""))
    conditions = (
        _of(HEADERS, customer),
        HEADERS.c.subscription_id.in_(named) if subscription else None,
        _is(HEADERS.c.state, state),
    )
    page = _page(select(HEADERS.c.id), HEADERS, asked, conditions)
    joined = WITH_LINES.where(HEADERS.c.id.in_(page)).order_by(None).order_by(HEADERS.c.seq.desc(), LINES.c.position)
    async with engine.connect() as connection:
        rows = (await connection.execute(joined)).all()
    places = list(dict.fromkeys(int(row.seq) for row in rows))
    return _cut(list(zip(invoices_of(rows), places, strict=True)), asked)


async def list_collections(
    engine: AsyncEngine,
    asked: Asked,
    *,
    customer: str | None = None,
    state: str | None = None,
    stuck_at: datetime | None = None,
    due_before: datetime | None = None,
) -> Page[Collected]:
    """Collections. With `stuck_at`, those that are stuck at that instant; with `due_before`, open ones due before it.

    Two statements. Stuck is: open, and said to be so, or without a next action, or with one overdue, or past its wait.
    """
    conditions = (
        _of(_COLLECTIONS, customer),
        _is(_COLLECTIONS.c.state, state),
        None if stuck_at is None else _stuck(stuck_at),
        None if due_before is None else and_(_open(), _COLLECTIONS.c.due_at < due_before),
    )
    columns = select(_COLLECTIONS.c.document, HEADERS.c.number, _COLLECTIONS.c.seq)
    joined = columns.join_from(_COLLECTIONS, HEADERS, HEADERS.c.id == _COLLECTIONS.c.invoice_id)
    async with engine.connect() as connection:
        rows = (await connection.execute(_page(joined, _COLLECTIONS, asked, conditions))).all()
        attempts = await _attempts(connection, [row.document.invoice_id for row in rows])
    return _cut([(_collected(row, attempts), row.seq) for row in rows], asked)


async def list_ledger_entries(
    engine: AsyncEngine,
    asked: Asked,
    *,
    customer: str | None = None,
    account: str | None = None,
    cause: str | None = None,
) -> Page[LedgerEntry]:
    """Legs of postings."""
    conditions = (_of(_ENTRIES, customer), _is(_ENTRIES.c.account, account), _is(_ENTRIES.c.cause, cause))
    return await _rows(engine, _ENTRIES, asked, conditions, _entry)


async def list_events(
    engine: AsyncEngine,
    asked: Asked,
    *,
    customer: str | None = None,
    subject: str | None = None,
    subscription_id: str | None = None,
    type: str | None = None,
    actor: str | None = None,
    nouns: Iterable[str] | None = None,
) -> Page[AuditEvent]:
    """What happened. `type` is a whole type ("invoice.issued") or a noun with its dot ("invoice."); only of `nouns`."""
    kind = None if type is None else _EVENTS.c.type.startswith(type, autoescape=True)
    conditions = (
        _of(_EVENTS, customer),
        _is(_EVENTS.c.subject, subject),
        _is(_EVENTS.c.subscription_id, subscription_id),
        _is(_EVENTS.c.actor, actor),
        kind if type and type.endswith(".") else _is(_EVENTS.c.type, type),
        None if nouns is None else func.split_part(_EVENTS.c.type, ".", 1).in_(sorted(nouns)),
    )
    return await _rows(engine, _EVENTS, asked, conditions, _event)


async def list_refused_usage(
    engine: AsyncEngine, asked: Asked, *, code: str | None = None, subject: str | None = None, type: str | None = None
) -> Page[RefusedUsage]:
    """What could not be counted, and why. `subject` is as it was sent."""
    conditions = (_is(_REFUSED.c.code, code), _is(_REFUSED.c.subject, subject), _is(_REFUSED.c.type, type))
    return await _rows(engine, _REFUSED, asked, conditions, _refused)


def _named(table: Table, name: str) -> Condition:
    return or_(table.c.id == name, table.c.key == name)


def _of(table: Table, customer: str | None) -> Condition | None:
    if customer is None:
        return None
    return table.c.customer_id.in_(select(_CUSTOMERS.c.id).where(_named(_CUSTOMERS, customer)))


def _is(column: "Column[Any]", wanted: str | None) -> Condition | None:
    return None if wanted is None else column == wanted


def _open() -> Condition:
    return _COLLECTIONS.c.state.not_in(sorted(CLOSED_STATES))


def _stuck(at: datetime) -> Condition:
    acts, until, overdue = _COLLECTIONS.c.next_action_at, _COLLECTIONS.c.waiting_until, at - OVERDUE_AFTER
    return and_(_open(), or_(_COLLECTIONS.c.state == "stuck", acts.is_(None), acts < overdue, until < overdue))


def _page(
    statement: "Select[*tuple[Any, ...]]", table: Table, asked: Asked, conditions: Sequence[Condition | None]
) -> "Select[*tuple[Any, ...]]":
    """One row more than asked for: it tells whether anything follows."""
    if not 1 <= asked.limit <= LARGEST_PAGE:
        raise InvalidInput(f"limit is {asked.limit}: 1 to {LARGEST_PAGE} are possible")
    wanted = [condition for condition in conditions if condition is not None]
    if asked.since is not None:
        wanted.append(_CAME_ABOUT[table] >= asked.since)
    if asked.until is not None:
        wanted.append(_CAME_ABOUT[table] < asked.until)
    if asked.cursor is not None:
        wanted.append(table.c.seq < _place(asked.cursor))
    return statement.where(*wanted).order_by(table.c.seq.desc()).limit(asked.limit + 1)


def _cut(rows: Sequence[tuple[V, int]], asked: Asked) -> Page[V]:
    kept = rows[: asked.limit]
    return Page(tuple(value for value, _ in kept), _cursor(kept[-1][1]) if len(rows) > len(kept) else None)


async def _documents(engine: AsyncEngine, table: Table, asked: Asked, *conditions: Condition | None) -> Page[Any]:
    statement = _page(select(table.c.document, table.c.seq), table, asked, conditions)
    async with engine.connect() as connection:
        return _cut([(row.document, row.seq) for row in await connection.execute(statement)], asked)


async def _rows(
    engine: AsyncEngine,
    table: Table,
    asked: Asked,
    conditions: Sequence[Condition | None],
    read: "Callable[[Row[Any]], V]",
) -> Page[V]:
    statement = _page(select(table), table, asked, conditions)
    async with engine.connect() as connection:
        return _cut([(read(row), row.seq) for row in await connection.execute(statement)], asked)


async def _attempts(connection: AsyncConnection, invoice_ids: Sequence[str]) -> dict[str, list[Payment]]:
    statement = select(_PAYMENTS.c.document).where(_PAYMENTS.c.invoice_id.in_(invoice_ids))
    attempts: dict[str, list[Payment]] = {}
    for payment in (await connection.execute(statement.order_by(_PAYMENTS.c.attempt))).scalars():
        attempts.setdefault(payment.invoice_id, []).append(payment)
    return attempts


def _collected(row: "Row[Any]", attempts: dict[str, list[Payment]]) -> Collected:
    tried = tuple(attempts.get(row.document.invoice_id, ()))
    return Collected(collection=row.document, number=row.number or "", attempts=tried)


def _api_key(row: "Row[Any]") -> ApiKey:
    return ApiKey(
        id=row.id,
        role=Role(row.role),
        created_at=row.created_at,
        customer_id=row.customer_id,
        approvers=tuple(row.approvers),
        label=row.label,
        revoked_at=row.revoked_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def _entry(row: "Row[Any]") -> LedgerEntry:
    return LedgerEntry(
        cause=row.cause,
        position=row.position,
        at=row.at,
        customer_id=row.customer_id,
        account=Account(row.account),
        amount=Money(row.amount_minor, row.currency),
    )


def _event(row: "Row[Any]") -> AuditEvent:
    return AuditEvent(
        type=row.type,
        cause=row.cause,
        at=row.at,
        customer_id=row.customer_id,
        subject=row.subject,
        subscription_id=row.subscription_id,
        data=row.data,
        actor=row.actor,
        changes=row.changes,
    )


def _refused(row: "Row[Any]") -> RefusedUsage:
    return RefusedUsage(
        subject=row.subject,
        type=row.type,
        code=row.code,
        times=row.times,
        first_at=row.first_at,
        last_at=row.last_at,
        last_id=row.last_id,
        detail=row.detail,
    )


def _cursor(place: int) -> str:
    return urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def _place(cursor: str) -> int:
    try:
        place = int(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        place = 0
    if not 0 < place < 2**63:
        raise InvalidInput("the cursor is not one that a list gave")
    return place
