"""Columns: how values of the domain lie in PostgreSQL.

A row has a column for whatever is searched, joined, constrained or summed, and `document`: the whole value as JSON.
Reading gives the document back; fields it does not know yet take their defaults, fields that are no more are ignored.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from typing import Any, cast

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    BindParameter,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    String,
    Table,
    bindparam,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

SQLModel.metadata.naming_convention = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


@cache
def codec(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any type
    """Reads and writes values of `kind` as JSON. Made at first use: making one takes milliseconds."""
    return TypeAdapter(kind)


class Document(TypeDecorator[Any]):
    """A JSONB column that holds one value of `kind`."""

    impl = JSONB
    cache_ok = True

    def __init__(self, kind: object) -> None:
        super().__init__()
        self.kind = kind

    # Both processors replace those of JSONB: its own would parse into dicts what is then parsed again.
    def bind_processor(self, dialect: Dialect) -> Callable[..., Any]:
        """Value to JSON text."""
        dump = codec(self.kind).dump_json

        def to_text(value: object) -> str | None:
            return None if value is None else dump(value).decode()

        return to_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[..., Any]:
        """JSON text to value."""
        load = codec(self.kind).validate_json

        def to_value(value: str | None) -> object:
            return None if value is None else load(value)

        return to_value


def document(kind: object) -> Any:  # noqa: ANN401 - a field stands for its value's type
    """The column of the whole value."""
    return Field(sa_column=Column(Document(kind), nullable=False))


def minor() -> Any:  # noqa: ANN401
    """The column of an amount in minor units."""
    return Field(sa_type=BigInteger)


def sequence(*, primary_key: bool = False) -> Any:  # noqa: ANN401
    """The column that counts the rows in the order in which they came about: lists and their cursors follow it."""
    identity = Identity(always=True)
    unique = not primary_key
    return Field(sa_column=Column(BigInteger, identity, nullable=False, primary_key=primary_key, unique=unique))


def reference(
    to: str, *, nullable: bool = False, primary_key: bool = False, index: bool = False, unique: bool = False
) -> Any:  # noqa: ANN401
    """A column that names a row of another table, checked when the transaction ends, so that their order is free."""
    key = ForeignKey(to, deferrable=True, initially="DEFERRED")
    return Field(sa_column=Column(String, key, nullable=nullable, primary_key=primary_key, index=index, unique=unique))


def one_of(column: str, kinds: Iterable[StrEnum]) -> CheckConstraint:
    """`column` holds one of `kinds`. Text and a check, because an enum type cannot lose a value again."""
    names = ", ".join(f"'{kind.value}'" for kind in kinds)
    return CheckConstraint(f"{column} IN ({names})", name=column)


def where_set(table: str, column: str) -> Index:
    """An index of those rows only that have a value in `column`."""
    return Index(f"{table}_{column}_idx", column, postgresql_where=text(f"{column} IS NOT NULL"))


def parameter(name: str) -> "BindParameter[Any]":
    """A value given at execution."""
    return bindparam(name)


def text_parameter(name: str) -> "BindParameter[str]":
    """A text given at execution, where nothing else tells its type."""
    return bindparam(name, type_=String)


def among(name: str) -> "BindParameter[Any]":
    """A list given at execution, for `in_`."""
    return bindparam(name, expanding=True)


def table_of(row: type[SQLModel]) -> Table:
    """The table that a row class describes."""
    return SQLModel.metadata.tables[cast("str", getattr(row, "__tablename__"))]  # noqa: B009 - its type is unknown
