"""Price book: the YAML or JSON that a seller writes → `domain.catalog.PriceBook` (contract section 3).

    text ──reading──► plain values ──shorthands──► shape ──► rules ──► PriceBook
                                                     └─ what is wrong ─┴──► InvalidInput, each error at path and line

A mistake in one part does not hide those in others: parts without shape are set aside, and the rules judge the rest.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import cast

from api.reading import Document, Loc, invalid, read_document
from api.shapes import Shape
from domain.catalog import PriceBook
from domain.catalog_rules import problems
from domain.errors import FieldError, InvalidInput

__all__ = ["price_book", "read_document", "read_price_book"]

Values = dict[str, object]

# Lists whose items are judged one by one; what is wrong in an item leaves its neighbours readable.
_PARTS = {"meters", "features", "plans", "approvals", "collections", "taxes"}
_PARTS_OF_PLAN = {"charges", "entitlements"}
# Stands in for an entity that cannot be read, so that the rest can be judged.
_SOMEBODY: Values = {"key": "entity", "legal_name": "", "country": "DE"}


def read_price_book(text: str) -> PriceBook:
    """The price book in a YAML or JSON text. Raises InvalidInput with all that is wrong, each at its path and line."""
    document = read_document(text, keep_inexact=True)
    return price_book(document.content, document)


def price_book(content: object, document: Document | None = None, within: Loc = ()) -> PriceBook:
    """The price book in plain values, which stand at `within` in `document`, say in a scenario's `catalog`.

    Raises InvalidInput with everything that is wrong; lines are named where `document` is given.
    """
    written = _without_shorthands(content)
    book, wrong = _shape().read(written)
    if book is None:
        wrong += _wrong_in_the_rest(written, [error.loc for error in wrong])
    else:
        wrong += problems(book)
    if wrong:
        raise _refusal(wrong, document, within)
    if book is None:
        raise InvalidInput("the price book cannot be read")
    return book


@cache
def _shape() -> Shape[PriceBook]:
    return Shape[PriceBook](PriceBook)


def _refusal(wrong: Iterable[FieldError], document: Document | None, within: Loc) -> InvalidInput:
    """All errors in the order in which they are written."""
    whole = [FieldError((*within, *_as_written(error.loc)), error.msg) for error in wrong]
    if document is None:
        return invalid(whole)
    whole.sort(key=lambda error: document.line(error.loc) or 0)
    return invalid([document.placed(error) for error in whole])


def _as_written(loc: Loc) -> Loc:
    return ("taxes", "inclusive") if loc == ("inclusive",) else loc


def _without_shorthands(content: object) -> object:
    """Short forms written out: `taxes: {inclusive: true}` and `rollover: 1`. What has no shape passes as it is."""
    if not isinstance(content, dict):
        return content
    book = dict(cast(Values, content))
    taxes = book.get("taxes")
    if isinstance(taxes, dict) and "inclusive" in taxes:
        book["inclusive"] = taxes["inclusive"]
        book["taxes"] = {code: rate for code, rate in cast(Values, taxes).items() if code != "inclusive"}
    _each(book, "plans", lambda plan: _each(plan, "entitlements", _long_rollover))
    return book


def _each(parent: Values, name: str, change: Callable[[Values], None]) -> None:
    """Change copies of the mappings in the list `parent[name]`, so that what the caller holds stays as it was."""
    items = parent.get(name)
    if isinstance(items, list):
        copies = [dict(cast(Values, item)) if isinstance(item, dict) else item for item in cast(list[object], items)]
        parent[name] = copies
        for copy in copies:
            if isinstance(copy, dict):
                change(cast(Values, copy))


def _long_rollover(entitlement: Values) -> None:
    rollover = entitlement.get("rollover")
    if rollover is not None and not isinstance(rollover, dict):
        entitlement["rollover"] = {"max": rollover}


def _wrong_in_the_rest(written: object, locs: list[Loc]) -> list[FieldError]:
    """What the rules say of the parts that can be read, when those at `locs` cannot."""
    bad = {_part(loc) for loc in locs}
    if bad & {(), ("meters",), ("features",), ("plans",)}:
        return []
    kept: dict[Loc, list[int]] = {}
    rest = cast(Values, _rest(written, (), bad, kept))
    book, _ = _shape().read({"entity": _SOMEBODY} | rest)
    if book is None:
        return []
    unread = {key for loc in bad if (key := _key(written, loc)) is not None}
    return [FieldError(_original(error.loc, kept), error.msg) for error in problems(book, unread)]


def _part(loc: Loc) -> Loc:
    """The smallest part around `loc` that the rest can do without."""
    if len(loc) >= 4 and loc[0] == "plans" and loc[2] in _PARTS_OF_PLAN:
        return loc[:4]
    return loc[:2] if len(loc) >= 2 and loc[0] in _PARTS else loc[:1]


def _rest(value: object, loc: Loc, bad: set[Loc], kept: dict[Loc, list[int]]) -> object:
    """A copy without the parts in `bad`; `kept` notes, for every list, where its remaining items stood."""
    if isinstance(value, dict):
        items = cast(Values, value).items()
        return {key: _rest(child, (*loc, key), bad, kept) for key, child in items if (*loc, key) not in bad}
    if isinstance(value, list):
        children = cast(list[object], value)
        kept[loc] = [index for index in range(len(children)) if (*loc, index) not in bad]
        return [_rest(children[index], (*loc, index), bad, kept) for index in kept[loc]]
    return value


def _original(loc: Loc, kept: dict[Loc, list[int]]) -> Loc:
    found: Loc = ()
    for step in loc:
        at = kept.get(found)
        found = (*found, at[step] if at is not None and isinstance(step, int) else step)
    return found


def _key(written: object, loc: Loc) -> str | None:
    """The key under which others may refer to the part at `loc`."""
    part = written
    for step in loc:
        part = (
            cast("dict[str | int, object]", part).get(step)
            if isinstance(part, dict)
            else cast("list[object]", part)[int(step)]
        )
    key = cast(Values, part).get("key") if isinstance(part, dict) else None
    return key if isinstance(key, str) else None
