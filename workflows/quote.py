"""QuoteWorkflow: one offer, from draft to order or to its last instant."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

from activities.quoting import AcceptQuote, Move, MoveQuote, Offer, OfferedLine, QuotingActivities
from domain.quote import Quote
from workflows.clock import now
from workflows.inbox import Inbox
from workflows.names import STATE, show
from workflows.options import STORE
from workflows.runs import QuoteRun

__all__ = ["AcceptQuote", "Move", "MoveQuote", "Offer", "OfferedLine", "QuoteWorkflow"]


# A workflow is started together with its offer; one whose offer never arrives must not stay.
FIRST_COMMAND_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Revision:
    """An offer in place of the one that is there."""

    offer: Offer


Command = Offer | _Revision | MoveQuote | AcceptQuote


@workflow.defn
class QuoteWorkflow:
    """Decisions come in as updates, one at a time; time alone makes the offer expire.

    Id: `quote/{quote_id}`. Ends when the quote is accepted, rejected, withdrawn or expired, or was never made.
    """

    @workflow.init
    def __init__(self, run: QuoteRun) -> None:
        self._quote = run.quote
        self._offset = run.offset
        self._first_command_by = now(run.offset) + FIRST_COMMAND_WITHIN
        self._inbox = Inbox[Command, Quote]()

    @workflow.run
    async def run(self, run: QuoteRun) -> None:
        """Answer one command after the other until the quote is closed."""
        while True:
            asked = await self._inbox.next(self._expires_at(), self._offset, "offer is valid")
            if asked is None and self._quote is None:
                break
            if asked is None:
                self._quote = await self._move(
                    MoveQuote(quote_id=run.quote_id, move=Move.EXPIRE, at=self._last_instant())
                )
            else:
                self._quote = await asked.answered_by(self._carried_out(asked.command)) or self._quote
            if self._inbox.is_empty and (self._quote is None or not self._quote.is_open):
                break
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.update
    async def offer(self, command: Offer) -> Quote:
        """Make the offer; the first command of a new quote."""
        return await self._inbox.ask(command)

    @workflow.update
    async def revise(self, command: Offer) -> Quote:
        """Replace the lines."""
        return await self._inbox.ask(_Revision(command))

    @workflow.update
    async def move(self, command: MoveQuote) -> Quote:
        """Submit, approve, reject or withdraw."""
        return await self._inbox.ask(command)

    @workflow.update
    async def accept(self, command: AcceptQuote) -> Quote:
        """Take the offer: answers when the order is recorded."""
        return await self._inbox.ask(command)

    async def _carried_out(self, command: Command) -> Quote:
        match command:
            case AcceptQuote():
                quote = await workflow.execute_activity_method(QuotingActivities.accept, command, **STORE)
            case MoveQuote():
                quote = await self._move(command)
            case Offer():
                quote = await workflow.execute_activity_method(QuotingActivities.offer, command, **STORE)
            case _Revision(offer):
                quote = await workflow.execute_activity_method(QuotingActivities.revise, offer, **STORE)
        show(STATE.value_set(quote.state))
        return quote

    async def _move(self, command: MoveQuote) -> Quote:
        return await workflow.execute_activity_method(QuotingActivities.move, command, **STORE)

    def _expires_at(self) -> datetime:
        return self._quote.valid_until if self._quote else self._first_command_by

    def _last_instant(self) -> datetime:
        assert self._quote is not None
        return self._quote.valid_until
