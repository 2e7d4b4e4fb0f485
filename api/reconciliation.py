"""Reconciliation: what the books, the provider, access and the running workflows say differently of the same thing."""

from fastapi import Response
from typing_extensions import TypedDict

from api.answers import answer
from api.context import Doors
from api.docs import says
from api.endpoint import router
from api.showing import instant
from api.shown import Instant
from store.reconcile import Between, Reconciliation

routes = router("reconciliation")


class ShownCompared(TypedDict):
    """How many of each were compared."""

    rules: int
    intents: int
    workflows: int


class ShownDisagreement(TypedDict):
    """One thing that two who should agree say differently, and what to do about it."""

    between: Between
    what: str
    ids: dict[str, str]
    detail: str
    mend: str


class ShownReconciliation(TypedDict):
    """Everything that was compared, and what disagrees."""

    at: Instant
    agreed: bool
    compared: ShownCompared
    disagreements: list[ShownDisagreement]


_DISAGREEMENT = {
    "between": "provider",
    "what": "a payment stands as the provider says",
    "ids": {"payment": "pay_0195…", "invoice": "inv_0195…", "intent": "pi_3…"},
    "detail": "the books say failed, the provider succeeded",
    "mend": "send the provider's event again",
}
_EXAMPLE = {
    "at": "2026-02-01T08:00:00Z",
    "agreed": False,
    "compared": {"rules": 25, "intents": 120, "workflows": 431},
    "disagreements": [_DISAGREEMENT],
}


@routes.get("/v1/reconciliation", responses=says(ShownReconciliation, _EXAMPLE))
async def get_reconciliation(context: Doors) -> Response:
    """Compare ledger, invoices, payments, provider, access and usage now. It reads everything: minutes on large books."""
    return answer(reconciliation(await context.reconcile()))


def reconciliation(found: Reconciliation) -> ShownReconciliation:
    """A reconciliation as JSON; `perennial reconcile --json` prints the same."""
    return {
        "at": instant(found.at),
        "agreed": not found.disagreements,
        "compared": {"rules": found.rules, "intents": found.intents, "workflows": found.workflows},
        "disagreements": [
            {"between": one.between, "what": one.what, "ids": dict(one.ids), "detail": one.detail, "mend": one.mend}
            for one in found.disagreements
        ],
    }
