"""The books: every book of activities.ports, inside one transaction of PostgreSQL."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from store.audit import PostgresAudit
from store.catalog import PostgresCatalog
from store.changes import Changes
from store.collections import PostgresCollections
from store.customers import PostgresCustomers
from store.entitlements import PostgresEntitlements
from store.invoices import PostgresInvoices
from store.ledger import PostgresLedger
from store.orders import PostgresOrders
from store.payments import PostgresPayments
from store.quotes import PostgresQuotes
from store.subscriptions import PostgresSubscriptions
from store.usage import PostgresUsage


class PostgresBooks:
    """All books over one connection; whoever made them ends the transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        changes = Changes()
        self.customers = PostgresCustomers(connection, changes)
        self.catalog = PostgresCatalog(connection)
        self.quotes = PostgresQuotes(connection, changes)
        self.orders = PostgresOrders(connection, changes)
        self.subscriptions = PostgresSubscriptions(connection, changes)
        self.entitlements = PostgresEntitlements(connection)
        self.usage = PostgresUsage(connection)
        self.invoices = PostgresInvoices(connection, changes)
        self.payments = PostgresPayments(connection)
        self.collections = PostgresCollections(connection, changes)
        self.ledger = PostgresLedger(connection)
        self.audit = PostgresAudit(connection, changes)


def open_books(engine: AsyncEngine) -> Callable[[], AbstractAsyncContextManager[PostgresBooks]]:
    """Opens the books of one database: leaving the block commits, an exception rolls back."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[PostgresBooks]:
        async with engine.begin() as connection:
            books = PostgresBooks(connection)
            yield books
            await books.audit.flush()

    return opened
