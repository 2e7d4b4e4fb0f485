"""The price book: applied whole, read whole, plan by plan in every version that was sold."""

from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from api import showing_catalog
from api.access import Calling
from api.answers import answer
from api.context import Doors
from api.docs import says
from api.endpoint import router
from api.price_book import read_price_book
from api.reading import invalid
from domain.audit import AuditEvent
from domain.catalog import Plan, PlanRef, PriceBook
from domain.errors import FieldError, NotFound

routes = router("catalog")

_BOOK = TypeAdapter(PriceBook)
_EXAMPLE: dict[str, Any] = {
    "version": 1,
    "entity": {"key": "gym", "legal_name": "Iron Works Ltd", "country": "DE", "invoice_prefix": "IW"},
    "taxes": {"DE": "0.19", "default": "0"},
    "plans": [
        {
            "key": "all-access",
            "name": "All access",
            "currency": "EUR",
            "interval": "month",
            "charges": [{"key": "base", "model": "flat", "amount": "49.00", "timing": "advance"}],
        }
    ],
}
_TAKES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A price book (contract section 3), as YAML or JSON.",
        "content": {"application/json": {"example": _EXAMPLE}, "application/yaml": {}},
    }
}


@routes.put("/v1/catalog", openapi_extra=_TAKES, responses=says(PriceBook, _EXAMPLE, codes="invalid_input"))
async def apply_catalog(request: Request, context: Doors, call: Calling) -> Response:
    """Make a price book the current one. A plan that changed gets its next version; what is sold keeps its own."""
    book = _storable(read_price_book(_text(await request.body())))
    async with context.open_books() as books:
        applied = await books.catalog.apply(book, call.at)
        await books.audit.add(
            AuditEvent(
                type="catalog.applied",
                cause=f"catalog/{call.at.isoformat()}/{call.token}",
                at=call.at,
                customer_id="",
                subject=applied.entity.key,
                data={"plans": ", ".join(f"{plan.key} v{plan.version}" for plan in applied.plans)[:500]},
                actor=call.actor,
            )
        )
    return answer(showing_catalog.price_book(applied))


@routes.get("/v1/catalog", responses=says(PriceBook, _EXAMPLE, codes="not_found"))
async def get_catalog(context: Doors) -> Response:
    """The price book in force, as it can be applied again: nothing changes then."""
    async with context.open_books() as books:
        return answer(showing_catalog.price_book(await books.catalog.current()))


@routes.get("/v1/plans/{key}", responses=says(Plan, _EXAMPLE["plans"][0], codes="not_found"))
async def get_plan(
    key: str,
    context: Doors,
    version: Annotated[int | None, Query(ge=1, le=1_000_000, description="Any version; the newest if absent.")] = None,
) -> Response:
    """One plan."""
    async with context.open_books() as books:
        if version is not None:
            plan = (await books.catalog.plans([PlanRef(key, version)]))[PlanRef(key, version)]
        else:
            plan = next((plan for plan in (await books.catalog.current()).plans if plan.key == key), None)
    if plan is None:
        raise NotFound(f"no plan {key}")
    return answer(showing_catalog.plan(plan))


def _storable(book: PriceBook) -> PriceBook:
    """The book, if every text in it can be kept: escapes can spell what no database holds."""
    try:
        if rb"\u0000" not in _BOOK.dump_json(book):
            return book
    except PydanticSerializationError:
        pass
    raise invalid([FieldError((), "a text in the price book holds a character that cannot be stored")])


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid([FieldError((), "the price book is not UTF-8")]) from None
