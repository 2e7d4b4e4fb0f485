"""Cloud events: one usage event as it was sent → what is stored of it, or why it is not."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from api.bodies import Json, instant, unstorable
from api.reading import Inexact
from domain.catalog import Aggregation, Meter
from domain.errors import InvalidEvent, InvalidInput, Refused, UnknownEvent
from domain.money import plain
from store.usage import StoredEvent

_LONGEST = 255
_DEEPEST = 8
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_MOST = Decimal(10) ** 15
_FINEST = 18
_NEEDS_NO_VALUE = frozenset({Aggregation.COUNT})


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


def counted_problem(event: CloudEvent, meters: Sequence[Meter]) -> Refused | None:
    """Why no meter can count the event; None when all that know its type can."""
    counting = [meter for meter in meters if meter.event == event.type]
    if not counting:
        return UnknownEvent(f"no meter counts events of type {event.type}")
    for meter in counting:
        if meter.aggregation in _NEEDS_NO_VALUE or meter.value is None:
            continue
        value = event.data.get(meter.value)
        if meter.aggregation is Aggregation.UNIQUE_COUNT:
            if value is None or isinstance(value, dict | list):
                return InvalidEvent(f"data.{meter.value} is what meter {meter.key} tells apart: it is missing")
        elif not _is_number(value):
            return InvalidEvent(
                f"data.{meter.value} must be a number, or a numeric string: meter {meter.key} adds it up",
            )
    return None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return False
    text = str(value)
    if not _NUMBER.fullmatch(text):
        return False
    read = Decimal(text)
    exponent = read.normalize().as_tuple().exponent
    return abs(read) <= _MOST and isinstance(exponent, int) and -exponent <= _FINEST


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
        if not _NUMBER.fullmatch(value.text):
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
