"""API keys: made, listed, rotated, revoked. The secret is told once; only its hash is kept."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BeforeValidator, StringConstraints

from api import showing, shown
from api.access import Call, Calling
from api.answers import Paged, answer
from api.bodies import Body, instant
from api.context import Context, Doors
from api.docs import refuses, says
from api.endpoint import router
from api.reading import invalid
from domain.audit import AuditEvent
from domain.errors import FieldError, InvalidState
from domain.ids import derived_id
from store.access import PREFIX, ApiKey, Role, create_key, expire_key, key_named, revoke_key
from store.lists import list_api_keys
from store.naming import customers_named, keys_of

routes = router("api-keys")

Approver = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _several(given: object) -> object:
    return (given,) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as it is asked for. `customer` goes with role customer, and only with it; `approver` is a name, or several."""

    role: Role
    customer: str | None = None
    approver: Annotated[tuple[Approver, ...], BeforeValidator(_several)] = ()
    label: Annotated[str, StringConstraints(max_length=200)] = ""
    expires_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How long the old key works on beside the new one."""

    overlap: timedelta = timedelta(days=1)


_EXAMPLE: showing.Shown = {
    "id": "key_0195…",
    "role": "customer",
    "customer": "ada",
    "approver": [],
    "label": "",
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
}
_NEW = Body(NewKey, example={"role": "customer", "customer": "ada"})
_ROTATION = Body(Rotation, example={"overlap": "P1D"}, optional=True)
_LONGEST_OVERLAP = timedelta(days=30)


@routes.post(
    "/v1/api-keys",
    status_code=201,
    openapi_extra=_NEW.docs,
    responses=says(shown.NewApiKey, {**_EXAMPLE, "key": "prn_…"}, status=201, codes="invalid_input"),
)
async def make_key(request: Request, context: Doors, call: Calling) -> Response:
    """Make a key. `key` is the secret, told this once: asked again under one Idempotency-Key it is null."""
    new = await _NEW(request)
    customer_id = await _customer_id(context, new)
    made = ApiKey(
        id=derived_id("key", call.at, call.token),
        role=new.role,
        created_at=call.at,
        customer_id=customer_id,
        approvers=tuple(dict.fromkeys(new.approver)),
        label=new.label,
        expires_at=_expires_at(new.expires_at, call.at),
    )
    return await _made(context, call, made, new.customer, "api_key.created")


@routes.get("/v1/api-keys", responses=says(shown.Page[shown.ApiKey], {"data": [_EXAMPLE], "next_cursor": None}))
async def get_keys(
    context: Doors, asked: Paged, customer: str | None = None, role: Annotated[Role | None, Query()] = None
) -> Response:
    """All keys, newest first, revoked ones too; never a secret."""
    page = await list_api_keys(context.engine, asked, customer=customer, role=role)
    keys = await keys_of(context.pool, (key.customer_id for key in page.data))
    shown = (_shown(key, keys.get(key.customer_id or "")) for key in page.data)
    return answer(showing.page(shown, page.next_cursor))


@routes.get("/v1/api-keys/{id}", responses=says(shown.ApiKey, _EXAMPLE, codes="not_found"))
async def get_key(id: str, context: Doors) -> Response:
    """One key; `last_used_at` is at most an hour behind."""
    key = await key_named(context.pool, id)
    return answer(_shown(key, await _customer_key(context, key)))


@routes.post(
    "/v1/api-keys/{id}/rotate",
    status_code=201,
    openapi_extra=_ROTATION.docs,
    responses=says(
        shown.NewApiKey, {**_EXAMPLE, "key": "prn_…"}, status=201, codes="not_found invalid_state invalid_input"
    ),
)
async def rotate(id: str, request: Request, context: Doors, call: Calling) -> Response:
    """A new secret for what the key may do. The old one works on for `overlap`, a day unless it is said, then no more.

    A key that was to end lasts as long again.
    """
    rotation = await _ROTATION(request)
    if not timedelta(0) <= rotation.overlap <= _LONGEST_OVERLAP:
        raise invalid([FieldError(("overlap",), "must be a duration of at most 30 days, such as P1D")])
    old = await key_named(context.pool, id)
    if old.revoked_at or (old.expires_at and old.expires_at <= call.at):
        raise InvalidState(f"API key {id} is over: make a new one")
    lasts = old.expires_at - old.created_at if old.expires_at else None
    made = replace(
        old,
        id=derived_id("key", call.at, call.token),
        created_at=call.at,
        expires_at=call.at + lasts if lasts else None,
        last_used_at=None,
    )
    told = await _made(context, call, made, await _customer_key(context, old), "api_key.rotated", old=id)
    await expire_key(context.pool, id, call.at + rotation.overlap)
    return told


@routes.delete("/v1/api-keys/{id}", status_code=204, responses=refuses("not_found"))
async def revoke(id: str, context: Doors, call: Calling) -> Response:
    """From now on nobody calls with it. Revoking it again changes nothing."""
    await revoke_key(context.pool, id, call.at)
    await _told(context, call, "api_key.revoked", id)
    return Response(status_code=204)


async def _made(context: Context, call: Call, made: ApiKey, customer: str | None, event: str, **data: str) -> Response:
    """Keep the key, and answer its secret this once."""
    secret = PREFIX + context.entropy()
    is_new = await create_key(context.pool, made, secret)
    await _told(context, call, event, made.id, role=made.role, **data)
    shown = _shown(made, customer)
    told = answer({**shown, "key": secret if is_new else None}, 201, kept={**shown, "key": None})
    told.headers["cache-control"] = "no-store"
    return told


async def _told(context: Context, call: Call, event: str, id: str, **data: str) -> None:
    async with context.open_books() as books:
        happened = AuditEvent(
            type=event, cause=f"{event}/{id}", at=call.at, customer_id="", subject=id, data=data, actor=call.actor
        )
        await books.audit.add(happened)


def _expires_at(text: str | None, at: datetime) -> datetime | None:
    if text is None:
        return None
    expires_at = instant(text, ("expires_at",))
    if expires_at <= at:
        raise invalid([FieldError(("expires_at",), "must lie ahead")])
    return expires_at


async def _customer_key(context: Context, key: ApiKey) -> str | None:
    return (await keys_of(context.pool, [key.customer_id])).get(key.customer_id or "")


async def _customer_id(context: Context, new: NewKey) -> str | None:
    """The id of the customer that the key is bound to. Raises InvalidInput."""
    known = await customers_named(context.pool, [new.customer] if new.customer else [])
    customer_id = known.get(new.customer or "")
    errors = list(_wrong(new, customer_id))
    if errors:
        raise invalid(errors)
    return customer_id


def _wrong(new: NewKey, customer_id: str | None) -> Iterator[FieldError]:
    if new.role is Role.CUSTOMER and not new.customer:
        yield FieldError(("customer",), "a key of role customer is bound to one: say which, by id or key")
    if new.role is not Role.CUSTOMER and new.customer:
        yield FieldError(("customer",), "only a key of role customer is bound to one")
    if new.customer and customer_id is None:
        yield FieldError(("customer",), f"no customer {new.customer}")
    if new.role is Role.CUSTOMER and new.approver:
        yield FieldError(("approver",), "a customer decides on no quote")


def _shown(key: ApiKey, customer: str | None) -> shown.ApiKey:
    return {
        "id": key.id,
        "role": key.role,
        "customer": customer,
        "approver": list(key.approvers),
        "label": key.label,
        "created_at": showing.instant(key.created_at),
        "expires_at": showing.instant(key.expires_at),
        "last_used_at": showing.instant(key.last_used_at),
        "revoked_at": showing.instant(key.revoked_at),
    }
