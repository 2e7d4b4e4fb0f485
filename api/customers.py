"""Customers: who buys, and what they pay with."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, cast
from zoneinfo import available_timezones

from fastapi import Request, Response
from pydantic import StringConstraints

from api import showing, shown
from api.access import Call, Calling
from api.answers import IfMatch, Paged, answer, expect, settled
from api.bodies import Body, Json, read_json
from api.context import Context, Doors
from api.docs import says
from api.endpoint import router
from api.keys import key_errors
from api.previews import Foreseen, Verbal, previewed
from api.reading import invalid
from api.sending import Start, run_through
from domain.audit import AuditEvent
from domain.catalog import PriceBook
from domain.customer import Customer
from domain.errors import AlreadyExists, FieldError, NotFound
from domain.ids import derived_id
from domain.money import CURRENCIES
from store.lists import Asked, list_collections, list_customers
from workflows import names
from workflows.payment_method import PaymentMethodWorkflow, UseMethod

routes = router("customers")

Text = Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]
# One address, and nothing that a mail header could be broken with.
Email = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f<>,;]+@[^@\s\x00-\x1f\x7f<>,;]+$")
]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What may change of a customer. `collections` names a dunning policy of the price book."""

    name: Text
    timezone: str = "UTC"
    country: str = ""
    collections: str = "default"
    tax_id: Text | None = None
    email: Email | None = None
    address: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCustomer(Details):
    """A customer as it is told to us."""

    currency: str
    key: str | None = None
    payment_method: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMethod:
    """A payment method: the provider's reference, or one of its test names."""

    use: Reference


_SENT = {
    "key": "ada",
    "name": "Ada",
    "currency": "EUR",
    "timezone": "Europe/Berlin",
    "country": "DE",
    "payment_method": "pm_card_visa",
}
_EXAMPLE = {"id": "cus_0195…", **_SENT, "collections": "default", "payment_method": "visa •4242"}
_NEW = Body(NewCustomer, example=_SENT)
_DETAILS = Body(Details, example={"email": "ada@example.com", "collections": "default"}, partial=True)
_METHOD = Body(NewMethod, example={"use": "pm_card_visa"})
_COUNTRY = re.compile(r"[A-Z]{2}")
_ZONES = frozenset(available_timezones())


@routes.post(
    "/v1/customers",
    status_code=201,
    openapi_extra=_NEW.docs,
    responses=says(shown.Customer, _EXAMPLE, status=201, codes="already_exists invalid_input"),
)
async def create_customer(request: Request, context: Doors, call: Calling) -> Response:
    """Make a customer known. With a `payment_method` it is saved at the payment provider as well."""
    new = await _NEW(request)
    customer, is_new = await _created(context, call, new)
    if new.payment_method and (is_new or customer.payment_method is None):
        customer, done = await _with_method(context, call, customer, new.payment_method)
        return answer(showing.customer(customer), (201 if is_new else 200) if done else 202)
    return answer(showing.customer(customer), 201 if is_new else 200)


@routes.get("/v1/customers", responses=says(shown.Page[shown.Customer], {"data": [_EXAMPLE], "next_cursor": None}))
async def get_customers(context: Doors, asked: Paged) -> Response:
    """All customers, newest first."""
    page = await list_customers(context.engine, asked)
    return answer(showing.page(map(showing.customer, page.data), page.next_cursor))


@routes.get("/v1/customers/{id}", responses=says(shown.Customer, _EXAMPLE, codes="not_found"))
async def get_customer(id: str, context: Doors, call: Calling) -> Response:
    """One customer."""
    return answer(showing.customer(await named(context, call, id)))


@routes.patch(
    "/v1/customers/{id}",
    openapi_extra=_DETAILS.docs,
    responses=says(shown.Customer, _EXAMPLE, codes="not_found invalid_input"),
)
async def change_customer(id: str, request: Request, context: Doors, call: Calling, if_match: IfMatch) -> Response:
    """Change what is given; the rest stays. What was sold keeps the zone in which it was sold."""
    given = read_json(await request.body())
    if not isinstance(given, dict):
        raise invalid([FieldError((), "must be an object")])
    policies = await _policies(context)
    async with context.open_books() as books:
        was = await books.customers.lock(id)
        expect(if_match, showing.customer(was))
        editable = {name: getattr(was, name) for name in Details.__dataclass_fields__}
        details = _DETAILS.read({**editable, "address": list(was.address), **cast(Json, given)})
        _refuse(_wrong(details, policies))
        now = replace(was, **_plain(details))
        if now != was:
            await books.customers.put(now)
            await books.audit.add(_event("customer.changed", now, call, f"{now.id}/{call.token}"))
    return answer(showing.customer(now))


@routes.post(
    "/v1/customers/{id}/payment-methods",
    openapi_extra=_METHOD.docs,
    responses=says(shown.Customer, _EXAMPLE, codes="not_found invalid_input"),
)
async def use_payment_method(id: str, request: Request, context: Doors, call: Calling, verb: Verbal) -> Response:
    """Charge the customer on this method from now on; collections that wait for one go on at once."""
    method = await _METHOD(request)
    customer = await named(context, call, id)
    expect(verb.if_match, showing.customer(customer))
    if verb.preview:
        return await previewed(lambda: _method_foreseen(context, call, customer, method.use), _no_other)
    customer, done = await _with_method(context, call, customer, method.use)
    if done and verb.wait:
        await settled(lambda: _charges_due(context, customer), lambda due: due == 0, within=verb.wait)
    return answer(showing.customer(customer), 200 if done else 202)


