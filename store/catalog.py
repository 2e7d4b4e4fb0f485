"""The price book in the books: every application, every version of every plan, the newest word on meters and features.

A meter or feature that a later price book leaves out stays known: what was sold with it is still measured and answered.
While something sold, or a quote that is open, uses it, its meaning stays.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Table, desc, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import Insert, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.catalog import Feature, Meter, Plan, PlanRef, PriceBook
from domain.catalog_rules import keep_meaning
from domain.errors import NotFound
from domain.subscription import Plans
from store.columns import among, document, table_of
from store.keyed import upsert


class PriceBookRow(SQLModel, table=True):
    """`price_books`: one row per application, the newest is in force; its plans carry the versions they were given."""

    __tablename__ = "price_books"  # pyright: ignore[reportAssignmentType]

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    entity: str
    applied_at: datetime
    document: PriceBook = document(PriceBook)


class PlanRow(SQLModel, table=True):
    """`plans`: every version that was ever in force. Rows never change."""

    __tablename__ = "plans"  # pyright: ignore[reportAssignmentType]

    key: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    applied_at: datetime
    document: Plan = document(Plan)


class MeterRow(SQLModel, table=True):
    """`meters`: the newest definition of each."""

    __tablename__ = "meters"  # pyright: ignore[reportAssignmentType]

    key: str = Field(primary_key=True)
    event: str = Field(index=True)
    document: Meter = document(Meter)


class FeatureRow(SQLModel, table=True):
    """`features`: the newest definition of each."""

    __tablename__ = "features"  # pyright: ignore[reportAssignmentType]

    key: str = Field(primary_key=True)
    document: Feature = document(Feature)


_BOOKS, _PLANS = table_of(PriceBookRow), table_of(PlanRow)
_METERS, _FEATURES = table_of(MeterRow), table_of(FeatureRow)
_CURRENT = select(_BOOKS.c.document).order_by(desc(_BOOKS.c.id)).limit(1)
_ONE_AT_A_TIME = select(func.pg_advisory_xact_lock(func.hashtextextended("catalog", 0)))
_VERSIONS = select(_PLANS.c.key, _PLANS.c.version, _PLANS.c.document).where(
    tuple_(_PLANS.c.key, _PLANS.c.version).in_(among("refs"))
)
_LATEST = (
    select(_PLANS.c.key, _PLANS.c.document)
    .ext(distinct_on(_PLANS.c.key))
    .where(_PLANS.c.key.in_(among("keys")))
    .order_by(_PLANS.c.key, desc(_PLANS.c.version))
)
_SOLD = text("""
    SELECT DISTINCT item -> 'plan' ->> 'key' AS key, (item -> 'plan' ->> 'version')::int AS version
      FROM (SELECT document -> 'items' AS items FROM orders WHERE state NOT IN ('completed', 'cancelled')
             UNION ALL
            SELECT section -> 'items' FROM subscriptions, jsonb_array_elements(document -> 'sections') section
             WHERE state <> 'ended' OR next_action_at IS NOT NULL
             UNION ALL
            SELECT document -> 'lines' FROM quotes WHERE state IN ('draft', 'in_approval', 'approved')
           ) sold, jsonb_array_elements(items) item
""")
_PUT_METER, _PUT_FEATURE = upsert(_METERS, by=("key",)), upsert(_FEATURES, by=("key",))


class PostgresCatalog:
    """The book of prices. The caller owns the transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def apply(self, book: PriceBook, at: datetime) -> PriceBook:
        """Make `book` the current one, one application at a time. What is in force already is not written again.

        Raises InvalidInput where it would change the meaning of what is sold, or on offer in an open quote.
        """
        await self._connection.execute(_ONE_AT_A_TIME)
        latest = await self._latest(plan.key for plan in book.plans)
        plans = tuple(_versioned(plan, latest.get(plan.key)) for plan in book.plans)
        book = replace(book, plans=plans)
        if book == await self._current():
            return book
        meters, features = await self._all(_METERS), await self.features()
        keep_meaning(book, meters, features, (await self._sold()).values())
        new = [plan for plan in plans if plan is not latest.get(plan.key)]
        await self._insert_plans(new, at)
        await self._write(_PUT_METER, [{"key": m.key, "event": m.event, "document": m} for m in book.meters])
        await self._write(_PUT_FEATURE, [{"key": feature.key, "document": feature} for feature in book.features])
        await self._connection.execute(insert(_BOOKS), {"entity": book.entity.key, "applied_at": at, "document": book})
        return book

    async def current(self) -> PriceBook:
        """The price book in force. Raises NotFound when none was applied yet."""
        book = await self._current()
        if book is None:
            raise NotFound("no price book was applied yet")
        return book

    async def plans(self, refs: Iterable[PlanRef]) -> Plans:
        """The named versions, in one statement. Raises NotFound."""
        wanted = set(refs)
        if not wanted:
            return {}
        rows = await self._connection.execute(_VERSIONS, {"refs": [(ref.key, ref.version) for ref in sorted_(wanted)]})
        found: dict[PlanRef, Plan] = {PlanRef(row.key, row.version): row.document for row in rows}
        missing = wanted - found.keys()
        if missing:
            raise NotFound("no plan " + ", ".join(f"{ref.key} in version {ref.version}" for ref in sorted_(missing)))
        return found

    async def features(self) -> tuple[Feature, ...]:
        """The newest definition of every feature there ever was."""
        return await self._all(_FEATURES)

    async def _all(self, table: Table) -> tuple[Any, ...]:
        return tuple((await self._connection.execute(select(table.c.document).order_by(table.c.key))).scalars())

    async def _sold(self) -> Plans:
        """What runs, waits for its last late usage, is about to run, or is on offer to somebody."""
        rows = await self._connection.execute(_SOLD)
        return await self.plans(PlanRef(row.key, row.version) for row in rows)

    async def _current(self) -> PriceBook | None:
        return (await self._connection.execute(_CURRENT)).scalar_one_or_none()

    async def _latest(self, keys: Iterable[str]) -> dict[str, Plan]:
        rows = await self._connection.execute(_LATEST, {"keys": sorted(keys)})
        return {row.key: row.document for row in rows}

    async def _insert_plans(self, plans: Sequence[Plan], at: datetime) -> None:
        rows = [{"key": p.key, "version": p.version, "applied_at": at, "document": p} for p in plans]
        await self._write(insert(_PLANS), rows)

    async def _write(self, statement: Insert, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            await self._connection.execute(statement, rows)


def sorted_(refs: Iterable[PlanRef]) -> list[PlanRef]:
    """By key and version."""
    return sorted(refs, key=lambda ref: (ref.key, ref.version))


def _versioned(plan: Plan, latest: Plan | None) -> Plan:
    """`latest` itself when nothing changed, else the next version. Compared as values: 1.0 and 1.00 are one price."""
    if latest is None:
        return replace(plan, version=1)
    return latest if replace(plan, version=latest.version) == latest else replace(plan, version=latest.version + 1)
