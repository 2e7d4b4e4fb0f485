"""Stripe's form encoding: `metadata[invoice]=inv_1&expand[0]=customer` is {"metadata": {...}, "expand": [...]}.

Strict: a parameter that the sandbox does not know is refused like one that Stripe does not, rather than passed over.
"""

import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import parse_qsl

from providers.sandbox.problems import invalid
from providers.sandbox.storage import Json

Fields = Mapping[str, type]
"""What a request may carry: name to str, int, bool, dict or list."""


def read_form(encoded: bytes | str, fields: Fields, required: tuple[str, ...] = ()) -> Json:
    """The parameters, as the types that `fields` names. Raises Problem for unknown, missing and malformed ones."""
    text = encoded.decode() if isinstance(encoded, bytes) else encoded
    nested: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, _, rest = name.partition("[")
        _put(nested, [head, *rest.removesuffix("]").split("][")] if rest else [head], value)
    for name in nested:
        if name not in fields:
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
    for name in required:
        if nested.get(name, "") == "":
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    return {name: _typed(name, value, fields[name]) for name, value in nested.items()}


def _put(into: Json, path: list[str], value: str) -> None:
    *outer, last = path
    for name in outer:
        inner = into.setdefault(name, {})
        if not isinstance(inner, dict):
            raise invalid(f"Invalid parameter: {name}", name)
        into = cast(Json, inner)
    # "expand[]=a&expand[]=b" has no index: each gets the next.
    into[last or str(len(into))] = value


def _typed(name: str, value: str | Json, wanted: type) -> str | int | bool | list[object] | Json:
    if isinstance(value, dict):
        if wanted not in {dict, list}:
            raise invalid(f"Invalid {name}", name)
        return list(value.values()) if wanted is list else value
    if wanted in {dict, list}:
        raise invalid(f"Invalid {name}", name)
    if wanted is int:
        if not re.fullmatch(r"-?\d{1,18}", value):
            raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
        return int(value)
    if wanted is bool:
        if value not in {"true", "false"}:
            raise invalid(f"Invalid boolean: {value}", name)
        return value == "true"
    return value
