"""Scenario: a story of what users and outside systems do, as a file (contract section 6), read and checked.

Each step becomes one request to the product's own API (`REQUESTS`); what the API would refuse as malformed is refused here
with the line on which it stands.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from api.price_book import price_book, read_price_book
from api.reading import Document, invalid, read_document
from domain.errors import FieldError, InvalidInput
from workers.files import naming, text_of

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API. `answers_to` is the list of the result that its answer is added to."""

    method: str
    path: str
    body: Any = None
    answers_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioStep:
    """One thing that somebody does at `at` (UTC); `line` is where it stands in the file."""

    at: datetime
    verb: str
    fields: Fields
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The value at `path` of the result should be `equals`."""

    path: str
    equals: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole story. `catalog` is the price book's text; instants are UTC."""

    name: str
    starts: datetime
    until: datetime
    catalog: str | Fields
    customers: tuple[Fields, ...]
    steps: tuple[ScenarioStep, ...]
    expect: tuple[Expectation, ...] = field(default=())


def _quote(step: Fields) -> Request:
    return Request("POST", "/v1/quotes", dict(step))


def _accept(step: Fields) -> Request:
    return Request("POST", f"/v1/quotes/{step['quote']}/accept", {"accepted_by": str(step.get("by", "customer"))})


def _quote_verb(verb: str) -> Callable[[Fields], Request]:
    def request(step: Fields) -> Request:
        body = {name: value for name, value in step.items() if name != "quote"}
        return Request("POST", f"/v1/quotes/{step['quote']}/{verb}", body)

    return request


def _usage(step: Fields) -> Request:
    count = int(step.get("count", 1))
    ids = [str(step["id"])] if count == 1 else [f"{step['id']}-{n}" for n in range(1, count + 1)]
    events = [
        {
            "specversion": "1.0",
            "id": id_,
            "source": str(step.get("source", "scenario")),
            "type": step["event"],
            "subject": step["customer"],
            "time": step["time"],
            "data": step.get("data", {}),
        }
        for id_ in ids
    ]
    return Request("POST", "/v1/usage", events, answers_to="usage")


def _check(step: Fields) -> Request:
    return Request("GET", f"/v1/entitlements/{step['customer']}/{step['feature']}", answers_to="checks")


def _payment_method(step: Fields) -> Request:
    return Request("POST", f"/v1/customers/{step['customer']}/payment-methods", {"use": step["use"]})


AT_MOST_EVENTS = 100_000
REQUESTS: dict[str, Callable[[Fields], Request]] = {
    "quote": _quote,
    "accept": _accept,
    "submit": _quote_verb("submit"),
    "approve": _quote_verb("approve"),
    "reject": _quote_verb("reject"),
    "revise": _quote_verb("revise"),
    "withdraw": _quote_verb("withdraw"),
    "usage": _usage,
    "check": _check,
    "payment_method": _payment_method,
}
REQUIRED: dict[str, tuple[str, ...]] = {
    "quote": ("key", "customer", "lines"),
    "usage": ("customer", "event", "id"),
    "check": ("customer", "feature"),
    "payment_method": ("customer", "use"),
}
_SHORTHAND = {"accept", "submit", "withdraw"}  # `accept: q1` is `accept: {quote: q1}`


_PARTS = ("scenario", "starts", "until", "catalog", "customers", "steps", "expect")


def read_scenario(path: Path) -> Scenario:
    """The scenario in `path`. Raises InvalidInput with the path and line of everything that is wrong."""
    with naming(path):
        return scenario_from(read_document(text_of(path)), folder=path.parent)


def ending_at(scenario: Scenario, now: datetime) -> Scenario:
    """The same story moved by whole days so that its last day is the day before `now`, or today; it goes on until `now`."""
    by = timedelta(days=(now - scenario.until).days)
    steps = tuple(replace(step, at=step.at + by, fields=_moved(step.fields, by)) for step in scenario.steps)
    return replace(scenario, starts=scenario.starts + by, until=now, steps=steps)


def _moved(fields: Fields, by: timedelta) -> Fields:
    return {
        name: (datetime.fromisoformat(value) + by).isoformat() if name == "time" else value
        for name, value in fields.items()
    }


