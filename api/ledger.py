"""The ledger: every leg that was posted, and what they come to."""

from typing import Annotated

from fastapi import Query, Response

from api import showing, showing_money, shown, shown_money
from api.answers import Paged, answer
from api.context import Doors
from api.docs import says
from api.endpoint import router
from domain.ledger import Account
from store.balances import trial_balance
from store.lists import list_ledger_entries
from store.naming import keys_of

routes = router("ledger")

_ENTRY = {
    "at": "2026-01-31T08:05:00Z",
    "cause": "invoice/inv_0195…",
    "customer": "ada",
    "account": "receivable",
    "currency": "EUR",
    "debit": "58.31",
    "credit": None,
}
_BALANCE = {
    "balanced": True,
    "accounts": [{"account": "receivable", "currency": "EUR", "debit": "58.31", "credit": "0.00"}],
}


@routes.get(
    "/v1/ledger/entries", responses=says(shown.Page[shown_money.LedgerEntry], {"data": [_ENTRY], "next_cursor": None})
)
async def get_entries(
    context: Doors,
    asked: Paged,
    customer: str | None = None,
    account: Annotated[Account | None, Query()] = None,
    cause: Annotated[str | None, Query(description="All legs of one posting: invoice/inv_…")] = None,
) -> Response:
    """Legs of postings, newest first."""
    page = await list_ledger_entries(context.engine, asked, customer=customer, account=account, cause=cause)
    keys = await keys_of(context.pool, (leg.customer_id for leg in page.data))
    shown = (showing_money.entry(leg, customer=keys[leg.customer_id]) for leg in page.data)
    return answer(showing.page(shown, page.next_cursor))


@routes.get("/v1/ledger/trial-balance", responses=says(shown_money.TrialBalance, _BALANCE))
async def get_trial_balance(context: Doors) -> Response:
    """Every account's balance; debits equal credits in every currency."""
    return answer(showing_money.trial_balance(await trial_balance(context.engine)))
