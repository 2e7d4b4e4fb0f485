"""What has been billed of usage, per part and charge: the base of the next re-rating."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.measure import BilledUsage
from store.columns import among, document, minor, parameter, reference, sequence, table_of
from store.keyed import upsert


class BilledUsageRow(SQLModel, table=True):
    """`billed_usage`: one row per item, charge and span of usage, late usage included. `position` is the item's."""

    __tablename__ = "billed_usage"  # pyright: ignore[reportAssignmentType]

    subscription_id: str = reference("subscriptions.id", primary_key=True)
    ends_at: datetime = Field(primary_key=True)
    starts_at: datetime = Field(primary_key=True)
    position: int = Field(primary_key=True)
    charge: str = Field(primary_key=True)
    billed_minor: int = minor()
    currency: str
    document: BilledUsage = document(BilledUsage)
    seq: int = sequence()


_BILLED = table_of(BilledUsageRow)
_PUT = upsert(_BILLED, by=("subscription_id", "ends_at", "starts_at", "position", "charge"))
# By sequence last: within a part the charges stand as they were billed, in the price book's order.
_SINCE = (
    select(_BILLED.c.subscription_id, _BILLED.c.document)
    .where(_BILLED.c.subscription_id.in_(among("subscriptions")), _BILLED.c.ends_at > parameter("since"))
    .order_by(_BILLED.c.ends_at, _BILLED.c.starts_at, _BILLED.c.seq)
)


async def since(
    connection: AsyncConnection, subscriptions: Sequence[str], instant: datetime
) -> dict[str, tuple[BilledUsage, ...]]:
    """What was billed of each in parts that end after `instant`, oldest first."""
    found = (await connection.execute(_SINCE, {"subscriptions": subscriptions, "since": instant})).all()
    return {id_: tuple(row.document for row in found if row.subscription_id == id_) for id_ in subscriptions}


async def remember(connection: AsyncConnection, subscription_id: str, billed: Iterable[BilledUsage]) -> None:
    """Insert, or replace what was billed for the same part and charge."""
    rows = [_columns(subscription_id, one) for one in billed]
    if rows:
        await connection.execute(_PUT, rows)


def _columns(subscription_id: str, one: BilledUsage) -> dict[str, Any]:
    return {
        "subscription_id": subscription_id,
        "starts_at": one.part.starts_at,
        "ends_at": one.part.ends_at,
        "position": one.part.item.position,
        "charge": one.charge,
        "billed_minor": one.billed.minor,
        "currency": one.billed.currency,
        "document": one,
    }