def scenario_from(document: Document, *, folder: Path) -> Scenario:
    """The scenario in a document that was read; a `catalog:` path is relative to `folder`, or else to the working folder."""
    content = document.content
    if not isinstance(content, dict):
        raise InvalidInput("a scenario is a mapping: scenario, starts, until, catalog, customers, steps")
    content = cast(dict[str, Any], content)
    errors = [
        FieldError((name,), f"a scenario needs `{name}`") for name in _PARTS if name not in content and name != "expect"
    ]
    errors += [
        FieldError((name,), f"unknown; a scenario has {', '.join(_PARTS)}") for name in content if name not in _PARTS
    ]
    _raise(errors, document)
    customers = _mappings(content, "customers", ("key",), errors)
    steps = _steps(content, {str(customer["key"]) for customer in customers}, document, errors)
    expect = _mappings(content, "expect", ("path", "equals"), errors)
    starts, until = _instant(content["starts"], ("starts",), errors), _instant(content["until"], ("until",), errors)
    if until < starts:
        errors.append(FieldError(("until",), "must not be before `starts`"))
    _raise(errors, document)
    errors += [
        FieldError(("steps", index, "at"), f"steps stand in time order, within {starts:%F %T} and {until:%F %T} UTC")
        for index, step in enumerate(steps)
        if step.at < (steps[index - 1].at if index else starts) or step.at > until
    ]
    _raise(errors, document)
    return Scenario(
        name=str(content["scenario"]),
        starts=starts,
        until=until,
        catalog=_catalog(content["catalog"], document, folder),
        customers=customers,
        steps=tuple(steps),
        expect=tuple(Expectation(path=str(e["path"]), equals=e["equals"]) for e in expect),
    )


def _raise(errors: list[FieldError], document: Document) -> None:
    if errors:
        raise invalid([document.placed(error) for error in errors])


def _mappings(
    content: Mapping[str, Any], name: str, needed: tuple[str, ...], errors: list[FieldError]
) -> tuple[Fields, ...]:
    """The list of mappings under `name`, none where it is left out."""
    written = content.get(name, [])
    if not isinstance(written, list):
        errors.append(FieldError((name,), "must be a list"))
        return ()
    found: list[Fields] = []
    for index, entry in enumerate(cast(list[object], written)):
        if isinstance(entry, dict) and all(key in entry for key in needed):
            found.append(cast(Fields, entry))
        else:
            errors.append(FieldError((name, index), f"must be a mapping with {' and '.join(needed)}"))
    return tuple(found)


def _steps(
    content: Mapping[str, Any], customers: set[str], document: Document, errors: list[FieldError]
) -> list[ScenarioStep]:
    steps: list[ScenarioStep] = []
    for index, entry in enumerate(_mappings(content, "steps", ("at",), errors)):
        verbs = [name for name in entry if name != "at"]
        loc = ("steps", index)
        if len(verbs) != 1:
            errors.append(FieldError(loc, "a step is `{at: instant, verb: …}` with one verb"))
            continue
        (verb,) = verbs
        if verb not in REQUESTS:
            errors.append(FieldError((*loc, verb), f"no step {verb!r}; there are: {', '.join(REQUESTS)}"))
            continue
        fields = entry[verb]
        if isinstance(fields, str) and verb in _SHORTHAND:
            fields = {"quote": fields}
        if not isinstance(fields, dict):
            errors.append(FieldError((*loc, verb), "a mapping is wanted"))
            continue
        fields = cast(dict[str, Any], fields)
        wrong = _wrong(verb, fields, customers)
        errors.extend(FieldError((*loc, verb, *at), what) for at, what in wrong)
        if not wrong:
            at = _instant(entry["at"], (*loc, "at"), errors)
            if verb == "usage":
                fields = {**fields, "time": fields.get("time", at.isoformat())}
            steps.append(ScenarioStep(at=at, verb=verb, fields=fields, line=document.line(loc)))
    return steps


def _wrong(verb: str, fields: Mapping[str, Any], customers: set[str]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the fields of a step that only this file can know; the rest is the API's to say."""
    wrong: list[tuple[tuple[str, ...], str]] = [
        ((), f"`{name}` is missing") for name in REQUIRED.get(verb, ("quote",)) if name not in fields
    ]
    customer, count = fields.get("customer"), fields.get("count", 1)
    if customer is not None and str(customer) not in customers:
        wrong.append((("customer",), f"no customer {customer!r} among `customers`"))
    if verb == "usage" and (type(count) is not int or not 1 <= count <= AT_MOST_EVENTS):
        wrong.append((("count",), f"must be a whole number from 1 to {AT_MOST_EVENTS}"))
    return wrong


def _instant(value: object, loc: tuple[str | int, ...], errors: list[FieldError]) -> datetime:
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(str(value))
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    errors.append(FieldError(loc, f"{value!r} is not an RFC 3339 instant with offset"))
    return datetime.min.replace(tzinfo=UTC)


def _catalog(value: object, document: Document, folder: Path) -> str | Fields:
    """The price book, checked before anything is started for it."""
    if not isinstance(value, str):
        price_book(value, document, ("catalog",))
        return cast(Fields, value)
    found = next((path for path in (folder / value, Path(value)) if _is_file(path)), None)
    if found is None:
        raise invalid([document.placed(FieldError(("catalog",), f"no file {value}"))])
    with naming(found):
        text = text_of(found)
        read_price_book(text)
    return text


def _is_file(path: Path) -> bool:
    # A name that is longer than any can be is an error to the system; to us it is one that nobody has.
    with suppress(OSError):
        return path.is_file()
    return False
