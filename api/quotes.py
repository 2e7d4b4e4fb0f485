"""Quotes: offers, and the decisions on their way to an order."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Query, Request, Response

from api import showing, shown
from api.access import Call, Calling
from api.answers import Paged, Wait, answer, expect, pdf
from api.bodies import Body
from api.context import Context, Doors
from api.customers import named as customer_named
from api.customers import whose
from api.docs import PDF, says
from api.documents import quote_document
from api.endpoint import router
from api.offers import offer_errors
from api.orders import followed
from api.previews import Previewing, Verb, Verbal
from api.quote_bodies import Acceptance, Decision, NewQuote, Nothing, Revision
from api.quote_previews import acceptance_previewed, move_previewed, offer_previewed
from api.reading import invalid
from api.sending import NotRunning, Start, send
from domain.customer import Customer
from domain.errors import AlreadyExists, FieldError, InvalidState, NotFound
from domain.ids import derived_id
from domain.quote import Quote, QuoteState
from store.access import Role
from store.lists import list_quotes
from store.naming import keys_of
from workflows import names
from workflows.quote import AcceptQuote, Move, MoveQuote, Offer, QuoteWorkflow
from workflows.runs import QuoteRun

routes = router("quotes")

_LINES = [{"plan": "all-access", "quantity": 1, "discounts": [{"percent": "10", "periods": 3}]}]
_EXAMPLE = {"id": "quo_0195…", "key": "q1", "customer": "ada", "state": "draft", "lines": _LINES}
_ORDER = {"id": "ord_0195…", "key": "q1", "customer": "ada", "state": "provisioning"}
_NEW = Body(NewQuote, example={"key": "q1", "customer": "ada", "lines": _LINES})
_REVISION = Body(Revision, example={"lines": _LINES})
_DECISION = Body(Decision, example={"as": "finance"}, optional=True)
_ACCEPTANCE = Body(Acceptance, example={"accepted_by": "Ada"}, optional=True)
_NOTHING = Body(Nothing, example={}, optional=True)
_REFUSALS = "not_found invalid_state quote_expired"


@routes.post(
    "/v1/quotes",
    status_code=201,
    openapi_extra=_NEW.docs,
    responses=says(
        shown.Quote,
        _EXAMPLE,
        status=201,
        codes="not_found already_exists currency_mismatch mixed_cadence not_supported invalid_input",
    ),
)
async def create_quote(request: Request, context: Doors, call: Calling, wait: Wait, preview: Previewing) -> Response:
    """Make an offer."""
    new = await _NEW(request)
    customer = await customer_named(context, call, new.customer)
    errors = offer_errors(new.lines, new.valid_for, customer.currency, key=new.key)
    if errors:
        raise invalid(errors)
    if preview:
        key = new.key or call.name("q")
        same = partial(_same_offer, context, key, new, customer)
        return await offer_previewed(context, call, new.lines, new.valid_for, customer=customer, key=key, known=same)
    quote, is_new = await _offered(context, call, new, customer)
    return answer(showing.quote(quote, customer=customer.key), 201 if is_new else 200)


@routes.get("/v1/quotes", responses=says(shown.Page[shown.Quote], {"data": [_EXAMPLE], "next_cursor": None}))
async def get_quotes(
    context: Doors,
    call: Calling,
    asked: Paged,
    customer: str | None = None,
    state: Annotated[QuoteState | None, Query()] = None,
) -> Response:
    """Quotes, newest first."""
    page = await list_quotes(context.engine, asked, customer=await whose(context, call, customer), state=state)
    keys = await keys_of(context.pool, (quote.customer_id for quote in page.data))
    shown = (showing.quote(quote, customer=keys[quote.customer_id]) for quote in page.data)
    return answer(showing.page(shown, page.next_cursor))


@routes.get("/v1/quotes/{id}", responses=says(shown.Quote, _EXAMPLE, codes="not_found"))
async def get_quote(id: str, context: Doors, call: Calling) -> Response:
    """One quote."""
    return await _shown(context, await _named(context, call, id))


@routes.get("/v1/quotes/{id}/pdf", response_class=Response, responses=PDF)
async def get_quote_pdf(id: str, context: Doors, call: Calling) -> Response:
    """The quote as its customer reads it."""
    quote = await _named(context, call, id)
    async with context.open_books() as books:
        customer = await books.customers.get(quote.customer_id)
        book = await books.catalog.current()
        plans = await books.catalog.plans(line.plan for line in quote.lines)
    document = quote_document(quote, customer=customer, book=book, plans=plans, at=call.at)
    return pdf(context.render_quote(document), f"{quote.key}.pdf")


@routes.post(
    "/v1/quotes/{id}/submit", openapi_extra=_NOTHING.docs, responses=says(shown.Quote, _EXAMPLE, codes=_REFUSALS)
)
async def submit_quote(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Hand the quote in for decision; approved at once when it needs none."""
    await _NOTHING(request)
    return await _moved(context, call, id, Move.SUBMIT, lambda quote: quote.submitted(call.at), verb=verb)


