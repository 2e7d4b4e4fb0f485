"""Entitlements: may this customer do that? Answered from the books alone, in two statements."""

from fastapi import Response

from api import showing, shown
from api.access import Call, Calling
from api.answers import answer
from api.context import Context, Doors
from api.customers import named
from api.docs import says
from api.endpoint import router
from api.metrics import CHECKS
from store.checks import check, check_all

routes = router("entitlements")

_EXAMPLE = {
    "allowed": True,
    "reason": "granted",
    "type": "metered",
    "limit": "1",
    "used": "0",
    "remaining": "1",
    "resets_at": "2026-02-08T23:00:00Z",
    "value": None,
}


@routes.get(
    "/v1/entitlements/{customer}", responses=says(shown.FeatureAnswers, {"data": [{"feature": "pool", **_EXAMPLE}]})
)
async def get_entitlements(customer: str, context: Doors, call: Calling) -> Response:
    """The answer for every feature of the price book."""
    await _own(context, call, customer)
    answers = await check_all(context.pool, customer, call.at)
    return answer({"data": [{"feature": key, **showing.answer(said)} for key, said in answers.items()]})


@routes.get("/v1/entitlements/{customer}/{feature}", responses=says(shown.Entitlement, _EXAMPLE, codes="not_found"))
async def get_entitlement(customer: str, feature: str, context: Doors, call: Calling) -> Response:
    """May the customer use the feature now?"""
    await _own(context, call, customer)
    said = await check(context.pool, customer, feature, call.at)
    CHECKS.labels(str(said.allowed).lower()).inc()
    return answer(showing.answer(said))


async def _own(context: Context, call: Call, customer: str) -> None:
    """A customer's key asks for itself alone; our products' keys cost no further statement."""
    if call.customer_id is not None:
        await named(context, call, customer)
