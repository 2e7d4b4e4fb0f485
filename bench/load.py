"""The API under load: requests per second, and how long the slowest in a hundred take.

A whole stack runs on this machine (`workers.dev`), and whoever asks runs beside it; so the line of the empty route says what
of each figure is the framework's and the asker's.
"""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx

from workers.dev import DevStack
from workers.process import free_port
from workers.supervisor import ProcessSpec, Supervisor

GYM = Path(__file__).parents[1] / "examples" / "gym" / "catalog.yaml"
AT_ONCE = 8
UNLIMITED = {"PERENNIAL_RATE_LIMIT": "0", "PERENNIAL_USAGE_RATE_LIMIT": "0"}


class Unlimited(DevStack):
    """The stack, which takes as much as it can."""

    def environment(self) -> dict[str, str]:
        """As always, without a limit for each key."""
        return super().environment() | UNLIMITED


@dataclass(frozen=True)
class Ask:
    """One request; any answer but a success is a failure of the whole."""

    method: str
    path: str
    body: object = None


@dataclass(frozen=True)
class Figures:
    """Of one kind of request: how many a second, and milliseconds."""

    what: str
    per_second: float
    p50_ms: float
    p99_ms: float


async def load(folder: Path) -> list[Figures]:
    """All kinds, one after the other, `AT_ONCE` requests at a time. A batch of usage is one request."""
    found: list[Figures] = []
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "uvicorn", "bench.empty:app", "--port", str(port), "--log-level", "error"]
    empty = ProcessSpec(name="empty", argv=[*argv, "--no-access-log"], ready=f"{url}/", port=port)
    async with Supervisor([empty], data_dir=folder), httpx.AsyncClient(base_url=url, trust_env=False) as http:
        found.append(await measured("the framework's empty route", http, [Ask("GET", "/")] * 2000))
    stack = Unlimited(folder, port=free_port())
    async with stack.supervisor:
        headers = {"Authorization": f"Bearer {stack.admin_key}"}
        async with httpx.AsyncClient(
            base_url=f"{stack.api_url}/v1", headers=headers, timeout=60, trust_env=False
        ) as http:
            await prepare(http)
            for what, asks in KINDS.items():
                found.append(await measured(what, http, asks))
    return found


LINES = {"lines": [{"plan": "all-access", "quantity": 2}]}


def offer(number: int) -> dict[str, object]:
    """The body of a quote."""
    return {"key": f"q{number}", "customer": "ada", "lines": [{"plan": "all-access"}]}


def events(batch: int, size: int) -> list[dict[str, str]]:
    """So many entries to the pool."""
    more = {"specversion": "1.0", "source": "bench", "type": "pool.entered", "subject": "ada"}
    return [{**more, "id": f"{batch}-{number}"} for number in range(size)]


KINDS = {
    "read one customer": [Ask("GET", "/customers/ada")] * 2000,
    "may they? (metered)": [Ask("GET", "/entitlements/ada/pool")] * 2000,
    "one usage event": [Ask("POST", "/usage", events(n, 1)) for n in range(1000)],
    "a hundred usage events": [Ask("POST", "/usage", events(n, 100)) for n in range(1000, 1060)],
    "a quote (starts a workflow)": [Ask("POST", "/quotes", offer(n)) for n in range(200)],
    "a revision (updates one)": [Ask("POST", f"/quotes/q{n}/revise", LINES) for n in range(200)],
}


async def prepare(http: httpx.AsyncClient) -> None:
    """A customer who has bought something, and may use it."""
    content = {"content": GYM.read_bytes(), "headers": {"Content-Type": "application/yaml"}}
    (await http.put("/catalog", **content)).raise_for_status()
    customer = {"key": "ada", "name": "Ada", "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
    (await http.post("/customers", json={**customer, "payment_method": "pm_card_visa"})).raise_for_status()
    (await http.post("/quotes", json={**offer(0), "key": "bought"})).raise_for_status()
    # Waits until what was sold is there.
    (await http.post("/quotes/bought/accept?wait=PT20S", json={"accepted_by": "Ada"})).raise_for_status()


async def measured(what: str, http: httpx.AsyncClient, asks: Iterable[Ask]) -> Figures:
    """Ask all of it, `AT_ONCE` at a time. Raises httpx.HTTPStatusError where one is not answered well."""
    took: list[float] = []
    waiting = iter(asks)

    async def asker() -> None:
        for ask in waiting:
            began = monotonic()
            answer = await http.request(ask.method, ask.path, json=ask.body)
            took.append(monotonic() - began)
            answer.raise_for_status()

    began = monotonic()
    await asyncio.gather(*(asker() for _ in range(AT_ONCE)))
    seconds = monotonic() - began
    took.sort()
    return Figures(what, len(took) / seconds, took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000)
