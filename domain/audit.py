"""Audit: what happened, in the order in which it came about. Also the outbox: what is told to others is told from here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from domain.money import Money, plain

# A field's value before and after; None where it had or has none.
Change = tuple[str | None, str | None]

# What names or reaches a person, or a secret of theirs: that it changed is told, not what it was.
_PRIVATE = frozenset({"name", "email", "address", "tax_id", "accepted_by", "provider_ref", "payment_method"})
# How we recognise requests; nobody's business.
_OURS = frozenset({"moved_by", "method_token"})
_HIDDEN = "(not kept)"
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """`type` ("invoice.issued") happened at `at` (UTC), once per `cause`. `subject` is the id of what it happened to.

    `data` holds ids and small values, fit to show: no secret, no personal data. `changes` are the subject's fields that differ
    since; the books add them.
    """

    type: str
    cause: str
    at: datetime
    customer_id: str
    subject: str
    subscription_id: str | None = None
    data: dict[str, str] = field(default_factory=dict[str, str])
    actor: str = "perennial"
    changes: dict[str, Change] = field(default_factory=dict[str, Change])


def changes(was: object, now: object) -> dict[str, Change]:
    """The fields in which two snapshots of one thing differ, as text fit to show."""
    before, after = _fields(was), _fields(now)
    return {
        name: (_shown(name, before[name]), _shown(name, after[name])) for name in after if before[name] != after[name]
    }


def _fields(value: object) -> dict[str, object]:
    return {one.name: getattr(value, one.name) for one in fields(cast(Any, value)) if one.name not in _OURS}


def _shown(name: str, value: object) -> str | None:
    if value is None:
        return None
    return _HIDDEN if name in _PRIVATE else _text(value)[:_LONGEST]


def _text(value: object) -> str:
    match value:
        case Money():
            return f"{value.text} {value.currency}"
        case Decimal():
            return plain(value)
        case date():
            return value.isoformat()
        case tuple():
            return ", ".join(_text(one) for one in cast("tuple[object, ...]", value))
        case Mapping():
            return ", ".join(f"{key} {_text(one)}" for key, one in cast("Mapping[object, object]", value).items())
        case _ if is_dataclass(value):
            return "(" + ", ".join(f"{k} {_text(v)}" for k, v in _fields(value).items() if v is not None) + ")"
        case _:
            return str(value)
