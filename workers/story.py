"""Story: a scenario told through the product's own API, and what came of it.

Each step is a request; what the API refuses by a rule appears in the timeline as `refused` with its code, and the story goes
on. The result is what `perennial simulate --json` prints, read from the API when the story is over.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import httpx

from domain.errors import InvalidInput
from workers.census import census
from workers.scenario import REQUESTS, Expectation, Scenario, ScenarioStep
from workers.simulation import Simulation

Entry = dict[str, Any]
OnProgress = Callable[[str, Entry], Awaitable[None]]
PAGE = 200


class StepFailed(Exception):
    """The API could not answer a step; nothing is wrong with the scenario."""


@dataclass(slots=True)
class Told:
    """What the driver itself has seen: answers to checks, refusals, in order."""

    answers: dict[str, list[Entry]] = field(default_factory=lambda: {"checks": [], "usage": []})
    entries: list[Entry] = field(default_factory=list[Entry])


async def tell(scenario: Scenario, world: Simulation, on_progress: OnProgress | None = None) -> Entry:
    """Run the whole story; answers the result.

    Raises InvalidInput where the API takes a step for malformed, StepFailed, or Stalled when something due is not done.
    """
    told = Told()
    news = News(world, on_progress)
    await _prepare(scenario, world)
    for step in scenario.steps:
        await world.reach(step.at)
        await news.tell()
        entry = await _take(step, world, told)
        if on_progress:
            await on_progress(step.verb, {**step.fields, "at": _instant(step.at), **entry})
        await world.settle(step.at)
        await news.tell()
    await world.reach(scenario.until)
    await news.tell()
    return await _result(scenario, world, told)


class News:
    """What the product recorded since it was last asked, for who wants to watch."""

    def __init__(self, world: Simulation, on_progress: OnProgress | None) -> None:
        self._world = world
        self._on_progress = on_progress
        self._told: set[str] = set()

    async def tell(self) -> None:
        """Pass on what is new, oldest first."""
        if self._on_progress is None:
            return
        answer = await self._world.http.get("/v1/events", params={"limit": str(PAGE)})
        _require(answer, "/v1/events")
        for event in reversed(answer.json()["data"]):
            name = f"{event['type']}/{event['cause']}"
            if name not in self._told:
                self._told.add(name)
                await self._on_progress("event", event)


async def _prepare(scenario: Scenario, world: Simulation) -> None:
    catalog = scenario.catalog
    text = {"content": catalog} if isinstance(catalog, str) else None
    if text:
        answer = await world.http.put(
            "/v1/catalog", content=text["content"], headers={"content-type": "application/yaml"}
        )
    else:
        answer = await world.http.put("/v1/catalog", json=catalog)
    _require(answer, "catalog")
    for index, customer in enumerate(scenario.customers):
        answer = await world.http.post("/v1/customers", json=dict(customer))
        _require(answer, f"customers[{index}] ({customer['key']})")


async def _take(step: ScenarioStep, world: Simulation, told: Told) -> Entry:
    request = REQUESTS[step.verb](step.fields)
    answer = await world.http.request(request.method, request.path, json=request.body)
    at = _instant(step.at)
    if answer.status_code == 409 or _is_unknown_method(step, answer):
        about = {name: step.fields[name] for name in ("customer", "quote") if name in step.fields}
        entry = {"at": at, "type": "refused", "step": step.verb, **about, **_problem(answer)}
        told.entries.append(entry)
        return entry
    _require(answer, f"step {step.verb}" + (f" (line {step.line})" if step.line else ""))
    body = answer.json()
    if request.answers_to == "checks":
        check = {"at": at, "customer": step.fields["customer"], "feature": step.fields["feature"], **body}
        told.answers["checks"].append(check)
        told.entries.append(
            {"at": at, "type": "check", **{name: check[name] for name in ("customer", "feature", "allowed")}}
        )
    if request.answers_to == "usage":
        told.entries += [
            {"at": at, "type": "refused", "step": step.verb, "customer": step.fields["customer"]}
            | {name: no[name] for name in ("id", "code", "detail")}
            for no in body["rejected"]
        ]
        if body["accepted"] or body["duplicates"]:
            counts = {name: body[name] for name in ("accepted", "duplicates")}
            about = {name: step.fields[name] for name in ("customer", "event")}
            told.entries.append({"at": at, "type": "usage", **about, **counts})
    return cast(Entry, body)


def _is_unknown_method(step: ScenarioStep, answer: httpx.Response) -> bool:
    """Whether the payment provider refused a method: a customer's mistake, and no reason to end the story."""
    errors = _problem(answer).get("errors", ())
    return step.verb == "payment_method" and [error["loc"] for error in errors] == [["use"]]


