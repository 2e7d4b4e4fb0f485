"""Pricing without a server: `perennial rate` and `perennial catalog check` (contract section 5).

    file or standard input ──► read_document ──► rate_document ──► JSON or a table; the exit status

An item that cannot be priced answers with an error of its own and does not stop the others. Nothing here needs
Temporal, PostgreSQL or the network, and nothing of them is imported: start to answer is a measured figure.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TextIO, cast

from api.price_book import read_price_book
from api.reading import Inexact, path_text, read_document
from api.shapes import Shape, read_number
from domain.catalog import ZERO, Aggregation, Charge, Commitment, Dynamic, Matrix, Percentage, type_of_model
from domain.charge_rules import charge_problems
from domain.errors import InvalidInput, PricingError
from domain.metering import Event, Span, measured
from domain.money import CURRENCIES, Money, plain, total
from domain.rating import ONE, WHOLE, RatedLine, Share, Usage, rate, true_up
from workers.files import named, text_of

Values = dict[str, object]

MAX_CHARS = 100_000_000
_ITEM_FIELDS = ("id", "charge", "quantity", "events", "aggregation", "prorate", "period")


@dataclass(frozen=True, slots=True)
class _Item:
    """One item of the input; `content` is its fields as they were written."""

    id: object
    content: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What became of an item: lines, or the error that stands in their place."""

    item: _Item
    charge: Charge | None = None
    quantity: Fraction | None = None
    lines: tuple[RatedLine, ...] = ()
    error: PricingError | None = None


def rate_document(data: object) -> dict[str, object]:
    """The answer to the input of contract section 5. Raises InvalidInput when it is no such input."""
    currency, items = _opened(data)
    answers = [_answered(item, currency) for item in items]
    answers = [_committed(answer, answers, currency) for answer in answers]
    return {"currency": currency, "items": [_told(answer, currency) for answer in answers]}