@routes.post(
    "/v1/quotes/{id}/withdraw", openapi_extra=_NOTHING.docs, responses=says(shown.Quote, _EXAMPLE, codes=_REFUSALS)
)
async def withdraw_quote(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Take the offer back."""
    await _NOTHING(request)
    return await _moved(context, call, id, Move.WITHDRAW, lambda quote: quote.withdrawn(call.at), verb=verb)


@routes.post(
    "/v1/quotes/{id}/approve",
    openapi_extra=_DECISION.docs,
    responses=says(shown.Quote, _EXAMPLE, codes=_REFUSALS + " not_an_approver"),
)
async def approve_quote(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Decide for the quote, in the name of one of its approvers."""
    name = _approver(call, await _DECISION(request))
    return await _moved(
        context, call, id, Move.APPROVE, lambda quote: quote.approved_by(name, call.at), name, verb=verb
    )


@routes.post(
    "/v1/quotes/{id}/reject",
    openapi_extra=_DECISION.docs,
    responses=says(shown.Quote, _EXAMPLE, codes=_REFUSALS + " not_an_approver"),
)
async def reject_quote(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Decide against the quote, in the name of one of its approvers."""
    name = _approver(call, await _DECISION(request))
    return await _moved(context, call, id, Move.REJECT, lambda quote: quote.rejected_by(name, call.at), name, verb=verb)


@routes.post(
    "/v1/quotes/{id}/revise",
    openapi_extra=_REVISION.docs,
    responses=says(
        shown.Quote, _EXAMPLE, codes=_REFUSALS + " currency_mismatch mixed_cadence not_supported invalid_input"
    ),
)
async def revise_quote(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Replace the lines of an open quote; it is a draft again, and decisions made so far are void."""
    revision = await _REVISION(request)
    quote = await _named(context, call, id)
    known_at = await _expected(context, call, quote, verb)
    errors = offer_errors(revision.lines, revision.valid_for, quote.currency)
    if errors:
        raise invalid(errors)
    if verb.preview:
        customer = await customer_named(context, call, quote.customer_id)
        return await offer_previewed(
            context, call, revision.lines, revision.valid_for, customer=customer, instead_of=quote
        )
    command = Offer(
        quote_id=quote.id,
        key=quote.key,
        customer=quote.customer_id,
        lines=revision.lines,
        at=call.at,
        valid_for=revision.valid_for,
        actor=call.actor,
        cause=call.token,
        known_at=known_at,
    )
    # Nothing of a closed quote can be revised, its own lines neither.
    closed = _unless_done(call, _refusing("revised"))
    return await _shown(context, await _told(context, call, quote, QuoteWorkflow.revise, command, closed))


@routes.post(
    "/v1/quotes/{id}/accept",
    status_code=202,
    openapi_extra=_ACCEPTANCE.docs,
    responses=says(shown.Order, _ORDER, status=202, codes=_REFUSALS + " approval_required"),
)
async def accept_quote(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Take the offer. Answers with its order once that is recorded, again and again; nobody else can take it then."""
    acceptance = await _ACCEPTANCE(request)
    quote = await _named(context, call, id)
    known_at = await _expected(context, call, quote, verb) if quote.is_open else None
    if verb.preview:
        return await acceptance_previewed(context, call, quote, acceptance.accepted_by or "")
    if quote.state is not QuoteState.ACCEPTED:
        accepted_by = acceptance.accepted_by or await _customer_key(context, quote)
        command = AcceptQuote(
            quote_id=quote.id, accepted_by=accepted_by, at=call.at, actor=call.actor, known_at=known_at
        )
        quote = await _told(context, call, quote, QuoteWorkflow.accept, command, _refusing("accepted"))
    if acceptance.accepted_by not in {None, quote.accepted_by}:
        raise InvalidState(f"quote {quote.key} is accepted, and not by whom you say")
    return await followed(context, quote.order_id or quote.key, verb.wait, status=202)


async def _named(context: Context, call: Call, name: str) -> Quote:
    async with context.open_books() as books:
        quote = await books.quotes.get(name)
    call.sees(quote.customer_id, f"quote {name}")
    return quote


async def _expected(context: Context, call: Call, quote: Quote, verb: Verb) -> datetime | None:
    """What the workflow is told of the version that the caller knows. Raises Changed; not for what we have done ourselves."""
    if verb.if_match is None or call.token in quote.moved_by:
        return None
    keys = await keys_of(context.pool, [quote.customer_id])
    expect(verb.if_match, showing.quote(quote, customer=keys[quote.customer_id]))
    return quote.version_at


async def _customer_key(context: Context, quote: Quote) -> str:
    """Not the name: what a workflow is told stays in its history."""
    return (await keys_of(context.pool, [quote.customer_id]))[quote.customer_id]


async def _shown(context: Context, quote: Quote) -> Response:
    keys = await keys_of(context.pool, [quote.customer_id])
    return answer(showing.quote(quote, customer=keys[quote.customer_id]))


async def _offered(context: Context, call: Call, new: NewQuote, customer: Customer) -> tuple[Quote, bool]:
    """The quote, and whether it is new: a key that is taken by the same offer answers with that."""
    key = new.key or call.name("q")
    known = await _same_offer(context, key, new, customer)
    if known is not None:
        return known, False
    command = Offer(
        quote_id=derived_id("quo", call.at, "key", key),
        key=key,
        customer=customer.id,
        lines=new.lines,
        at=call.at,
        valid_for=new.valid_for,
        actor=call.actor,
    )
    start = Start(
        run=QuoteWorkflow.run,
        message=QuoteRun(quote_id=command.quote_id, offset=context.offset),
        customer_id=customer.id,
        state=QuoteState.DRAFT,
    )
    to = names.quote_workflow(command.quote_id)
    try:
        return await send(
            context, QuoteWorkflow.offer, command, to=to, token=call.token, answer=Quote, start=start
        ), True
    except AlreadyExists:
        # Somebody was faster: what counts is whether they meant the same.
        known = await _same_offer(context, key, new, customer)
        if known is None:
            raise
        return known, False


async def _same_offer(context: Context, key: str, new: NewQuote, customer: Customer) -> Quote | None:
    """The quote of that key; None when there is none. Raises AlreadyExists when it offers something else."""
    async with context.open_books() as books:
        try:
            quote = await books.quotes.get(key)
        except NotFound:
            return None
    lines = [(line.plan.key, line.quantity, line.discounts) for line in quote.lines]
    asked = [(line.plan, line.quantity, line.discounts) for line in new.lines]
    if quote.key != key or quote.customer_id != customer.id or lines != asked:
        raise AlreadyExists(f"quote {key} exists with other content")
    return quote


async def _moved(
    context: Context,
    call: Call,
    name: str,
    move: Move,
    rule: Callable[[Quote], Quote],
    approver: str = "",
    *,
    verb: Verb,
) -> Response:
    quote = await _named(context, call, name)
    known_at = await _expected(context, call, quote, verb)
    if verb.preview:
        return await move_previewed(context, call, quote, move, rule, approver)
    call.decides_as(approver)
    command = MoveQuote(
        quote_id=quote.id,
        move=move,
        at=call.at,
        approver=approver,
        actor=call.actor,
        cause=call.token,
        known_at=known_at,
    )
    closed = _unless_done(call, rule)
    return await _shown(context, await _told(context, call, quote, QuoteWorkflow.move, command, closed))


async def _told(
    context: Context,
    call: Call,
    quote: Quote,
    update: Callable[..., Any],
    command: object,
    rule: Callable[[Quote], Quote],
) -> Quote:
    """The quote after `command`. Where no workflow runs, `rule` says why not; an open quote is run again from its record."""
    to = names.quote_workflow(quote.id)
    try:
        return await send(context, update, command, to=to, token=call.token, answer=Quote)
    except NotRunning:
        async with context.open_books() as books:
            quote = await books.quotes.get(quote.id)
        if not quote.is_open:
            return rule(quote)
    start = Start(
        run=QuoteWorkflow.run,
        message=QuoteRun(quote_id=quote.id, quote=quote, offset=context.offset),
        customer_id=quote.customer_id,
        state=quote.state,
    )
    return await send(context, update, command, to=to, token=call.token, answer=Quote, start=start)


def _unless_done(call: Call, rule: Callable[[Quote], Quote]) -> Callable[[Quote], Quote]:
    """The rule, but for a request that is sent again after we had done it and could not say so."""
    return lambda quote: quote if call.token in quote.moved_by else rule(quote)


def _refusing(verb: str) -> Callable[[Quote], Quote]:
    """The rule of a verb that only open quotes know; one that is accepted meanwhile is what was asked for."""

    def rule(quote: Quote) -> Quote:
        if verb == "accepted" and quote.state is QuoteState.ACCEPTED:
            return quote
        raise InvalidState(f"quote {quote.key} is {quote.state} and cannot be {verb}")

    return rule


def _approver(call: Call, decision: Decision) -> str:
    """In whose name the caller decides. Raises InvalidInput."""
    name = decision.approver or (call.key.approvers[0] if len(call.key.approvers) == 1 else None)
    if name is None:
        says_why = "say in whose name: the quote's `approvals` name who must decide"
        if call.key.role is not Role.ADMIN and not call.key.approvers:
            says_why += "; this API key carries no approver's name"
        raise invalid([FieldError(("as",), says_why)])
    return name
