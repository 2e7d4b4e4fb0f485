"""Activities on quotes: offer, decide, accept. Each is one transaction."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from temporalio import activity

from activities.ports import Books, Lifecycles, OpenBooks
from domain.audit import AuditEvent
from domain.deal import ordered
from domain.errors import AlreadyExists, Changed, NotFound
from domain.offer import OfferedLine, offered
from domain.quote import VALID_FOR, Quote, QuoteState

__all__ = ["AcceptQuote", "Move", "MoveQuote", "Offer", "OfferedLine", "QuotingActivities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Make (or, with the id of an open quote, remake) an offer at `at` (UTC). `customer` is an id or key.

    `cause` names the request that remakes it: one that comes again is told by it, and undoes nothing done since.
    """

    quote_id: str
    key: str
    customer: str
    lines: tuple[OfferedLine, ...]
    at: datetime
    valid_for: timedelta = VALID_FOR
    actor: str = "perennial"
    cause: str = ""
    known_at: datetime | None = None


class Move(StrEnum):
    """What can be done to an open quote, short of accepting it."""

    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveQuote:
    """Do `move` at `at` (UTC); `approver` is the role in whose name it is decided.

    `cause` names the request: one that comes again, however much later, is told by it. Without one its instant does.
    """

    quote_id: str
    move: Move
    at: datetime
    approver: str = ""
    actor: str = "perennial"
    cause: str = ""
    known_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptQuote:
    """The customer, or `accepted_by` for it, takes the offer at `at` (UTC)."""

    quote_id: str
    accepted_by: str
    at: datetime
    actor: str = "perennial"
    known_at: datetime | None = None


class QuotingActivities:
    """Built once per worker, with the doors it may use."""

    def __init__(self, *, open_books: OpenBooks, lifecycles: Lifecycles) -> None:
        self._open_books = open_books
        self._lifecycles = lifecycles

    @activity.defn
    async def offer(self, command: Offer) -> Quote:
        """Write the quote. The same offer again answers the first; another under its key raises AlreadyExists.

        Idempotent: the quote is keyed by its id.
        """
        async with self._open_books() as books:
            try:
                was = await books.quotes.lock(command.quote_id)
            except NotFound:
                was = None
            if was is not None:
                if not await _offers(books, was, command):
                    raise AlreadyExists(f"quote {was.key} exists with other content")
                return was
            quote = await _offered(books, command)
            await books.quotes.put(quote)
            await books.audit.add(_event("quote.created", quote, command.at, command.actor))
        return quote

    @activity.defn
    async def revise(self, command: Offer) -> Quote:
        """Replace the lines of an open quote; decisions made so far are void.

        Idempotent: a revision that is recorded already is not made again.
        """
        async with self._open_books() as books:
            was = await books.quotes.lock(command.quote_id)
            known = command.cause in was.moved_by
            _require_version(was, None if known else command.known_at)
            quote = was if known else was.revised(await _offered(books, command), command.at)
            if quote != was:
                quote = _caused(quote, command.cause) if command.cause else quote
                await books.quotes.put(quote)
                await books.audit.add(_event("quote.revised", quote, command.at, command.actor))
        return quote

    @activity.defn
    async def move(self, command: MoveQuote) -> Quote:
        """Decide by the domain's rule, and record it.

        Idempotent: a move that is recorded already is not made again.
        """
        async with self._open_books() as books:
            was = await books.quotes.lock(command.quote_id)
            cause = command.cause or f"{command.move}/{command.approver}/{command.at.isoformat()}"
            known = cause in was.moved_by
            _require_version(was, None if known else command.known_at)
            quote = was if known else _moved(was, command)
            if quote != was:
                quote = _caused(quote, cause)
                await books.quotes.put(quote)
                await books.audit.add(_event(f"quote.{_PAST[command.move]}", quote, command.at, command.actor))
        return quote

    @activity.defn
    async def accept(self, command: AcceptQuote) -> Quote:
        """Record the acceptance and its order together, then start the order.

        Idempotent: an accepted quote answers with the order it has; the order's workflow is found if it runs.
        """
        async with self._open_books() as books:
            quote = await books.quotes.lock(command.quote_id)
            if quote.state is not QuoteState.ACCEPTED:
                _require_version(quote, command.known_at)
                order = ordered(quote, command.at)
                quote = quote.accepted(by=command.accepted_by, at=command.at, order_id=order.id)
                await books.quotes.put(quote)
                await books.orders.put(order)
                await books.audit.add(
                    _event("quote.accepted", quote, command.at, command.actor),
                    AuditEvent(
                        type="order.created",
                        cause=order.id,
                        at=command.at,
                        customer_id=order.customer_id,
                        subject=order.id,
                        data={"order": order.key, "steps": str(len(order.steps))},
                        actor=command.actor,
                    ),
                )
            else:
                assert quote.order_id is not None
                order = await books.orders.get(quote.order_id)
        if order.is_open:
            await self._lifecycles.start_order(order)
        return quote


# A quote sees a handful of moves; what is older than these is no repetition any more.
_REMEMBERED = 20
_PAST = {
    Move.SUBMIT: "submitted",
    Move.APPROVE: "approved",
    Move.REJECT: "rejected",
    Move.WITHDRAW: "withdrawn",
    Move.EXPIRE: "expired",
}


def _require_version(quote: Quote, known_at: datetime | None) -> None:
    """Raises Changed unless it last changed at `known_at`; None: whatever it is."""
    if known_at is not None and quote.version_at != known_at:
        raise Changed(f"quote {quote.key} has changed since it was read")


def _caused(quote: Quote, cause: str) -> Quote:
    return replace(quote, moved_by=(*quote.moved_by, cause)[-_REMEMBERED:])


def _moved(quote: Quote, command: MoveQuote) -> Quote:
    match command.move:
        case Move.SUBMIT:
            return quote.submitted(command.at)
        case Move.APPROVE:
            return quote.approved_by(command.approver, command.at)
        case Move.REJECT:
            return quote.rejected_by(command.approver, command.at)
        case Move.WITHDRAW:
            return quote.withdrawn(command.at)
        case Move.EXPIRE:
            return quote.expired()


async def _offers(books: Books, quote: Quote, command: Offer) -> bool:
    """Whether `quote` is what `command` asks for; in which versions of its plans is a matter of when it was made."""
    lines = [(line.plan.key, line.quantity, line.discounts) for line in quote.lines]
    asked = [(line.plan, line.quantity, line.discounts) for line in command.lines]
    return lines == asked and quote.customer_id == (await books.customers.get(command.customer)).id


async def _offered(books: Books, command: Offer) -> Quote:
    """The quote that `command` asks for. Raises InvalidInput, Refused."""
    return offered(
        command.lines,
        id=command.quote_id,
        key=command.key,
        customer=await books.customers.get(command.customer),
        book=await books.catalog.current(),
        at=command.at,
        valid_for=command.valid_for,
    )


def _event(type_: str, quote: Quote, at: datetime, actor: str) -> AuditEvent:
    return AuditEvent(
        type=type_,
        cause=f"{quote.id}/{at.isoformat()}/{len(quote.open_approvals)}",
        at=at,
        customer_id=quote.customer_id,
        subject=quote.id,
        data={"quote": quote.key, "state": quote.state},
        actor=actor,
    )
