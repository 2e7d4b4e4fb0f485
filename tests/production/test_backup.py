"""Everything is lost but the dump of the books, Temporal with it: what was open runs again, and is paid."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.production.installation import Installation, running, until
from tests.production.postgres_tools import dump, restore
from workers.postgres import EmbeddedPostgres
from workers.temporal_server import TemporalServer
from workflows.names import collection_workflow, subscription_workflow

pytestmark = pytest.mark.slow
LOST = "pm_card_chargeDeclinedLostCard"


async def test_from_the_dump_alone_and_an_empty_temporal_the_deals_go_on(tmp_path: Path):
    async with running(tmp_path) as stack:
        await stack.deal("ada")
        await stack.invoice("ada", "paid")
        await stack.deal("eve", LOST)
        owed = await stack.invoice("eve", "open")
        await until(
            lambda: waits_for_the_customer(stack, owed["id"]), "the card of eve is declined, and she is reminded"
        )
        before = await everything(stack)

        file = tmp_path / "books.dump"
        await dump(stack.database_url(), file)
        await lose_both_stores(stack)
        await stack.postgres.create_database("perennial")
        await restore(stack.database_url(), file)

        assert await lost(stack) == {
            subscription_workflow(await id_of(stack, "ada")),
            subscription_workflow(await id_of(stack, "eve")),
            collection_workflow(owed["id"]),
        }
        await asyncio.gather(stack.start_worker(), stack.start_api())
        assert (await stack.run("reconcile"))[0] == 0
        assert await everything(stack) == before, "nothing is lost and nothing is done twice"

        # A new card, by the API: what was owed is charged. And something new altogether.
        await stack.ask("POST", "customers/eve/payment-methods", {"use": "pm_card_visa"})
        assert (await stack.invoice("eve", "paid"))["number"] == owed["number"]
        await stack.deal("new")
        assert (await stack.invoice("new", "paid"))["number"].endswith("3")
        assert (await stack.run("reconcile"))[0] == 0


async def lose_both_stores(stack: Installation) -> None:
    """Stop what runs, and go on with two servers that have never seen us."""
    for name in ("api", "worker"):
        await stack.stop(name)
    await stack.temporal.stop()
    await stack.postgres.stop()
    stack.postgres = EmbeddedPostgres(stack.folder / "another-postgres", durable=False)
    stack.temporal = TemporalServer(stack.folder / "another-temporal", durable=False)
    await stack.postgres.start()
    await stack.temporal.start()
    client = await Client.connect(stack.temporal.address, namespace=stack.temporal.namespace)
    assert [each.id async for each in client.list_workflows()] == []


async def lost(stack: Installation) -> set[str]:
    """What reconciliation says does not run, and that nothing else is wrong."""
    status, answer = await stack.json("reconcile")
    assert status == 1
    assert {one["between"] for one in answer["disagreements"]} == {"workflows"}
    return {one["ids"]["workflow"] for one in answer["disagreements"]}


async def id_of(stack: Installation, key: str) -> str:
    return (await stack.rows("SELECT id FROM subscriptions WHERE key = :key", key=key))[0][0]


async def waits_for_the_customer(stack: Installation, invoice_id: str) -> bool:
    """Nothing of it is due today any more."""
    collection = await stack.ask("GET", f"collections/{invoice_id}")
    return collection["state"] == "awaiting_customer" and collection["next_action_at"] > collection["due_at"]


async def everything(stack: Installation) -> list[object]:
    """What finance and customers see."""
    paths = ("invoices", "subscriptions", "collections", "orders", "quotes", "ledger/trial-balance")
    return [await stack.ask("GET", path) for path in (*paths, "entitlements/ada", "entitlements/eve")]
