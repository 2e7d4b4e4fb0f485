"""Entitlements and suspensions in the books."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Index, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.catalog import FeatureType
from domain.entitlement import Entitlement
from store.columns import document, one_of, parameter, reference, sequence, table_of, text_parameter
from store.keyed import last_of_each, upsert


class EntitlementRow(SQLModel, table=True):
    """`entitlements`: what one sold line gives of one feature, half-open in time; the document ends alike."""

    __tablename__ = "entitlements"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        one_of("type", FeatureType),
        Index("entitlements_customer_id_feature_idx", "customer_id", "feature"),
    )

    id: str = Field(primary_key=True)
    customer_id: str
    subscription_id: str = reference("subscriptions.id", index=True)
    feature: str
    type: str
    meter: str | None
    starts_at: datetime
    ends_at: datetime | None
    document: Entitlement = document(Entitlement)
    seq: int = sequence()


class SuspensionRow(SQLModel, table=True):
    """`suspensions`: what the subscription gives is shut in `[starts_at, ends_at)`, while the invoice is unpaid."""

    __tablename__ = "suspensions"  # pyright: ignore[reportAssignmentType]

    invoice_id: str = Field(primary_key=True)
    subscription_id: str = reference("subscriptions.id", index=True)
    starts_at: datetime
    ends_at: datetime | None


_HELD, _SHUT = table_of(EntitlementRow), table_of(SuspensionRow)
_PUT = upsert(_HELD)
_OF = (
    select(_HELD.c.document)
    .where(_HELD.c.customer_id == parameter("customer_id"))
    .where(or_(text_parameter("feature").is_(None), _HELD.c.feature == parameter("feature")))
    .order_by(_HELD.c.starts_at, _HELD.c.seq)
)
_END = text("""
    UPDATE entitlements
       SET ends_at = :at, document = jsonb_set(document, '{ends_at}', to_jsonb(CAST(:said AS text)))
     WHERE subscription_id = :subscription_id AND (ends_at IS NULL OR ends_at > :at)
""")
_SUSPEND = insert(_SHUT).on_conflict_do_nothing()
_RESTORE = (
    update(_SHUT)
    .where(_SHUT.c.invoice_id == parameter("invoice"), _SHUT.c.ends_at.is_(None))
    .values(ends_at=parameter("at"))
)
_LIFT = (
    update(_SHUT)
    .where(_SHUT.c.subscription_id == parameter("subscription"), _SHUT.c.ends_at.is_(None))
    .values(ends_at=parameter("at"))
)
_SUSPENDED = text("""
    SELECT shut.subscription_id
      FROM suspensions shut JOIN subscriptions sold ON sold.id = shut.subscription_id
     WHERE sold.customer_id = :customer_id AND shut.starts_at <= :at AND (shut.ends_at IS NULL OR :at < shut.ends_at)
""")


class PostgresEntitlements:
    """The book of entitlements. The caller owns the transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, entitlements: Iterable[Entitlement]) -> None:
        """Insert or replace by id, in one round trip."""
        rows = [_columns(entitlement) for entitlement in last_of_each(entitlements)]
        if rows:
            await self._connection.execute(_PUT, rows)

    async def of(self, customer_id: str, feature: str | None = None) -> tuple[Entitlement, ...]:
        """All ever held, of one feature or of all, oldest first."""
        found = await self._connection.execute(_OF, {"customer_id": customer_id, "feature": feature})
        return tuple(found.scalars())

    async def end(self, subscription_id: str, at: datetime) -> None:
        """Whatever the subscription gives beyond `at` ends at `at`, and so does every suspension of it."""
        said = at.isoformat()
        await self._connection.execute(_LIFT, {"subscription": subscription_id, "at": at})
        await self._connection.execute(_END, {"subscription_id": subscription_id, "at": at, "said": said})

    async def suspend(self, subscription_id: str, invoice_id: str, at: datetime) -> None:
        """Shut what the subscription gives from `at`. Once per invoice, also after it was lifted."""
        shut = {"invoice_id": invoice_id, "subscription_id": subscription_id, "starts_at": at, "ends_at": None}
        await self._connection.execute(_SUSPEND, shut)

    async def restore(self, invoice_id: str, at: datetime) -> None:
        """Lift the suspension for this invoice from `at`, if there is one."""
        await self._connection.execute(_RESTORE, {"invoice": invoice_id, "at": at})

    async def suspended(self, customer_id: str, at: datetime) -> frozenset[str]:
        """The customer's subscriptions that are suspended at `at`."""
        found = await self._connection.execute(_SUSPENDED, {"customer_id": customer_id, "at": at})
        return frozenset(found.scalars())


def _columns(entitlement: Entitlement) -> dict[str, Any]:
    return {
        "id": entitlement.id,
        "customer_id": entitlement.customer_id,
        "subscription_id": entitlement.subscription_id,
        "feature": entitlement.feature,
        "type": entitlement.type,
        "meter": entitlement.meter,
        "starts_at": entitlement.starts_at,
        "ends_at": entitlement.ends_at,
        "document": entitlement,
    }