def run_rate(path: str | Path, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Price the items in the file at `path` ("-": standard input). 0 all priced, 1 some not, 2 the input is no use."""
    try:
        answer = rate_document(read_document(text_of(path), keep_inexact=True, max_chars=MAX_CHARS).content)
    except InvalidInput as error:
        print(f"{named(path)}: {error.detail}", file=err)
        return 2
    items = cast(list[Values], answer["items"])
    if as_json:
        json.dump(answer, out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        _show(items, str(answer["currency"]), out)
    failed = [item for item in items if "error" in item]
    if failed:
        why = cast(dict[str, str], failed[0]["error"])
        which = "" if failed[0]["id"] is None else f"{failed[0]['id']}: "
        told = f"{len(failed)} of {len(items)} items cannot be priced: {which}{why['code']}: {why['detail']}"
        print(f"{named(path)}: {' '.join(told.split())}", file=err)
    return 1 if failed else 0


def run_check(path: str | Path, out: TextIO, err: TextIO) -> int:
    """Say what is wrong with the price book at `path` ("-": standard input), one line each. 0 nothing, 2 something."""
    try:
        book = read_price_book(text_of(path))
    except InvalidInput as error:
        told = [": ".join(part for part in (path_text(wrong.loc), wrong.msg) if part) for wrong in error.errors]
        for line in told or [error.detail]:
            print(f"{named(path)}: {line}", file=err)
        return 2
    counts = {"plans": book.plans, "meters": book.meters, "features": book.features}
    told = ", ".join(f"{len(parts)} {name if len(parts) != 1 else name[:-1]}" for name, parts in counts.items())
    print(f"{named(path)}: valid, {told}", file=out)
    return 0


def _opened(data: object) -> tuple[str, list[_Item]]:
    if not isinstance(data, dict):
        raise InvalidInput('must be a mapping: {"currency": …, "items": […]}')
    content = cast(Values, data)
    currency, items = content.get("currency"), content.get("items")
    if not isinstance(currency, str) or currency not in CURRENCIES:
        raise InvalidInput(f"currency: {currency!r} is not an ISO 4217 currency")
    if not isinstance(items, list):
        raise InvalidInput("items: must be a list")
    opened: list[_Item] = []
    for index, item in enumerate(cast(list[object], items)):
        if not isinstance(item, dict):
            raise InvalidInput(f"items[{index}]: must be a mapping with a charge and a quantity or events")
        fields = cast(Values, item)
        opened.append(_Item(fields.get("id"), fields))
    return currency, opened


def _answered(item: _Item, currency: str) -> _Answer:
    charge = usage = None
    try:
        charge = _charge(item.content.get("charge"), currency)
        _refuse_unknown(item.content)
        share = _share(item.content.get("prorate"))
        if isinstance(charge, Commitment):
            return _Answer(item=item, charge=charge)
        usage = _measured(item.content, charge)
        lines = rate(charge, usage, currency, share=share)
        return _Answer(item=item, charge=charge, quantity=_quantity_of(usage), lines=lines)
    except PricingError as error:
        quantity = None if usage is None else _quantity_of(usage)
        return _Answer(item=item, charge=charge, quantity=quantity, error=error)


def _refuse_unknown(item: Values) -> None:
    unknown = next((name for name in item if name not in _ITEM_FIELDS), None)
    if unknown is not None:
        raise PricingError("invalid_quantity", f"{unknown} is not known; known are {', '.join(_ITEM_FIELDS)}")


def _quantity_of(usage: Fraction | Usage) -> Fraction:
    return usage.quantity if isinstance(usage, Usage) else usage


def _committed(answer: _Answer, answers: Sequence[_Answer], currency: str) -> _Answer:
    """A commitment counts the items of the charges it applies to, or the quantity that it is given as their amount."""
    charge = answer.charge
    if not isinstance(charge, Commitment) or answer.error is not None:
        return answer
    try:
        counted = _counted(answer, charge, answers, currency)
        missing = true_up(charge, counted, currency, _share(answer.item.content.get("prorate")))
    except PricingError as error:
        return _Answer(item=answer.item, charge=charge, error=error)
    line = RatedLine(
        kind="true_up", description="committed amount not reached", quantity=ONE, unit_amount=None, amount=missing
    )
    return _Answer(item=answer.item, charge=charge, quantity=counted.exact, lines=(line,) if missing.minor else ())


def _counted(answer: _Answer, charge: Commitment, answers: Sequence[_Answer], currency: str) -> Money:
    if "quantity" in answer.item.content:
        return Money.rounded(_number(answer.item.content["quantity"], "invalid_quantity", "quantity"), currency)
    counted = [other for other in answers if other.charge is not None and other.charge.key in charge.applies_to]
    failed = next((other for other in counted if other.error is not None), None)
    if failed is not None:
        raise PricingError("invalid_charge", f"item {failed.item.id}, which it counts, cannot be priced")
    return total((line.amount for other in counted for line in other.lines), currency)


@cache
def _charges() -> Shape[Charge]:
    return Shape[Charge](Charge)


def _charge(content: object, currency: str) -> Charge:
    model = cast(Values, content).get("model") if isinstance(content, dict) else None
    if isinstance(content, dict):
        # What a plan needs and a price does not: which charge of it this is, and when it falls due.
        content = {"key": "charge", "timing": "arrears", **cast(Values, content)}
    if isinstance(model, str) and model not in type_of_model:
        raise PricingError("unknown_model", f"{model!r} is no model; they are {', '.join(type_of_model)}")
    charge, wrong = _charges().read(cast(object, content))
    if charge is not None:
        wrong = list(charge_problems(charge, currency))
    if charge is None or wrong:
        told = (": ".join(part for part in (path_text(error.loc), error.msg) if part) for error in wrong)
        raise PricingError("invalid_charge", "; ".join(told))
    return charge


def _measured(item: Mapping[str, object], charge: Charge) -> Fraction | Usage:
    if "events" not in item:
        if "quantity" in item:
            return _number(item["quantity"], "invalid_quantity", "quantity")
        if charge.quantity is None:
            raise PricingError("invalid_quantity", "quantity or events: one of them must be given")
        return Fraction(charge.quantity)
    if "quantity" in item:
        raise PricingError("invalid_quantity", "quantity or events: only one of them can be given")
    words, asked = [one.value for one in Aggregation], item.get("aggregation", "sum")
    if asked not in words:
        raise PricingError("invalid_events", f"aggregation must be one of {', '.join(words)}")
    aggregation = Aggregation(str(asked))
    events, period = item["events"], item.get("period")
    if not isinstance(events, list):
        raise PricingError("invalid_events", "events must be a list")
    dimensions = charge.dimensions if isinstance(charge, Matrix) else ()
    read = [
        _event(event, f"events[{index}]", charge, aggregation, dimensions)
        for index, event in enumerate(cast(list[object], events))
    ]
    return measured(aggregation, read, dimensions, None if period is None else _span(period))


def _event(event: object, at: str, charge: Charge, aggregation: Aggregation, dimensions: Sequence[str]) -> Event:
    if not isinstance(event, dict):
        raise PricingError("invalid_events", f"{at} must be a mapping with a value")
    fields = cast(Values, event)
    value, unique = ZERO, None
    counts_only = aggregation in {Aggregation.COUNT, Aggregation.UNIQUE_COUNT}
    if not counts_only or isinstance(charge, Percentage | Dynamic):
        value = _decimal(fields.get("value"), "invalid_events", f"{at}.value")
    if aggregation is Aggregation.UNIQUE_COUNT:
        unique = _word(fields.get("value"), f"{at}.value")
    properties = fields.get("properties", {})
    if not isinstance(properties, dict):
        raise PricingError("invalid_events", f"{at}.properties must be a mapping")
    named = cast(Values, properties)
    return Event(
        value=value,
        properties={
            name: _word(named[name], f"{at}.properties.{name}") for name in dimensions if named.get(name) is not None
        },
        time=None if fields.get("time") is None else _instant(fields["time"], f"{at}.time"),
        unique=unique,
    )


def _word(value: object, at: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise PricingError("invalid_events", f"{at} must be text" + ("" if value is not None else "; it is missing"))


def _number(value: object, code: str, at: str) -> Fraction:
    return Fraction(_decimal(value, code, at))


def _decimal(value: object, code: str, at: str) -> Decimal:
    if isinstance(value, Inexact):
        raise PricingError(code, f"{at} is a bare number with a point: {value.advice}")
    try:
        return read_number(value)
    except ValueError as error:
        raise PricingError(code, f"{at} {error}") from error


def _share(prorate: object) -> Share:
    if prorate is None:
        return WHOLE
    fields = cast(Values, prorate) if isinstance(prorate, dict) else {}
    days, of = fields.get("days"), fields.get("of")
    if type(days) is not int or type(of) is not int or not 0 <= days <= of or not of:
        raise PricingError("invalid_quantity", "prorate must be {days, of}, whole numbers, days not more than of")
    return Share(days, of)


def _span(period: object) -> Span:
    fields = cast(Values, period) if isinstance(period, dict) else {}
    return Span(_instant(fields.get("start"), "period.start"), _instant(fields.get("end"), "period.end"))


def _instant(value: object, at: str) -> datetime:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PricingError("invalid_events", f"{at} must be an instant with an offset, such as 2026-03-01T09:00:00Z")


def _told(answer: _Answer, currency: str) -> Values:
    told: Values = {"id": answer.item.id}
    if answer.quantity is not None:
        told["quantity"] = plain(answer.quantity)
    if answer.error is not None or answer.charge is None:
        error = answer.error
        return told | {"error": {"code": error.code if error else "", "detail": error.detail if error else ""}}
    name = answer.charge.name or answer.charge.key
    return told | {
        "amount": total((line.amount for line in answer.lines), currency).text,
        "lines": [_told_line(line, name) for line in answer.lines],
    }


def _told_line(line: RatedLine, name: str) -> Values:
    return {
        "description": f"{name} ({line.description})" if line.description else name,
        "quantity": plain(line.quantity),
        "unit_amount": None if line.unit_amount is None else f"{line.unit_amount:f}",
        "amount": line.amount.text,
    }


def _show(items: Iterable[Values], currency: str, out: TextIO) -> None:
    # Late, because it takes longer to import than a machine-readable answer takes to compute.
    from rich.table import Table
    from rich.text import Text

    from workers.printing import console_on

    table = Table("Item", "Line", box=None, header_style="bold", pad_edge=False)
    for heading in ("Quantity", "Unit price", f"Amount {currency}"):
        table.add_column(heading, justify="right")
    for item in items:
        name = Text("–" if item["id"] is None else str(item["id"]))
        if "error" in item:
            error = cast(dict[str, str], item["error"])
            table.add_row(name, Text(f"{error['code']}: {error['detail']}", "red"), str(item.get("quantity", "")))
            continue
        lines = cast(list[Values], item["lines"])
        for index, line in enumerate(lines):
            table.add_row(
                name if index == 0 else "",
                Text(str(line["description"])),
                str(line["quantity"]),
                str(line["unit_amount"] or ""),
                Text(str(line["amount"]), "" if len(lines) > 1 else "bold"),
            )
        if len(lines) != 1:
            table.add_row(
                "" if lines else name,
                Text("total" if lines else "nothing to charge", "dim"),
                "",
                "",
                Text(str(item["amount"]), "bold"),
            )
    console_on(out).print(table)
