"""Values that nobody means, one in the place of each value of a body that would be taken."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

Path = tuple[str | int, ...]

DEEP: Any = json.loads("[" * 60 + "]" * 60)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**29, -(10**30), float("nan"), float("inf"), float("-inf"), -0.0, 0.1, 1e300),
    *("", " ", "0", "-0", "-0.00", "-1", "NaN", "Infinity", "1e400", "1e-400", "0.0000000000001", "9" * 30, "9" * 5000),
    *(
        "12.345",
        "1.234",
        "١٢",
        "１２",
        "1_000",
        "+1",
        "0x10",
        "1,5",
        "\x00",
        "\ud800",
        "\u202e",
        "é" * 300,
        "x" * 70_000,
    ),
    *("EUR", "JPY", "BHD", "XXX", "eur", "DE", "de", "ZZ", "Europe/Berlin", "../../etc/passwd", "/etc/localtime"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2016-12-31T23:59:60Z", "2026-02-30T00:00:00Z"),
    *("2026-01-31T08:00:00", "0001-01-01", "9999-12-31", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "now"),
    *("P0D", "-P1D", "P999999999D", "P1Y", "PT1e9S", "P9" + "9" * 300 + "D", "PT0.0000000001S"),
    *("'; DROP TABLE customers; --", "${7*7}", "<script>", "pm_card_visa", "cus_1", "q1#2", "%00", "ada", "bob"),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"$ref": "#"},
        {"key": {}},
        DEEP,
        ["a"] * 3000,
        {str(n): n for n in range(3000)},
    ),
)


def places(body: Any, here: Path = ()) -> Iterator[Path]:
    """Where there is a value in `body`, itself included."""
    yield here
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for step, child in items:
        yield from places(child, (*here, step))


def spoiled(body: Any, place: Path, value: Any) -> Any:
    """A copy of `body` with `value` at `place`."""
    if not place:
        return value
    changed = deepcopy(body)
    parent = changed
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    return changed


def all_spoiled(body: Any) -> Iterator[tuple[Path, Any, Any]]:
    """Every place with every value in it: the place, the value, the whole."""
    for place in places(body):
        for value in VALUES:
            yield place, value, spoiled(body, place, value)


def sent(body: Any) -> bytes:
    """`body` as JSON, also where JSON has no word for it."""
    return json.dumps(body).encode("utf-8", "replace")
