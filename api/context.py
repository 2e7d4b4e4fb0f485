"""Context: the doors that the API works through. `workers` opens them; nothing here makes one."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.limits import Rates
from domain.document import InvoiceDocument, QuoteDocument
from domain.dunning import Collection
from domain.metering import USAGE_MAX_AGE
from store.books import PostgresBooks
from store.connections import Fetches
from store.reconcile import Reconciliation


class Clock(Protocol):
    """Where an instant comes from."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One API's doors.

    `wake` tells a collection, running or not, that something changed outside. `reconcile` compares the books with all
    who should agree with them. `offset` is the story's clock less
    Temporal's, zero in production; it goes into every workflow that is started. `wall` is the wall's clock, for the
    tolerance of webhook signatures alone. `entropy` answers 32 fresh hex digits that nobody can guess. Without
    `webhook_secret` no webhook is believed. `rates` counts what each API key sends.
    """

    engine: AsyncEngine
    pool: Fetches
    open_books: Callable[[], AbstractAsyncContextManager[PostgresBooks]]
    temporal: Client
    task_queue: str
    wake: Callable[[Collection, datetime], Awaitable[None]]
    reconcile: Callable[[], Awaitable[Reconciliation]]
    clock: Clock
    wall: Clock
    entropy: Callable[[], str]
    render_invoice: Callable[[InvoiceDocument], bytes]
    render_quote: Callable[[QuoteDocument], bytes]
    webhook_secret: str = ""
    offset: timedelta = timedelta(0)
    usage_max_age: timedelta = USAGE_MAX_AGE
    usage_max_ahead: timedelta = timedelta(minutes=5)
    answer_within: timedelta = timedelta(seconds=20)
    rates: Rates = field(default_factory=Rates)


def context_of(request: Request) -> Context:
    """The context that the app was made with."""
    return cast(Context, request.app.state.context)


async def _doors(request: Request) -> Context:
    # FastAPI runs what is not async in a thread, which costs more than all that is done here.
    return context_of(request)


Doors = Annotated[Context, Depends(_doors)]
