"""`make bench`: how long a simulated year takes, what a paid month costs in Temporal, how fast demo and API are.

Each figure is printed with what it means; nothing here fails. Figures depend on the machine; they are taken on two cores.
"""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from temporalio.client import Client

from api.reading import read_document
from bench.load import AT_ONCE, load
from workers.logging import configure_logging
from workers.scenario import Scenario, scenario_from
from workers.simulate import throw_away_world
from workers.story import tell
from workflows import names

MONTHLY = """
scenario: {months} months of one subscription
starts: 2024-01-15T09:00:00Z
until: {until}
catalog:
  version: 1
  entity: {{key: acme, legal_name: "Acme Ltd", country: DE, invoice_prefix: AC}}
  taxes: {{DE: "0.19", default: "0"}}
  meters: [{{key: units, event: unit.used, aggregation: count}}]
  features: [{{key: api, type: metered, meter: units}}]
  plans:
    - key: std
      name: Std
      currency: EUR
      usage_grace: PT1H
      charges:
        - {{key: base, model: flat, amount: "29.00", timing: advance}}
        - {{key: usage, model: per_unit, meter: units, unit_amount: "0.10", timing: arrears}}
      entitlements: [{{feature: api, limit: 1000, reset: month}}]
customers: [{{key: ada, name: Ada, currency: EUR, timezone: Europe/Berlin, country: DE, payment_method: pm_card_visa}}]
steps:
  - {{at: 2024-01-15T09:00:00Z, quote: {{key: q1, customer: ada, lines: [{{plan: std, quantity: 1}}]}}}}
  - {{at: 2024-01-15T09:05:00Z, accept: q1}}
"""


def monthly(months: int) -> Scenario:
    """`months` paid months of one metered subscription."""
    year, month = divmod(months, 12)
    until = datetime(2024 + year, 1 + month, 16, tzinfo=UTC)
    return scenario_from(read_document(MONTHLY.format(months=months, until=until.isoformat())), folder=Path())


async def simulated(months: int) -> tuple[float, list[int]]:
    """Seconds from nothing to the result, and the history events of each run of the subscription."""
    began = monotonic()
    async with throw_away_world(scenario := monthly(months)) as world:
        result = await tell(scenario, world)
        seconds = monotonic() - began
        workflow_id = names.subscription_workflow(result["subscriptions"][0]["id"])
        return seconds, await events_per_run(world.client, workflow_id)


async def events_per_run(client: Client, workflow_id: str) -> list[int]:
    """The history events of each run, the first run first."""
    counts: list[int] = []
    run_id: str | None = None
    while True:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        counts.insert(0, len(history.events))
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return counts


def demo_seconds(folder: Path) -> float:
    """`perennial demo`, installed, from start to exit."""
    began = monotonic()
    command = [sys.executable, "-m", "workers.cli", "demo", "--data-dir", str(folder / "demo")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return monotonic() - began


async def main() -> None:
    """All figures."""
    configure_logging(level="ERROR", as_json=False)
    for months in (12, 36):
        seconds, runs = await simulated(months)
        print(
            f"simulate {months} months        {seconds:6.2f} s   (database, Temporal and API started and thrown away)"
        )
        print(f"  events of a paid month      {runs[0]} in month 1, {runs[-2]} in month {len(runs) - 1}")
    with TemporaryDirectory() as folder:
        print(f"perennial demo, installed   {demo_seconds(Path(folder)):6.2f} s")
        print(f"\n{f'{AT_ONCE} at once':30} {'a second':>9} {'p50 ms':>8} {'p99 ms':>8}")
        for one in await load(Path(folder) / "load"):
            print(f"{one.what:30} {one.per_second:9.0f} {one.p50_ms:8.1f} {one.p99_ms:8.1f}")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
