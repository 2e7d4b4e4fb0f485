"""`perennial demo`: the gym's story on real parts, told through the API over HTTP, so that it ends today.

Nothing is printed that did not happen: every line of it is an answer of the API. With `--keep` the story's open lifecycles are
carried to the real-time stack, restarted there from the books.
"""

import asyncio
import secrets
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import monotonic

import httpx
import structlog
import uvicorn
from rich.console import Console
from rich.table import Table

from domain.errors import InvalidInput
from store.access import PREFIX
from store.invariants import violations
from store.migrate import migrate
from workers.clock import WallClock
from workers.dev import DATABASE, DevStack, announce, port_or_free
from workers.http_server import Server
from workers.logging import configure_logging
from workers.postgres import EmbeddedPostgres
from workers.printing import console_on, instant
from workers.process import DirectoryLock, free_port
from workers.scenario import Scenario, ending_at, read_scenario
from workers.simulation import Simulation, simulation
from workers.story import Entry, misses, tell

EXAMPLE = Path(__file__).parents[1] / "examples" / "gym" / "story.yaml"
MARK = "demo.txt"
log = structlog.get_logger()


async def run_demo(*, keep: bool, data_dir: Path) -> int:
    """Tell the story, show what came of it; 0 when it came out as expected and the books balance."""
    began = monotonic()
    console = console_on(sys.stdout)
    configure_logging(level="ERROR", as_json=False)
    lock = _emptied(data_dir.resolve())
    folder = data_dir.resolve()
    scenario = ending_at(read_scenario(EXAMPLE), WallClock().now())
    console.print(f"[bold]{scenario.name}[/bold]  {scenario.starts:%d %B %Y} to today\n")
    postgres = EmbeddedPostgres(folder / "postgres")
    await postgres.start()
    try:
        await postgres.create_database(DATABASE)
        await migrate(postgres.url(DATABASE))
        secret = f"{PREFIX}admin_{secrets.token_hex(16)}"
        async with (
            simulation(
                starts=scenario.starts,
                database_url=postgres.url(DATABASE),
                folder=folder,
                sandbox_dir=folder,
                secret=secret,
                entropy=lambda: secrets.token_hex(16),
            ) as world,
            served(world) as api_url,
        ):
            good = await _told(world, scenario, console, folder, api_url)
            keys = await _test_keys(world.http) if keep else {}
    finally:
        await postgres.stop()
        lock.release()
    console.print(f"\n{monotonic() - began:.1f} s")
    if keep:
        await _kept(folder, secret, keys, console)
    else:
        console.print("`perennial demo --keep` leaves the stack running, with API docs and Temporal UI.")
    return 0 if good else 1


@asynccontextmanager
async def served(world: Simulation) -> AsyncGenerator[str]:
    """The world's API on a port of this machine; its story goes over HTTP from here on."""
    port = free_port()
    server = Server(uvicorn.Config(world.world.api, port=port, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event to wait for)
        await asyncio.sleep(0)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, headers=world.http.headers, timeout=60, trust_env=False) as http:
            world.world = replace(world.world, http=http)
            yield url
    finally:
        server.should_exit = True
        await serving


async def _told(world: Simulation, scenario: Scenario, console: Console, folder: Path, api_url: str) -> bool:
    console.print(
        f"API {api_url}  (real PostgreSQL, real Temporal workflows, sandbox payment provider); times are UTC\n"
    )
    names: dict[str, str] = {}

    async def progress(verb: str, answer: Entry) -> None:
        if answer.get("type") == "invoice.issued":
            names[answer["subject"]] = answer["data"]["invoice"]
        if line := _line(verb, answer, names):
            console.print(f"  {datetime.fromisoformat(answer['at']):%d %b %H:%M}  {line}")

    result = await tell(scenario, world, progress)
    _tables(result, console)
    for path in await _documents(world.http, result, folder / "documents"):
        console.print(f"PDF  {path}")
    broken = [f"invariant {v.name}: {v.rows}" for v in await violations(world.engine)]
    missed = misses(result, scenario.expect)
    for line in broken + missed:
        console.print(f"[red]{line}[/red]")
    return result["ledger"]["balanced"] and not broken and not missed


# What the API answered to the step itself is shown once, not again as the event that it made.
_ANSWERED = ("quote.", "order.created", "customer.")


