"""`perennial simulate`: scenarios through the real workflows on a time-skipping server and a throw-away database."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from store.migrate import migrate
from workers.files import naming
from workers.logging import configure_logging
from workers.postgres import EmbeddedPostgres
from workers.printing import console_on
from workers.scenario import Scenario, read_scenario
from workers.simulation import Simulation, simulation
from workers.story import OnProgress, misses, tell


@asynccontextmanager
async def throw_away_world(scenario: Scenario) -> AsyncGenerator[Simulation]:
    """A world of its own for one scenario: PostgreSQL, Temporal and all, gone when the block is left."""
    with TemporaryDirectory(prefix="perennial-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        await postgres.start()
        try:
            await postgres.create_database("perennial")
            url = postgres.url("perennial")
            await migrate(url)
            async with simulation(starts=scenario.starts, database_url=url, folder=Path(folder)) as world:
                yield world
        finally:
            await postgres.stop()


async def run_simulate(paths: list[Path], *, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Run each scenario and print it; answers the exit status, 1 when an expectation was missed."""
    configure_logging(level="ERROR", as_json=False)
    scenarios = [read_scenario(path) for path in paths]
    results: list[dict[str, Any]] = []
    missed = 0
    for path, scenario in zip(paths, scenarios, strict=True):
        with naming(path), progress(scenario, err) as on_progress:
            async with throw_away_world(scenario) as world:
                result = await tell(scenario, world, on_progress)
        results.append(result)
        for miss in misses(result, scenario.expect):
            missed += 1
            print(f"{scenario.name}: {miss}", file=err)
        if not as_json:
            print_result(result, out)
    if as_json:
        json.dump(results[0] if len(results) == 1 else results, out, indent=2, ensure_ascii=False)
        out.write("\n")
    return 1 if missed else 0


@contextmanager
def progress(scenario: Scenario, err: TextIO) -> Generator[OnProgress | None]:
    """How far the story has come, on a terminal; elsewhere nobody watches."""
    if not err.isatty():
        yield None
        return
    days = max((scenario.until - scenario.starts).days, 1)
    with Progress(console=console_on(err), transient=True) as bar:
        task = bar.add_task(escape(scenario.name), total=days)

        async def told(_: str, entry: dict[str, Any]) -> None:
            at = datetime.fromisoformat(entry["at"])
            bar.update(
                task, completed=max((at - scenario.starts).days, 0), description=f"{escape(scenario.name)} {at:%F}"
            )

        yield told


def print_result(result: dict[str, Any], out: TextIO) -> None:
    """The timeline and the invoices, for people: invoices are named `q1#2`, as in a scenario."""
    console = console_on(out)
    names = _invoice_names(result["invoices"])
    timeline = Table(title=result["scenario"], title_justify="left", box=None, pad_edge=False)
    for heading in ("at (UTC)", "what", "who", "details"):
        timeline.add_column(heading, overflow="fold")
    for entry in result["timeline"]:
        facts = {"invoice": names.get(entry.get("subject")), **entry}
        apart = {"at", "type", "customer", "subject"}
        details = ", ".join(f"{k} {names.get(v, v)}" for k, v in facts.items() if k not in apart and _is_told(v))
        timeline.add_row(entry["at"].replace("T", " ").removesuffix("Z"), entry["type"], entry.get("customer"), details)
    console.print(timeline)
    invoices = Table(title="Invoices", title_justify="left", box=None, pad_edge=False)
    for heading in ("invoice", "number", "customer", "period", "total", "due", "state"):
        invoices.add_column(heading, justify="right" if heading in {"total", "due"} else "left")
    for invoice in result["invoices"]:
        period = invoice["period"]
        invoices.add_row(
            names[invoice["id"]],
            invoice["number"],
            invoice["customer"],
            f"{period['start']} to {period['end']}",
            f"{invoice['total']} {invoice['currency']}",
            invoice["amount_due"],
            invoice["state"],
        )
    console.print(invoices)
    cost = result["workflows"]
    console.print(
        f"ledger {'balanced' if result['ledger']['balanced'] else 'NOT BALANCED'}; "
        f"{cost['count']} workflows, {cost['history_events']} events, {cost['activities']} activities"
    )


def _invoice_names(invoices: list[dict[str, Any]]) -> dict[Any, str]:
    """What each invoice is called, by its id and by its number; the nth of a subscription is `q1#n`."""
    counted: Counter[str] = Counter()
    names: dict[Any, str] = {}
    for invoice in invoices:
        counted[invoice["subscription"]] += 1
        name = f"{invoice['subscription']}#{counted[invoice['subscription']]}"
        names |= {invoice["id"]: name, invoice["number"]: name}
    return names


def _is_told(value: object) -> bool:
    return value not in ("", None) and not isinstance(value, list | dict)
