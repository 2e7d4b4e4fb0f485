"""YAML text → plain values with lines, built from the parser's events.

The parser's own constructor would make floats and dates, run tags, let a later key win silently, and build a billion
laughs. Here each of these is refused where it stands, and the reading goes on, so that all of it is said at once.
"""

import json
import re
from collections.abc import Iterator

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from api.reading import MAX_DEPTH, Inexact, Loc, looks_like_json, path_text
from domain.errors import FieldError, InvalidInput

# Without aliases a text never holds more values than this beyond its own length.
_ROOM = 10_000
_CORE = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,40})")
_INEXACT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_yaml(text: str) -> "YamlText":
    """The one document in `text`. Raises InvalidInput where it cannot be read on; lesser errors are in the answer."""
    read = YamlText(len(text) + _ROOM)
    try:
        read.take(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        found, line = _syntax(text, error)
        detail = f"cannot be read: {found}" + (f" (line {line})" if line else "")
        raise InvalidInput(detail, (FieldError((), detail),)) from error
    return read


def _syntax(text: str, error: yaml.YAMLError) -> tuple[str, int | None]:
    """What is wrong with a text that is neither YAML nor JSON, in the words of the one that it looks like."""
    if looks_like_json(text):
        try:
            json.loads(text)
        except json.JSONDecodeError as wrong:
            return wrong.msg, wrong.lineno
        except (ValueError, RecursionError):
            return "nested too deeply", None
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return error.problem or "syntax", error.problem_mark.line + 1
    return str(error).splitlines()[0], None


class YamlText:
    """The values so far. `errors` collects what is wrong and does not end the reading."""

    def __init__(self, room: int) -> None:
        self.content: object = None
        self.lines: dict[Loc, int] = {}
        self.errors: list[FieldError] = []
        self._room = room
        self._anchored: dict[str, tuple[object, int]] = {}
        self._size = 0

    def take(self, events: Iterator[Event]) -> None:
        """Read the first document of a stream of events."""
        for event in events:
            if isinstance(event, DocumentStartEvent) and self.lines:
                self._wrong((), event, "a second document begins here; one is read")
                return
            if isinstance(event, NodeEvent):
                self.content = self._node(event, events, ())

    def _node(self, event: Event, events: Iterator[Event], loc: Loc) -> object:
        self.lines.setdefault(loc, _line(event))
        if len(loc) > MAX_DEPTH:
            raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels (line {_line(event)})")
        before = self._size
        self._grow(1, event)
        if not isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent):
            return self._alias(event, loc)
        if event.tag is not None:
            self._wrong(loc, event, f"tags are not read: {event.tag}")
        if isinstance(event, ScalarEvent):
            value = _scalar(event.value) if event.implicit[0] else event.value
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(events, loc)
        else:
            value = self._mapping(events, loc)
        if event.anchor:
            self._anchored[event.anchor] = (value, self._size - before)
        return value

    def _sequence(self, events: Iterator[Event], loc: Loc) -> list[object]:
        items: list[object] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._node(event, events, (*loc, len(items))))
        return items

    def _mapping(self, events: Iterator[Event], loc: Loc) -> dict[str, object]:
        items: dict[str, object] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                raise InvalidInput(f"{path_text(loc)}: a key must be a word (line {_line(event)})")
            key = event.value
            if key in items:
                self._wrong((*loc, key), event, "stands twice")
            if key == "<<":
                self._wrong(loc, event, "merge keys (<<) are not read: write the fields out")
            self.lines[(*loc, key)] = _line(event)
            items[key] = self._node(next(events), events, (*loc, key))
        return items

    def _alias(self, event: Event, loc: Loc) -> object:
        name = event.anchor if isinstance(event, AliasEvent) else None
        if name not in self._anchored:
            self._wrong(loc, event, f"*{name} is not defined before")
            return None
        value, size = self._anchored[name]
        self._grow(size, event)
        return value

    def _grow(self, size: int, event: Event) -> None:
        self._size += size
        if self._size > self._room:
            raise InvalidInput(f"aliases make the text too large (line {_line(event)})")

    def _wrong(self, loc: Loc, event: Event, msg: str) -> None:
        self.errors.append(FieldError(loc, f"{msg} (line {_line(event)})"))


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _scalar(text: str) -> object:
    """What a bare word means: YAML 1.2's core, less its floats."""
    if text in _CORE:
        return _CORE[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return Inexact(text) if _INEXACT.fullmatch(text) else text
