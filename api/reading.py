"""Reading: YAML or JSON text → plain values, and the line of every path in it.

    text ──JSON, else YAML 1.2──► Document.content   dict, list, str, int, bool, None
                                  Document.line(("plans", 0, "charges", 1)) ──► 12

What is written is what is meant: dates stay strings, `no` and `on` are words, only true and false are truth values, and
a number with a point, which would become a float, is refused: amounts are strings. Text from strangers is safe to read:
size, depth and the growth of aliases are limited, tags are refused.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from domain.errors import FieldError, InvalidInput

if TYPE_CHECKING:
    from api.yaml_text import YamlText

Loc = tuple[str | int, ...]

MAX_CHARS = 2_000_000
MAX_DEPTH = 40
MOST_DIGITS = 30
MOST_ERRORS = 100
TOO_LONG: Final = "has too many digits: at most 30, and as many decimals, are read"


@dataclass(frozen=True, slots=True)
class Inexact:
    """A number written bare with a point, an exponent or leading zeros: kept as its text, so that nothing is lost."""

    text: str

    @property
    def advice(self) -> str:
        """What to do about it."""
        return TOO_LONG if self._is_too_long else f'write it as a string: "{self.text}"'

    @property
    def refusal(self) -> str:
        """What is wrong with it, and what would do."""
        return TOO_LONG if self._is_too_long else f"is a bare number with a point: {self.advice}"

    @property
    def _is_too_long(self) -> bool:
        return any(len(digits) > MOST_DIGITS for digits in re.findall("[0-9]+", self.text))


class Document:
    """Plain values read from a text that may still be asked for line numbers."""

    def __init__(self, content: object, text: str, lines: dict[Loc, int] | None = None) -> None:
        self.content = content
        self._text = text
        self._known = lines

    @cached_property
    def _lines(self) -> dict[Loc, int]:
        """JSON is read without lines, for speed; they are looked up only once something is wrong."""
        if self._known is not None:
            return self._known
        try:
            return _yaml(self._text).lines
        except InvalidInput:
            return {}

    def line(self, loc: Loc) -> int | None:
        """The line on which `loc`, or the nearest thing around it, is written; counted from 1."""
        return next((self._lines[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in self._lines), None)

    def placed(self, error: FieldError) -> FieldError:
        """The error with its line in the message."""
        line = self.line(error.loc)
        return error if line is None else FieldError(error.loc, f"{error.msg} (line {line})")


def read_document(text: str, *, keep_inexact: bool = False, max_chars: int = MAX_CHARS) -> Document:
    """The values in a YAML or JSON text. Raises InvalidInput, naming every path and line that is wrong.

    With `keep_inexact` bare numbers with a point are answered as `Inexact`, for a caller who refuses them himself.
    """
    if len(text) > max_chars:
        raise InvalidInput(f"the text has {len(text)} characters; at most {max_chars} are read")
    document = _json(text)
    if document is None:
        read = _yaml(text)
        document = Document(read.content, text, read.lines)
    if not keep_inexact and (found := list(_inexact(document.content, ()))):
        raise invalid([document.placed(FieldError(loc, number.advice)) for loc, number in found])
    return document


def invalid(errors: list[FieldError]) -> InvalidInput:
    """One refusal of what is wrong, the first hundred; its detail is the first, and how many more there are."""
    first = errors[0]
    detail = f"{path_text(first.loc)}: {first.msg}" if first.loc else first.msg
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return InvalidInput(detail + more, tuple(errors[:MOST_ERRORS]))


def path_text(loc: Loc) -> str:
    """A path as people write it: `plans[0].charges[1].tiers`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).removeprefix(".")


def looks_like_json(text: str) -> bool:
    """Whether its writer will have meant JSON."""
    return text.lstrip()[:1] in {"{", "["}


def _json(text: str) -> Document | None:
    """None where the text is no faultless JSON; YAML, of which JSON is nearly a part, then says what is wrong where."""
    if not looks_like_json(text):
        return None
    try:
        content = json.loads(text, parse_float=Inexact, parse_constant=Inexact, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        return None
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return Document(content, text)
    return None


def _children(node: dict[str, object] | list[object]) -> Iterator[object]:
    return iter(node.values() if isinstance(node, dict) else node)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _yaml(text: str) -> "YamlText":
    # Late, because most input of `perennial rate` is JSON, and its start is measured.
    from api.yaml_text import read_yaml

    read = read_yaml(text)
    if read.errors:
        raise invalid(read.errors)
    return read


def _inexact(value: object, loc: Loc) -> Iterator[tuple[Loc, Inexact]]:
    if isinstance(value, Inexact):
        yield loc, value
    elif isinstance(value, dict):
        for key, child in cast(dict[str, object], value).items():
            yield from _inexact(child, (*loc, key))
    elif isinstance(value, list):
        for index, child in enumerate(cast(list[object], value)):
            yield from _inexact(child, (*loc, index))
