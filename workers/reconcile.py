"""Reconcile: do the books agree with themselves, with the provider, and with what runs?

    books ──── rules of store.invariants ────► each other
      ├─────── last attempt on each intent ──► provider       state and amount
      └─────── every open record ────────────► workflows      runs; and nothing else does

All of it goes on while we look, so what seems wrong is looked at again: only what stays so is told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from time import monotonic
from typing import TextIO, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.ports import Intent, Lifecycles, PaymentProvider, ProviderRejected, ProviderUnavailable
from domain.payment import Payment, PaymentState
from store.due import Lifecycle, open_lifecycles
from store.reconcile import Disagreement, Reconciliation, rules, to_compare, within_the_books
from workers.printing import console_on
from workers.restart import restart, workflow_of
from workflows import names

T = TypeVar("T")
R = TypeVar("R")

RECENT = timedelta(days=35)
NOT_RUNNING = "what is open has a running workflow"
_ON_ITS_WAY = timedelta(minutes=1)
_AT_ONCE = 8
_PATIENCE_S = 3
_PREFIXES = tuple(make("") for make in (names.quote_workflow, names.order_workflow)) + tuple(
    make("") for make in (names.subscription_workflow, names.collection_workflow)
)
_AGREES: Mapping[PaymentState, frozenset[PaymentState]] = {
    PaymentState.SUCCEEDED: frozenset({PaymentState.SUCCEEDED}),
    PaymentState.REFUNDED: frozenset({PaymentState.SUCCEEDED}),
    PaymentState.PROCESSING: frozenset({PaymentState.PROCESSING}),
    PaymentState.REQUIRES_ACTION: frozenset({PaymentState.REQUIRES_ACTION}),
    # The intent may still say what came of an attempt before this one.
    PaymentState.FAILED: frozenset({PaymentState.FAILED, PaymentState.PENDING, PaymentState.REQUIRES_ACTION}),
    PaymentState.PENDING: frozenset({PaymentState.PENDING, PaymentState.FAILED, PaymentState.REQUIRES_ACTION}),
    PaymentState.UNKNOWN: frozenset({PaymentState.PENDING, PaymentState.FAILED, PaymentState.PROCESSING}),
}
_ASK_AGAIN = (
    "send the provider's event again (its dashboard: resend), which makes the collection look; then reconcile again"
)
_BOOKS_AHEAD = (
    "look at the intent in the provider's dashboard; if no money came, write the invoice's payment off with finance"
)


async def reconcile(
    engine: AsyncEngine,
    client: Client,
    payments: PaymentProvider,
    at: datetime,
    *,
    repair: Lifecycles | None = None,
) -> Reconciliation:
    """Compare everything as of `at`. With `repair` every open record that has no running workflow gets one first."""
    running, astray = await _with_workflows(engine, client, repair)
    intents, told = await _with_provider(engine, payments, at)
    return Reconciliation(
        at=at,
        rules=rules(),
        intents=intents,
        workflows=running,
        disagreements=tuple(chain(await within_the_books(engine, at), told, astray)),
    )


def report(found: Reconciliation, out: TextIO) -> None:
    """What was compared, and each disagreement with its ids and what to do, for people."""
    console = console_on(out)
    for one in found.disagreements:
        ids = " ".join(f"{name}={value}" for name, value in one.ids.items())
        detail = f": {one.detail}" if one.detail else ""
        console.print(f"{one.between}  not so: {one.what}  {ids}{detail}; to mend: {one.mend}", markup=False)
    compared = f"{found.rules} rules of the books, {found.intents} intents at the provider, {found.workflows} workflows"
    console.print(
        f"{compared}: " + (f"{len(found.disagreements)} disagreements" if found.disagreements else "all agree")
    )


def compared(payment: Payment, intent: Intent) -> Disagreement | None:
    """Where the provider says another thing of an attempt than the books do: its state, or how much."""
    ids = {"payment": payment.id, "invoice": payment.invoice_id, "intent": intent.ref}
    if intent.state not in _AGREES[payment.state]:
        ours_says_paid = payment.state in {PaymentState.SUCCEEDED, PaymentState.REFUNDED}
        return Disagreement(
            between="provider",
            what="a payment stands as the provider says",
            ids=ids,
            detail=f"the books say {payment.state}, the provider {intent.state}",
            mend=_BOOKS_AHEAD if ours_says_paid else _ASK_AGAIN,
        )
    if intent.amount is not None and intent.amount != payment.amount:
        ours, theirs = payment.amount, intent.amount
        return Disagreement(
            between="provider",
            what="a payment is of the amount that the provider says",
            ids=ids,
            detail=f"the books say {ours.text} {ours.currency}, the provider {theirs.text} {theirs.currency}",
            mend=_BOOKS_AHEAD,
        )
    return None


async def _with_provider(
    engine: AsyncEngine, payments: PaymentProvider, at: datetime
) -> tuple[int, list[Disagreement]]:
    """Read each intent; what the books say has to be the same before and after, else it was on its way."""
    before = await to_compare(engine, at - RECENT)
    asked = [payment for payment in before if not _is_on_its_way(payment, at)]

    async def ask(payment: Payment) -> Disagreement | None:
        ids = {"payment": payment.id, "invoice": payment.invoice_id, "intent": payment.intent_ref or ""}
        try:
            return compared(payment, await payments.read_intent(intent_ref=payment.intent_ref or ""))
        except ProviderRejected as error:
            what, mend = (
                "the provider knows every intent of the books",
                "see whether the key is that of the same account",
            )
            return Disagreement(between="provider", what=what, ids=ids, detail=str(error), mend=mend)
        except ProviderUnavailable as error:
            what = "the provider can be asked"
            return Disagreement(between="provider", what=what, ids=ids, detail=str(error), mend="reconcile again later")

    found = {one.ids["payment"]: one for one in await _each(ask, asked) if one is not None}
    if found:
        known = {payment.id: payment for payment in asked}
        after = {payment.id: payment for payment in await to_compare(engine, at - RECENT)}
        found = {id_: one for id_, one in found.items() if after.get(id_) == known[id_]}
    return len(asked), list(found.values())


def _is_on_its_way(payment: Payment, at: datetime) -> bool:
    is_asked = payment.state is PaymentState.PENDING
    return is_asked and (payment.sent_at is None or at - payment.sent_at < _ON_ITS_WAY)


async def _with_workflows(
    engine: AsyncEngine, client: Client, repair: Lifecycles | None
) -> tuple[int, list[Disagreement]]:
    """Open records against running workflows: one listing, then each that seems wrong is described by itself."""
    records, running = await _open(engine), await _running(client)
    suspects: set[str] = set(records) ^ running
    deadline = monotonic() + _PATIENCE_S
    while suspects:
        records, described = await _open(engine), await _each(lambda id_: _is_running(client, id_), sorted(suspects))
        runs = dict(zip(sorted(suspects), described, strict=True))
        suspects = {id_ for id_, runs_now in runs.items() if runs_now != (id_ in records)}
        if monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    lost = [id_ for id_ in sorted(suspects) if id_ in records]
    if repair is not None and lost:
        await _each(lambda id_: restart(records[id_], repair), lost)
        return await _with_workflows(engine, client, None)
    return len(records), [_astray(id_, records) for id_ in sorted(suspects)]


def _astray(workflow_id: str, records: Mapping[str, Lifecycle]) -> Disagreement:
    ids = {"workflow": workflow_id}
    if workflow_id in records:
        mend = "`perennial reconcile --repair` starts it from its record"
        return Disagreement(between="workflows", what=NOT_RUNNING, ids=ids, mend=mend)
    mend = f"see in its history what it waits for; then `temporal workflow terminate --workflow-id {workflow_id}`"
    return Disagreement(between="workflows", what="what runs is open in the books", ids=ids, mend=mend)


async def _open(engine: AsyncEngine) -> dict[str, Lifecycle]:
    return {workflow_of(record): record for record in await open_lifecycles(engine)}


async def _running(client: Client) -> set[str]:
    """The ids of our lifecycles that run; none where the server cannot list, as the test server, and each is described."""
    running: set[str] = set()
    try:
        async for each in client.list_workflows("ExecutionStatus = 'Running'", page_size=1000):
            if each.id.startswith(_PREFIXES):
                running.add(each.id)
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise
    return running


async def _is_running(client: Client, workflow_id: str) -> bool:
    try:
        return (await client.get_workflow_handle(workflow_id).describe()).status is WorkflowExecutionStatus.RUNNING
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False


async def _each(work: Callable[[T], Awaitable[R]], things: Iterable[T]) -> Sequence[R]:
    """`work` on each, a few at once; the answers in their order."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(thing: T) -> R:
        async with gate:
            return await work(thing)

    return await asyncio.gather(*(one(thing) for thing in things))
