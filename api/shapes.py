"""Shapes: plain values → frozen dataclasses of the domain, by pydantic, with every error in words and at its path.

    dataclass ──TypeAdapter──► its schema ──made exact──► validator ──► value, or FieldErrors

The adapter's schema is made stricter where money needs it: numbers are whole or decimal strings, never floats;
durations are ISO 8601 (`P3D`, `PT1H`, `P-3D`), never bare seconds; a key that no field has is refused, with the one
that was meant; a union of dataclasses with a `model` is told apart by it.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, SchemaValidator, core_schema

from api.reading import MOST_DIGITS, MOST_ERRORS, TOO_LONG, Inexact, Loc
from domain.errors import FieldError

T = TypeVar("T")
Node = dict[str, Any]

_NUMBER = re.compile(rf"-?[0-9]{{1,{MOST_DIGITS}}}(\.[0-9]{{1,{MOST_DIGITS}}})?")
_DURATION = re.compile(
    r"(?P<sign>-?)P(?P<inner>-?)(?=[0-9T])((?P<weeks>[0-9]{1,4})W)?((?P<days>[0-9]{1,5})D)?"
    r"(T(?=[0-9])((?P<hours>[0-9]{1,5})H)?((?P<minutes>[0-9]{1,6})M)?((?P<seconds>[0-9]{1,8})S)?)?"
)
_SAYS = {
    "missing": "is missing",
    "string_type": "must be text: write it in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "dataclass_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "union_tag_not_found": "model is missing: say which one",
}


def number(text: str) -> Decimal | None:
    """A decimal string as the contract writes them ("12.30", "-3"), exactly; None for anything else."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def duration(text: str) -> timedelta | None:
    """An ISO 8601 duration of fixed length ("P14D", "PT1H", "P-3D"); None for anything else, months included."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    parts = {unit: int(found[unit] or 0) for unit in ("weeks", "days", "hours", "minutes", "seconds")}
    return timedelta(**parts) * (-1 if found["sign"] or found["inner"] else 1)


def duration_text(span: timedelta) -> str:
    """The text of which `duration` makes `span`: "P14D", "PT1H", "P-3D"."""
    whole = abs(span) // timedelta(seconds=1)
    days, rest = divmod(whole, 86_400)
    units = (("H", rest // 3600), ("M", rest % 3600 // 60), ("S", rest % 60))
    clock = "".join(f"{count}{unit}" for unit, count in units if count)
    date = f"{days}D" if days or not clock else ""
    return ("P-" if span < timedelta(0) else "P") + date + (f"T{clock}" if clock else "")


class Shape(Generic[T]):
    """A reader of one type. Building it takes milliseconds, so make one and keep it."""

    def __init__(self, type_: Any) -> None:  # noqa: ANN401 a union is no type[T]
        self._schema = _exact(cast(Node, TypeAdapter(type_).core_schema))
        self._named = {node["ref"]: node for node in self._schema.get("definitions", [])}
        self._validator = SchemaValidator(cast(core_schema.CoreSchema, self._schema))

    def read(self, content: object) -> tuple[T | None, list[FieldError]]:
        """The value and no errors, or None and what is wrong: the first hundred."""
        try:
            return self._validator.validate_python(content), []
        except ValidationError as wrong:
            return None, [self._said(detail) for detail in wrong.errors(include_url=False)[:MOST_ERRORS]]

    def _said(self, detail: ErrorDetails) -> FieldError:
        loc, fields = self._path(detail["loc"])
        kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
        if isinstance(given, Inexact) and kind not in {"unexpected_keyword_argument", "whole"}:
            return FieldError(loc, given.refusal)
        if kind == "unexpected_keyword_argument":
            return FieldError(loc, f"is not known here{_meant(str(loc[-1]), fields)}")
        if kind == "union_tag_invalid":
            known = [word.strip(" '") for word in context["expected_tags"].split(",")]
            return FieldError((*loc, "model"), f"must be one of {', '.join(known)}{_near(context['tag'], known)}")
        if kind in {"enum", "literal_error"}:
            known = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
            return FieldError(loc, f"must be one of {', '.join(known)}{_near(given, known)}")
        return FieldError(loc, _SAYS.get(kind, detail["msg"]))

    def _path(self, steps: Loc) -> tuple[Loc, list[str]]:
        """The path without pydantic's own steps (members of unions), and the fields of the last dataclass on it."""
        node, fields, loc = self._schema, list[str](), list[str | int]()
        for step in steps:
            node = self._opened(node)
            match node["type"]:
                case "tagged-union":
                    node = node["choices"][step]
                    continue
                case "dataclass-args":
                    by_name = {field["name"]: field["schema"] for field in node["fields"]}
                    fields, node = list(by_name), by_name.get(str(step), _ANYTHING)
                case "tuple":
                    node = node["items_schema"][0]
                case "dict":
                    node = node["values_schema"]
                case _:
                    node = _ANYTHING
            loc.append(step)
        return tuple(loc), fields

    def _opened(self, node: Node) -> Node:
        """The schema inside what says only that it may be absent, has a default, or stands elsewhere."""
        while True:
            match node["type"]:
                case "definition-ref":
                    node = self._named[node["schema_ref"]]
                case "definitions" | "default" | "nullable" | "dataclass" | "function-before":
                    node = node["schema"]
                case _:
                    return node