def _require(answer: httpx.Response, what: str) -> None:
    if answer.is_success:
        return
    problem = _problem(answer)
    failure = InvalidInput if answer.is_client_error else StepFailed
    raise failure(f"{what}: {problem.get('code')}: {problem.get('detail')}")


def _problem(answer: httpx.Response) -> Entry:
    try:
        body = cast(Entry, answer.json())
    except ValueError:
        body = {"code": f"http_{answer.status_code}", "detail": answer.text[:200]}
    return {name: body[name] for name in ("code", "detail", "errors") if body.get(name)}


async def everything(http: httpx.AsyncClient, path: str, **filters: str) -> list[Entry]:
    """All pages of a list, oldest first."""
    found: list[Entry] = []
    cursor = None
    while True:
        params = {**filters, "limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
        answer = await http.get(path, params=params)
        _require(answer, path)
        page = answer.json()
        found += page["data"]
        cursor = page["next_cursor"]
        if not cursor:
            return found[::-1]


async def _result(scenario: Scenario, world: Simulation, told: Told) -> Entry:
    http = world.http
    events = await everything(http, "/v1/events")
    collections = await everything(http, "/v1/collections")
    ledger = (await http.get("/v1/ledger/trial-balance")).json()
    entitlements = {
        str(customer["key"]): (await http.get(f"/v1/entitlements/{customer['key']}")).json()["data"]
        for customer in scenario.customers
    }
    payments = [attempt for collection in collections for attempt in collection["attempts"]]
    return {
        "scenario": scenario.name,
        "timeline": _timeline(events, told.entries),
        "quotes": await everything(http, "/v1/quotes"),
        "orders": await everything(http, "/v1/orders"),
        "subscriptions": await everything(http, "/v1/subscriptions"),
        "invoices": await everything(http, "/v1/invoices"),
        "credit_notes": [],
        "payments": sorted(payments, key=lambda payment: (payment["at"], payment["invoice"], payment["attempt"])),
        "collections": collections,
        "entitlements": entitlements,
        "checks": told.answers["checks"],
        "credits": [],
        "ledger": {
            "balanced": ledger["balanced"],
            "accounts": {
                f"{row['account']}:{row['currency']}": {"debit": row["debit"], "credit": row["credit"]}
                for row in ledger["accounts"]
            },
        },
        "workflows": await census(world),
    }


def _timeline(events: list[Entry], entries: list[Entry]) -> list[Entry]:
    """What the product recorded and what the driver saw, by instant; at one instant the record comes first."""
    recorded = [
        {"at": event["at"], "type": event["type"], **_known(event, "customer", "subject"), **_known(event["data"])}
        for event in events
    ]
    return sorted(recorded + entries, key=lambda entry: entry["at"])


def _known(facts: Entry, *names: str) -> Entry:
    """What is known of the facts named, or of all."""
    return {name: value for name in names or facts if (value := facts.get(name))}


def misses(result: Entry, expectations: tuple[Expectation, ...]) -> list[str]:
    """What did not come out as expected, one readable line each."""
    found: list[str] = []
    for expectation in expectations:
        value = value_at(result, expectation.path)
        if value != expectation.equals:
            found.append(f"{expectation.path}: expected {expectation.equals!r}, got {value!r}")
    return found


def value_at(result: Any, path: str) -> Any:  # noqa: ANN401
    """The value at a path like `invoices[0].lines[1].amount`; None where there is nothing. Raises InvalidInput."""
    steps = re.findall(r"[^.\[\]]+|\[\d+\]", path)
    if not steps:
        raise InvalidInput(f"{path!r} is not a path like invoices[0].total")
    value = result
    for step in steps:
        try:
            value = value[int(step[1:-1])] if step.startswith("[") else value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
