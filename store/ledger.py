"""The ledger in the books: one row per leg, never changed."""

from datetime import datetime

from sqlalchemy import Index, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from domain.ledger import Account, Posting
from domain.money import Money
from store.columns import minor, one_of, sequence, table_of


class LedgerEntryRow(SQLModel, table=True):
    """`ledger_entries`: the legs of each cause, in their order. Debits are positive."""

    __tablename__ = "ledger_entries"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        one_of("account", Account),
        Index("ledger_entries_balance_idx", "customer_id", "account", "currency"),
    )

    cause: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    at: datetime
    customer_id: str
    account: str
    amount_minor: int = minor()
    currency: str
    seq: int = sequence()


_ENTRIES = table_of(LedgerEntryRow)
# The first leg is the gate: whoever writes it writes the others, so a cause is posted whole or not at all.
_POST = text("""
    WITH leg AS (
        SELECT CAST(:cause AS text) AS cause, position::int - 1 AS position, CAST(:at AS timestamptz) AS at,
               CAST(:customer_id AS text) AS customer_id, account, amount_minor, CAST(:currency AS text) AS currency
          FROM unnest(CAST(:accounts AS text[]), CAST(:amounts AS bigint[]))
               WITH ORDINALITY AS given (account, amount_minor, position)
    ), gate AS (
        INSERT INTO ledger_entries (cause, position, at, customer_id, account, amount_minor, currency)
        SELECT * FROM leg WHERE position = 0 ON CONFLICT DO NOTHING RETURNING cause
    )
    INSERT INTO ledger_entries (cause, position, at, customer_id, account, amount_minor, currency)
    SELECT leg.* FROM leg JOIN gate USING (cause) WHERE leg.position > 0 ORDER BY leg.position
""")


class PostgresLedger:
    """The ledger. The caller owns the transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def post(self, posting: Posting) -> None:
        """Write it, once per cause: posting the same cause again changes nothing."""
        if not posting.legs:
            return
        await self._connection.execute(
            _POST,
            {
                "cause": posting.cause,
                "at": posting.at,
                "customer_id": posting.customer_id,
                "currency": posting.legs[0].amount.currency,
                "accounts": [leg.account.value for leg in posting.legs],
                "amounts": [leg.amount.minor for leg in posting.legs],
            },
        )

    async def balance(self, account: Account, customer_id: str, currency: str) -> Money:
        """Sum of the legs of one customer on one account; debits are positive."""
        statement = select(func.coalesce(func.sum(_ENTRIES.c.amount_minor), 0)).where(
            _ENTRIES.c.customer_id == customer_id, _ENTRIES.c.account == account, _ENTRIES.c.currency == currency
        )
        return Money(int((await self._connection.execute(statement)).scalar_one()), currency)
