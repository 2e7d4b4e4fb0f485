"""Cloud events: one usage event as it was sent → what is stored of it, or why it is not."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from api.bodies import Json, instant, unstorable
from api.reading import Inexact
from domain.acceptance import NUMBER
from domain.errors import InvalidEvent, InvalidInput, Refused
from domain.money import plain
from store.usage import StoredEvent

_LONGEST = 255
_DEEPEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """A well-formed event. `subject` names the customer; `data` holds JSON values, no floats."""

    source: str
    id: str
    type: str
    subject: str
    time: datetime
    data: Json

    def stored(self, customer_id: str) -> StoredEvent:
        """What is kept of it."""
        return StoredEvent(
            customer_id=customer_id, source=self.source, id=self.id, type=self.type, time=self.time, data=self.data
        )


def read_event(content: object, at: datetime) -> CloudEvent | Refused:
    """The event in `content`; without a time of its own it happened `at` the time of the call."""
    if not isinstance(content, dict):
        return InvalidEvent("an event is an object")
    event = cast(Json, content)
    if event.get("specversion") != "1.0":
        return InvalidEvent('specversion must be "1.0"')
    for name in ("id", "source", "type", "subject"):
        if wrong := _text_problem(event.get(name)):
            return InvalidEvent(f"{name} {wrong}")
    data = event.get("data", {})
    if "data_base64" in event or not isinstance(data, dict):
        return InvalidEvent("data must be a JSON object")
    if wrong := next(_data_problems(cast(Json, data), 1), None):
        return InvalidEvent(f"data {wrong}")
    try:
        time = instant(event["time"], ("time",)) if event.get("time") is not None else at
    except InvalidInput as error:
        return InvalidEvent(error.detail)
    return CloudEvent(
        source=event["source"],
        id=event["id"],
        type=event["type"],
        subject=event["subject"],
        time=time,
        data=_exact(cast(Json, data)),
    )


def _text_problem(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return "must be text, and not empty"
    if len(value) > _LONGEST:
        return f"must have at most {_LONGEST} characters"
    return "holds a character that cannot be stored" if unstorable(value) else None


def _data_problems(value: object, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield f"is nested deeper than {_DEEPEST} levels"
    elif isinstance(value, Inexact):
        if not NUMBER.fullmatch(value.text):
            yield f"holds {value.text}, which is no number of ours"
    elif isinstance(value, str):
        if unstorable(value):
            yield "holds a character that cannot be stored"
    elif isinstance(value, dict):
        for key, child in cast(Json, value).items():
            if unstorable(key):
                yield "has a key that cannot be stored"
            yield from _data_problems(child, depth + 1)
    elif isinstance(value, list):
        for child in cast("list[object]", value):
            yield from _data_problems(child, depth + 1)


def _exact(value: object) -> Any:  # noqa: ANN401 any JSON value
    """The value without floats: a bare number with a point is kept as its exact decimal string."""
    if isinstance(value, Inexact):
        return plain(Decimal(value.text))
    if isinstance(value, dict):
        return {key: _exact(child) for key, child in cast(Json, value).items()}
    if isinstance(value, list):
        return [_exact(child) for child in cast("list[object]", value)]
    return value
