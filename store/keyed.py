"""Keyed: what all books of things with an id and a caller's key have in common."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar, cast

from sqlalchemy import Select, Table, case, or_, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import AlreadyExists, NotFound
from domain.waiting import Waiting
from store.changes import Changes
from store.columns import parameter


class HasId(Protocol):
    """Something that has an id."""

    @property
    def id(self) -> str:
        """Unique among all."""
        ...


V = TypeVar("V", bound=HasId)
UNIQUE_VIOLATION = "23505"


class Statements:
    """The three statements of a table with columns `id`, `key` and `document`, made once."""

    def __init__(self, table: Table, noun: str) -> None:
        self.noun = noun
        self.get = named(table)
        # NO KEY UPDATE lets others insert rows that refer to this one while we hold it.
        self.lock = self.get.with_for_update(key_share=True)
        self.put = upsert(table)


class KeyedBook(ABC, Generic[V]):
    """`get`, `lock` and `put` over one table. A noun's book says its statements and its columns."""

    statements: Statements

    def __init__(self, connection: AsyncConnection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    async def get(self, name: str) -> V:
        """By id or key. Raises NotFound."""
        return await self._one(self.statements.get, name)

    async def lock(self, name: str) -> V:
        """Get, and hold until the transaction ends. Raises NotFound."""
        return await self._one(self.statements.lock, name)

    async def put(self, value: V, /) -> None:
        """Insert or replace by id. Raises AlreadyExists when another has its key; the transaction is lost then."""
        async with taken(f"{self.statements.noun} {value.id}: its key is taken"):
            await self._connection.execute(self.statements.put, self._columns(value))
        self._changes.wrote(self.statements.noun, value.id, value)

    async def _one(self, statement: "Select[Any]", name: str) -> V:
        found = (await self._connection.execute(statement, {"name": name})).scalar_one_or_none()
        if found is None:
            raise NotFound(f"no {self.statements.noun} {name}")
        self._changes.read(self.statements.noun, found.id, found)
        return cast("V", found)

    @abstractmethod
    def _columns(self, value: V) -> dict[str, Any]:
        """The row of `value`."""


def named(table: Table) -> "Select[Any]":
    """The document whose id or key is `name`; an id wins over another's key."""
    name = parameter("name")
    return (
        select(table.c.document)
        .where(or_(table.c.id == name, table.c.key == name))
        .order_by(case((table.c.id == name, 0), else_=1))
        .limit(1)
    )


def upsert(table: Table, *, by: Sequence[str] = ("id",)) -> Insert:
    """Insert a row, or replace all its columns when one with the same `by` is there."""
    columns = [column.name for column in table.columns if column.identity is None]
    statement = insert(table).values({name: parameter(name) for name in columns})
    changed = {name: statement.excluded[name] for name in columns if name not in by}
    return statement.on_conflict_do_update(index_elements=list(by), set_=changed)


def waits(waiting: Waiting | None) -> dict[str, Any]:
    """The columns that say whose move it is, and when time acts; all empty for what is closed."""
    return {
        "waiting_on": waiting.on if waiting else None,
        "waiting_until": waiting.until if waiting else None,
        "next_action": waiting.next_action if waiting else None,
        "next_action_at": waiting.next_action_at if waiting else None,
    }


@asynccontextmanager
async def taken(detail: str) -> AsyncGenerator[None]:
    """Say AlreadyExists where the database says that a unique key is taken.

    A taken id is no refusal: somebody wrote the very same thing a moment ago, and trying again will find it.
    """
    try:
        yield
    except IntegrityError as error:
        constraint = str(getattr(error.driver_exception, "constraint_name", ""))
        if getattr(error.orig, "sqlstate", None) == UNIQUE_VIOLATION and not constraint.endswith("_pkey"):
            raise AlreadyExists(detail) from error
        raise


def last_of_each(values: Iterable[V]) -> list[V]:
    """Without repetitions of one id; the last given stands."""
    kept: Mapping[str, V] = {value.id: value for value in values}
    return list(kept.values())