_ANYTHING: Node = {"type": "any"}


def _meant(key: str, fields: list[str]) -> str:
    return _near(key, fields) or f"; known are {', '.join(fields)}"


def _near(word: object, known: list[str]) -> str:
    near = get_close_matches(str(word), known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _exact(node: Any) -> Any:  # noqa: ANN401 pydantic's schemas are nested dicts of many kinds
    """A copy of a core schema in which numbers, durations, keys and unions are read as this module says."""
    if isinstance(node, list):
        return [_exact(child) for child in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    parts = cast(Node, node).items()
    copied = {key: child if key in {"metadata", "serialization"} else _exact(child) for key, child in parts}
    kind = copied.get("type")
    if kind in _READS and "schema" not in copied:
        return core_schema.no_info_before_validator_function(_READS[kind], cast(core_schema.CoreSchema, copied))
    if kind == "dataclass-args":
        return {**copied, "extra_behavior": "forbid"}
    if kind == "union":
        return _union(copied)
    return copied


def _union(node: Node) -> Node:
    models = {_model(choice): choice for choice in node["choices"]}
    if None not in models:
        return {"type": "tagged-union", "choices": models, "discriminator": "model"}
    words = [word for choice in node["choices"] for word in choice.get("expected", ["a number"])]
    said = "must be " + " or ".join(words)
    return {**node, "custom_error_type": "choice", "custom_error_message": said}


def _model(choice: Node) -> str | None:
    fields: list[Node] = choice["schema"]["fields"] if choice["type"] == "dataclass" else []
    return next((field["schema"]["schema"]["expected"][0] for field in fields if field["name"] == "model"), None)


def read_number(value: object) -> Decimal:
    """A quantity, price or rate: whole, or a decimal string. Raises PydanticCustomError, a ValueError, for all else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    read = number(value) if isinstance(value, str) else value
    if isinstance(read, Decimal):
        return read
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        raise PydanticCustomError("number", TOO_LONG)
    raise PydanticCustomError("number", 'must be a number, whole or as a decimal string such as "12.30"')


def _read_whole(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        return value
    raise PydanticCustomError("whole", "must be a whole number")


def _read_duration(value: object) -> object:
    read = duration(value) if isinstance(value, str) else value
    if isinstance(read, timedelta):
        return read
    raise PydanticCustomError("duration", 'must be an ISO 8601 duration in days or hours, such as "P3D" or "PT1H"')


_READS: dict[object, Callable[[object], object]] = {
    "decimal": read_number,
    "int": _read_whole,
    "timedelta": _read_duration,
}