def _line(verb: str, answer: Entry, names: Mapping[str, str]) -> str:
    """What a step was answered, or what happened by itself, in a line; `names` are the numbers of invoices by id."""
    match verb:
        case "event" if answer["type"].startswith(_ANSWERED):
            return ""
        case "event":
            data = {"invoice": names.get(answer["subject"]), **answer["data"]}
            facts = (f"{name} {names.get(value, value)}" for name, value in data.items() if value)
            return f"    [dim]{answer['type']}  {', '.join(facts)}[/dim]"
        case _ if answer.get("type") == "refused":
            return f"{answer['step']}: refused, {answer['code']}: {answer['detail']}"
        case "quote" | "submit" | "approve":
            return f"{verb}: {answer['key']} is {answer['state']}"
        case "accept":
            steps = ", ".join(step["name"] for step in answer["steps"])
            return f"accept: order {answer['key']} recorded, to provision: {steps}"
        case "usage":
            late = (
                ""
                if answer["time"][:16] == answer["at"][:16]
                else f", of {datetime.fromisoformat(answer['time']):%d %b}"
            )
            return f"usage: {answer['event']}{late}: {answer['accepted']} accepted, {answer['duplicates']} seen before"
        case "check":
            left = f", {answer['used']} of {answer['limit']} used" if answer["limit"] else ""
            return f"check: {answer['feature']}? {'yes' if answer['allowed'] else 'no'} ({answer['reason']}{left})"
        case "payment_method":
            return f"payment method: {answer['payment_method']}"
        case _:
            return verb


def _tables(result: Entry, console: Console) -> None:
    money = ("total", "amount_due")
    _table(console, "Quotes", result["quotes"], ("key", "state", "accepted_by"))
    steps = [{"order": o["key"], **step} for o in result["orders"] for step in o["steps"]]
    _table(console, "Order steps", steps, ("order", "name", "state", "at"))
    held = [row for rows in result["entitlements"].values() for row in rows]
    _table(console, "Entitlements", held, ("feature", "allowed", "reason", "used", "limit", "value", "resets_at"))
    _table(console, "Invoices", result["invoices"], ("number", "issued_at", *money, "state", "paid_at"))
    lines = [{"invoice": i["number"], **line} for i in result["invoices"] for line in i["lines"]]
    _table(console, "Lines", lines, ("invoice", "kind", "description", "quantity", "amount"))
    _table(console, "Payments", result["payments"], ("invoice", "at", "attempt", "amount", "state", "decline_code"))
    _table(console, "Collections", result["collections"], ("invoice", "state", "stuck_reason", "next_action"))
    accounts = [{"account": name, **sums} for name, sums in result["ledger"]["accounts"].items()]
    _table(console, "Trial balance", accounts, ("account", "debit", "credit"))
    console.print(f"The books {'balance' if result['ledger']['balanced'] else 'DO NOT BALANCE'}.")
    cost = result["workflows"]
    console.print(
        f"{cost['count']} workflows, {cost['history_events']} history events, {cost['activities']} activities\n"
    )


def _table(console: Console, title: str, rows: list[Entry], columns: tuple[str, ...]) -> None:
    table = Table(title=title, expand=False, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        right = column in {"total", "amount_due", "amount", "debit", "credit", "quantity", "used", "limit"}
        heading = f"{column} (UTC)" if column == "at" or column.endswith("_at") else column
        table.add_column(heading, justify="right" if right else "left")
    for row in rows:
        table.add_row(*(instant(row.get(column)) for column in columns))
    console.print(table)
    console.print()


async def _documents(http: httpx.AsyncClient, result: Entry, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(f"/v1/quotes/{q['key']}/pdf", f"quote-{q['key']}.pdf") for q in result["quotes"]]
    wanted += [(f"/v1/invoices/{i['number']}/pdf", f"invoice-{i['number']}.pdf") for i in result["invoices"]]
    paths: list[Path] = []
    for url, name in wanted:
        answer = await http.get(url)
        answer.raise_for_status()
        path = folder / name
        path.write_bytes(answer.content)
        paths.append(path)
    return paths


def _emptied(folder: Path) -> DirectoryLock:
    """Empty the demo's folder and hold it. Raises InvalidInput for one that is not a demo's, DirectoryInUse."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder; name another with --data-dir")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise InvalidInput(f"{folder} is not empty and was not made by a demo; name another with --data-dir")
    lock = DirectoryLock(folder)
    lock.acquire()
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in {MARK, lock.file.name}:
            path.unlink()
    (folder / MARK).write_text("Made by `perennial demo`, which empties this folder when it runs again.\n")
    return lock


async def _test_keys(http: httpx.AsyncClient) -> dict[str, str]:
    """A key for each role that is not admin, shown once; the customer's is Ada's."""
    keys: dict[str, str] = {}
    for role in ("sales", "provisioning", "finance", "usage", "customer"):
        body = {"role": role} | ({"customer": "ada"} if role == "customer" else {})
        answer = await http.post("/v1/api-keys", json=body)
        answer.raise_for_status()
        keys[role] = answer.json()["key"]
    return keys


async def _kept(folder: Path, secret: str, keys: dict[str, str], console: Console) -> None:
    stack = DevStack(folder, port=port_or_free(8080), admin_key=secret)

    def ready() -> None:
        console.print("\n[bold]The story goes on in real time.[/bold]")
        announce(stack)
        for role, key in keys.items():
            console.print(f"{role + ' key':18}{key}" + ("   (Ada's: sees only her own)" if role == "customer" else ""))
        console.print(f'try   curl {stack.api_url}/v1/invoices -H "Authorization: Bearer {keys["finance"]}"')

    await stack.supervisor.run(ready=ready)
