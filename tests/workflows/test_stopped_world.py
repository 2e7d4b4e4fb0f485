"""Everything down over a month end, or for three months: every date is worked off, in order, as it should have been."""

from datetime import datetime
from typing import Any

import pytest

from tests.workflows.worlds import NO_MONEY, Line


async def issued(line: Line, name: str) -> list[tuple[str, str, str]]:
    """When, for which period and over how much, in the order of their numbers."""
    rows = (await line.get("invoices", customer=name, limit="100"))["data"]
    return [
        (row["issued_at"], row["period"]["start"], row["total"]) for row in sorted(rows, key=lambda row: row["number"])
    ]


async def charged(line: Line, name: str) -> list[Any]:
    collections = (await line.get("collections", customer=name, limit="100"))["data"]
    return [
        attempt for one in collections for attempt in (await line.get(f"collections/{one['invoice_id']}"))["attempts"]
    ]


@pytest.mark.parametrize("away", [3, 95])
async def test_the_invoices_are_those_of_a_world_that_never_stopped(line: Line, away: int):
    await line.sold("ada")
    await line.later(days=29)
    await line.away(days=away)
    boundaries = ["2026-02-05", "2026-03-05", "2026-04-05", "2026-05-05"]
    passed = [day for day in boundaries if datetime.fromisoformat(f"{day}T00:00:00+00:00") < line.world.now]
    invoices = await issued(line, "ada")
    assert [period for _, period, _ in invoices] == ["2026-01-05", *passed]
    zones = {"2026-04-05": "2026-04-04T23:00:00Z", "2026-05-05": "2026-05-04T23:00:00Z"}
    assert [at for at, _, _ in invoices[1:]] == [zones.get(day, f"{day}T00:00:00Z") for day in passed]
    assert {row["state"] for row in (await line.get("invoices", limit="100"))["data"]} == {"paid"}
    # The first term has run out meanwhile: it was renewed on its day, at the price of the next.
    fees = {"2026-02-05": "58.31", "2026-03-05": "58.31", "2026-04-05": "60.06", "2026-05-05": "60.06"}
    assert [total for _, _, total in invoices[1:]] == [fees[day] for day in passed]
    await line.sound()


async def test_a_customer_who_owes_is_not_dunned_for_three_months_in_one_hour(line: Line):
    await line.sold("bob", NO_MONEY, email="bob@example.com")
    await line.later(days=2)
    before = len(await charged(line, "bob"))
    await line.away(days=95)
    [first] = [row for row in (await line.get("collections"))["data"] if row["invoice"].endswith("000001")]
    assert first["state"] not in {"written_off", "stuck"}
    attempts = (await line.get(f"collections/{first['invoice_id']}"))["attempts"]
    assert len(attempts) <= before + 1
    assert (await line.get("subscriptions/bob"))["state"] == "active"
    sent = [
        event for event in (await line.get("events", limit="200"))["data"] if event["type"] == "collection.reminded"
    ]
    assert len([event for event in sent if event["subject"] == first["invoice_id"]]) <= 2
    # From here on it goes its ordinary way, in its ordinary time.
    await line.later(days=5)
    assert len((await line.get(f"collections/{first['invoice_id']}"))["attempts"]) == before + 1
    await line.later(days=65)
    assert (await line.get("subscriptions/bob"))["state"] == "ended"
    await line.sound()


async def test_an_offer_that_ran_out_meanwhile_has_expired_when_it_did(line: Line):
    await line.customer("ada")
    await line.quote("ada")
    await line.later(days=29)
    await line.away(days=31)
    assert (await line.get("quotes/ada"))["state"] == "expired"
    [expired] = [event for event in (await line.get("events"))["data"] if event["type"] == "quote.expired"]
    assert expired["at"] == "2026-02-04T09:00:00Z"
    await line.sound()
