"""API keys: made, listed, revoked. The secret is told once; only its hash is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Response
from pydantic import BeforeValidator, StringConstraints

from api import showing, shown
from api.access import Calling
from api.answers import Paged, answer
from api.bodies import Body
from api.context import Context, Doors
from api.docs import refuses, says
from api.endpoint import router
from api.reading import invalid
from domain.errors import FieldError
from domain.ids import derived_id
from store.access import PREFIX, ApiKey, Role, create_key, revoke_key
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


_EXAMPLE: showing.Shown = {
    "id": "key_0195…",
    "role": "customer",
    "customer": "ada",
    "approver": [],
    "label": "",
    "revoked_at": None,
}
_NEW = Body(NewKey, example={"role": "customer", "customer": "ada"})


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
    )
    secret = PREFIX + context.entropy()
    is_new = await create_key(context.pool, made, secret)
    shown = _shown(made, new.customer)
    kept = {**shown, "key": None}
    told = answer({**shown, "key": secret if is_new else None}, 201, kept=kept)
    told.headers["cache-control"] = "no-store"
    return told


@routes.get("/v1/api-keys", responses=says(shown.Page[shown.ApiKey], {"data": [_EXAMPLE], "next_cursor": None}))
async def get_keys(context: Doors, asked: Paged) -> Response:
    """All keys, newest first, revoked ones too; never a secret."""
    page = await list_api_keys(context.engine, asked)
    keys = await keys_of(context.pool, (key.customer_id for key in page.data))
    shown = (_shown(key, keys.get(key.customer_id or "")) for key in page.data)
    return answer(showing.page(shown, page.next_cursor))


@routes.delete("/v1/api-keys/{id}", status_code=204, responses=refuses("not_found"))
async def revoke(id: str, context: Doors, call: Calling) -> Response:
    """From now on nobody calls with it. Revoking it again changes nothing."""
    await revoke_key(context.pool, id, call.at)
    return Response(status_code=204)


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
        "revoked_at": showing.instant(key.revoked_at),
    }
