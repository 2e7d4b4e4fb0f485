"""Showing the catalog: a price book as a seller writes one, so that what was read can be applied again unchanged. Pure."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

from api.shapes import duration_text
from api.showing import Shown
from domain.catalog import Plan, PriceBook


def price_book(book: PriceBook) -> Shown:
    """The whole book, the versions of its plans included."""
    shown = cast(Shown, _written(book))
    if shown.pop("inclusive", False):
        shown["taxes"] = {**shown.get("taxes", {}), "inclusive": True}
    return shown


def plan(sold: Plan) -> Shown:
    """One version of one plan."""
    return cast(Shown, _written(sold))


def _written(value: object) -> object:
    """Numbers as they were written. What is nothing unless it is set (null, 0, an empty list) is left out when it is not."""
    match value:
        case Decimal():
            return f"{value:f}"
        case timedelta():
            return duration_text(value)
        case tuple():
            return [_written(one) for one in cast("tuple[object, ...]", value)]
        case Mapping():
            return {key: _written(one) for key, one in cast("Mapping[str, object]", value).items()}
        case _ if is_dataclass(value):
            given = ((field, getattr(value, field.name)) for field in fields(value))
            return {field.name: _written(one) for field, one in given if one or not _is_nothing(field.default, one)}
        case _:
            return value


def _is_nothing(default: Any, value: object) -> bool:  # noqa: ANN401 a dataclass tells nothing of its defaults
    return type(default) is type(value) and default == value
