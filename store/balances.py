"""Balances: what the ledger comes to, per account and currency."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ledger import Account
from domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """The balance of one account in one currency, on the side on which it stands; the other side is zero."""

    account: Account
    debit: Money
    credit: Money

    @property
    def currency(self) -> str:
        """Of both sides."""
        return self.debit.currency


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """All accounts that were ever posted to, in the order of the chart."""

    accounts: tuple[AccountBalance, ...]

    @property
    def balanced(self) -> bool:
        """Whether debits equal credits in every currency."""
        sums: dict[str, int] = {}
        for row in self.accounts:
            sums[row.currency] = sums.get(row.currency, 0) + row.debit.minor - row.credit.minor
        return not any(sums.values())


_BALANCES = text("SELECT account, currency, sum(amount_minor) AS sum FROM ledger_entries GROUP BY account, currency")


async def trial_balance(engine: AsyncEngine) -> TrialBalance:
    """The ledger as it stands. One statement."""
    async with engine.connect() as connection:
        rows = (await connection.execute(_BALANCES)).all()
    chart = list(Account)
    balances = [
        AccountBalance(
            account=Account(row.account),
            debit=Money(max(0, int(row.sum)), row.currency),
            credit=Money(max(0, -int(row.sum)), row.currency),
        )
        for row in rows
    ]
    return TrialBalance(tuple(sorted(balances, key=lambda row: (row.currency, chart.index(row.account)))))
