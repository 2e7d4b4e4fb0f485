"""Audit events in the books, in the order in which they came about. Rows never change."""

from datetime import datetime

from sqlalchemy import Column, UniqueConstraint
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.audit import AuditEvent, Change
from store.changes import Changes
from store.columns import Document, sequence, table_of


class AuditEventRow(SQLModel, table=True):
    """`audit_events`: what happened, once per cause and type."""

    __tablename__ = "audit_events"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("cause", "type"),)

    seq: int = sequence(primary_key=True)
    type: str = Field(index=True)
    cause: str
    at: datetime = Field(index=True)
    customer_id: str = Field(index=True)
    subject: str = Field(index=True)
    subscription_id: str | None = Field(index=True)
    data: dict[str, str] = Field(sa_column=Column(Document(dict[str, str]), nullable=False))
    actor: str = Field(index=True)
    changes: dict[str, Change] = Field(sa_column=Column(Document(dict[str, Change]), nullable=False))


_ADD = insert(table_of(AuditEventRow)).on_conflict_do_nothing()


class PostgresAudit:
    """The audit trail. The caller owns the transaction, and flushes before it ends."""

    def __init__(self, connection: AsyncConnection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes
        self._told: list[AuditEvent] = []

    async def add(self, *events: AuditEvent) -> None:
        """Append, once per cause and type."""
        self._told += events

    async def flush(self) -> None:
        """Write what was added: last, when it is known what the transaction has changed."""
        if self._told:
            rows = [_columns(event, self._changes.of(event.type, event.subject)) for event in self._told]
            await self._connection.execute(_ADD, rows)
            self._told.clear()


def _columns(event: AuditEvent, changes: dict[str, Change]) -> dict[str, object]:
    return {
        "type": event.type,
        "cause": event.cause,
        "at": event.at,
        "customer_id": event.customer_id,
        "subject": event.subject,
        "subscription_id": event.subscription_id,
        "data": event.data,
        "actor": event.actor,
        "changes": changes,
    }
