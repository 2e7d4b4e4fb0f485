"""Bodies: JSON as it came → plain values → a request's dataclass, with every error at its path.

Nothing becomes a float: a bare number with a point is refused with advice. What no store can hold (NUL, half a
surrogate) and what no caller means (a key twice, forty levels) is refused before anybody looks at it.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast

from fastapi import Request
from pydantic import TypeAdapter

from api.problems import InvalidJson
from api.reading import MAX_DEPTH, MOST_DIGITS, Inexact, Loc, invalid
from api.shapes import Shape
from domain.errors import FieldError

T = TypeVar("T")
Json = dict[str, Any]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


class Body(Generic[T]):
    """A dependency that reads one kind of request body; `schema` describes it for the docs."""

    def __init__(
        self, type_: type[T], *, example: object = None, optional: bool = False, partial: bool = False
    ) -> None:
        """With `optional` an empty body counts as `{}`. `partial`: its reader fills in what is left out."""
        self._type = type_
        self._shape = Shape[T](type_)
        self._optional = optional
        self._partial = partial
        self._example = example

    async def __call__(self, request: Request) -> T:
        """The body of `request`. Raises InvalidJson, InvalidInput."""
        raw = await request.body()
        return self.read({} if self._optional and not raw.strip() else read_json(raw))

    def read(self, content: object) -> T:
        """The value in plain `content`. Raises InvalidInput."""
        if not isinstance(content, dict):
            raise invalid([FieldError((), "must be an object")])
        value, errors = self._shape.read(cast(Json, content))
        if value is None:
            raise invalid(errors)
        return value

    @property
    def docs(self) -> Json:
        """What OpenAPI says of it."""
        schema = TypeAdapter(self._type).json_schema(ref_template="#/components/schemas/{model}")
        if self._partial:
            schema.pop("required", None)
        content: Json = {"schema": _inlined(_as_sent(schema))}
        if self._example is not None:
            content["example"] = self._example
        return {"requestBody": {"required": not self._optional, "content": {"application/json": content}}}


def read_json(raw: bytes, *, strict: bool = True) -> object:
    """The value in `raw`. Raises InvalidJson for what is none, InvalidInput for what is not taken.

    Without `strict` the caller judges the values himself; a number with a point is answered as `Inexact`, its text.
    """
    try:
        content = json.loads(
            raw.decode(),
            parse_float=Inexact,
            parse_constant=_no_number,
            parse_int=_whole,
            object_pairs_hook=_without_duplicates,
        )
    except RecursionError:
        raise invalid([FieldError((), f"nested deeper than {MAX_DEPTH} levels")]) from None
    except json.JSONDecodeError as wrong:
        raise InvalidJson(f"{wrong.msg}: line {wrong.lineno}, column {wrong.colno}") from None
    except UnicodeDecodeError:
        raise InvalidJson("the body is not UTF-8") from None
    if strict and (errors := list(_refused(content, ()))):
        raise invalid(errors[:100])
    return content


def instant(text: object, loc: Loc) -> datetime:
    """An RFC 3339 instant with offset, in UTC. Raises InvalidInput at `loc`."""
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    raise invalid([FieldError(loc, "must be an RFC 3339 instant with an offset, such as 2026-02-03T18:00:00Z")])


def unstorable(text: str) -> bool:
    """Whether no database can hold `text`."""
    return "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


def _no_number(name: str) -> Inexact:
    return Inexact(name)


def _whole(text: str) -> int | Inexact:
    return int(text) if len(text.removeprefix("-")) <= MOST_DIGITS else Inexact(text)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise InvalidJson(f"the key {twice!r} stands twice in one object")
    return found


def _refused(value: object, loc: Loc) -> Iterator[FieldError]:
    if len(loc) > MAX_DEPTH:
        yield FieldError(loc[:3], f"nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, Inexact):
        if value.text in {"NaN", "Infinity", "-Infinity"}:
            yield FieldError(loc, f"{value.text} is no number")
        else:
            yield FieldError(loc, value.refusal)
    elif isinstance(value, str):
        if unstorable(value):
            yield FieldError(loc, "holds a character that cannot be stored")
    elif isinstance(value, dict):
        for key, child in cast("dict[str, object]", value).items():
            if unstorable(key):
                yield FieldError(loc, "has a key with a character that cannot be stored")
            else:
                yield from _refused(child, (*loc, key))
    elif isinstance(value, list):
        for index, child in enumerate(cast("list[object]", value)):
            yield from _refused(child, (*loc, index))


def _as_sent(node: Any) -> Any:  # noqa: ANN401 a JSON schema is nested dicts of many kinds
    """Numbers in the docs as they are taken: decimal strings or whole numbers, never with a point."""
    if isinstance(node, list):
        return [_as_sent(child) for child in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    kept: Json = {key: _as_sent(child) for key, child in cast(Json, node).items()}
    either = kept.get("anyOf")
    if isinstance(either, list) and {"type": "number"} in either:
        others = [one for one in cast("list[Json]", either) if one.get("type") not in {"number", "string"}]
        kept["anyOf"] = [{"type": "string", "format": "decimal"}, {"type": "integer"}, *others]
    return kept


def _inlined(schema: Json) -> Json:
    """The schema without `$defs`: each is put where it is referred to. Request bodies do not refer to themselves."""
    named = schema.pop("$defs", {})

    def put(node: Any) -> Any:  # noqa: ANN401
        if isinstance(node, list):
            return [put(child) for child in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        node = cast(Json, node)
        if "$ref" in node:
            return put(named[str(node["$ref"]).rsplit("/", 1)[1]])
        return {key: put(child) for key, child in node.items()}

    return put(schema)