async def named(context: Context, call: Call, name: str) -> Customer:
    """The customer of that id or key, if the caller may see it. Raises NotFound."""
    async with context.open_books() as books:
        customer = await books.customers.get(name)
    call.sees(customer.id, f"customer {name}")
    return customer


async def whose(context: Context, call: Call, customer: str | None) -> str | None:
    """The customer that a list is narrowed to: the one asked for, and for a customer's key always itself."""
    if call.customer_id is None or customer is None:
        return call.customer_id or customer
    return (await named(context, call, customer)).id


async def _created(context: Context, call: Call, new: NewCustomer) -> tuple[Customer, bool]:
    """The customer, and whether it is new. Raises AlreadyExists when the key is another's."""
    _refuse([*key_errors(new.key), *_currency(new.currency), *_wrong(new, await _policies(context))])
    key = new.key or call.name("c")
    customer = Customer(
        id=derived_id("cus", call.at, "key", key, call.token),
        key=key,
        currency=new.currency,
        created_at=call.at,
        **_plain(Details(**{name: getattr(new, name) for name in Details.__dataclass_fields__})),
    )
    try:
        async with context.open_books() as books:
            try:
                return _same(await books.customers.get(key), customer), False
            except NotFound:
                await books.customers.put(customer)
                await books.audit.add(_event("customer.created", customer, call, customer.id))
    except AlreadyExists:
        # Somebody was faster: what counts is whether they meant the same.
        async with context.open_books() as books:
            return _same(await books.customers.get(key), customer), False
    return customer, True


def _same(was: Customer, customer: Customer) -> Customer:
    given = {*Details.__dataclass_fields__, "currency", "key"}
    if any(getattr(was, name) != getattr(customer, name) for name in given):
        raise AlreadyExists(f"customer {customer.key} exists with other content")
    return was


async def _with_method(context: Context, call: Call, customer: Customer, method: str) -> tuple[Customer, bool]:
    """The customer as it is then, and whether the provider has answered yet; it is asked until it does."""
    done = await run_through(
        context,
        Start(
            run=PaymentMethodWorkflow.run,
            message=UseMethod(customer_id=customer.id, method=method, at=call.at, actor=call.actor, token=call.token),
            customer_id=customer.id,
            state="saving",
        ),
        to=names.payment_method_workflow(customer.id, call.token),
    )
    async with context.open_books() as books:
        return await books.customers.get(customer.id), done


async def _method_foreseen(context: Context, call: Call, customer: Customer, method: str) -> Foreseen:
    """What is open, as it would be collected then. Whether the provider takes the method, only the provider knows."""
    page = await list_collections(context.engine, Asked(limit=200), customer=customer.id)
    waiting = tuple(one.collection.method_changed(call.at) for one in page.data if one.collection.is_open)
    told = ("customer.payment_method_changed",)
    return Foreseen(customer=customer, at=call.at, collections=waiting, method=method, messages=told)


async def _no_other() -> tuple[str, ...]:
    return ()


async def _charges_due(context: Context, customer: Customer) -> int:
    """How many of the customer's collections have a charge to make by now."""
    page = await list_collections(context.engine, Asked(limit=200), customer=customer.id)
    now = context.clock.now()
    charges = [one.collection.charge_at for one in page.data if one.collection.is_open]
    return sum(at is not None and at <= now for at in charges)


async def _policies(context: Context) -> set[str]:
    """The dunning policies that a customer may name."""
    async with context.open_books() as books:
        try:
            book: PriceBook | None = await books.catalog.current()
        except NotFound:
            book = None
    return {"default", *(book.collections if book else ())}


def _wrong(details: Details, policies: set[str]) -> Iterator[FieldError]:
    if details.timezone not in _ZONES:
        yield FieldError(("timezone",), "must be an IANA timezone, such as Europe/Berlin")
    if details.country and not _COUNTRY.fullmatch(details.country):
        yield FieldError(("country",), "must be an ISO 3166 code of two letters, such as DE")
    if details.collections not in policies:
        known = ", ".join(sorted(policies))
        yield FieldError(("collections",), f"no such dunning policy in the price book; there are: {known}")
    if len(details.address) > 10:
        yield FieldError(("address",), "at most ten lines")


def _currency(currency: str) -> Iterator[FieldError]:
    if currency not in CURRENCIES:
        yield FieldError(("currency",), "must be an ISO 4217 code, such as EUR")


def _refuse(errors: Iterator[FieldError] | list[FieldError]) -> None:
    found = list(errors)
    if found:
        raise invalid(found)


def _plain(details: Details) -> dict[str, Any]:
    return asdict(details)


def _event(type_: str, customer: Customer, call: Call, cause: str) -> AuditEvent:
    return AuditEvent(
        type=type_,
        cause=cause,
        at=call.at,
        customer_id=customer.id,
        subject=customer.id,
        data={"customer": customer.key},
        actor=call.actor,
    )
