"""Stripe's webhooks: is this really from Stripe, and which intent should be read again?

An event is a hint. It may come twice, late, out of order or never, so nothing here says what became of the money: the
intent it names is read, and its state decides. Events are the same when their `id` is.

    Stripe-Signature: t=1767225600,v1=5257a8…,v1=…        v1 = HMAC-SHA256 of "t.body"; two while a secret is rolled
"""

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

TOLERANCE = timedelta(minutes=5)


class UnverifiedWebhook(Exception):
    """The request is not a webhook that Stripe signed for us just now. Nothing in it may be believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """Something happened at the provider. `intent_ref` is the intent it is about, None when it is about none."""

    id: str
    type: str
    intent_ref: str | None
    created_at: datetime


def read_event(
    payload: bytes, header: str | None, secret: str, *, at: datetime, tolerance: timedelta = TOLERANCE
) -> ProviderEvent:
    """The event in `payload`, the raw body as it came, under `header` (Stripe-Signature). Raises UnverifiedWebhook.

    `at` is the wall clock's now: signatures are the one place where time is not the simulated clock's. Stripe's own
    check lets any timestamp of the future pass; this one looks both ways.
    """
    if not secret.strip():
        raise ValueError("the webhook secret is empty")
    stamp, signatures = _parts(header or "")
    expected = hmac.digest(secret.encode(), stamp + b"." + payload, "sha256").hex().encode()
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise UnverifiedWebhook("no signature of the body matches")
    if abs(at.timestamp() - int(stamp)) > tolerance.total_seconds():
        raise UnverifiedWebhook("the signature's timestamp is too far from now")
    try:
        return _event(json.loads(payload))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise UnverifiedWebhook("the body is signed, but it is no event") from None


def _parts(header: str) -> tuple[bytes, list[bytes]]:
    """Timestamp and v1 signatures of a Stripe-Signature header."""
    pairs = [part.partition("=") for part in header.split(",")]
    stamps = [value for name, _, value in pairs if name == "t"]
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) <= 12):
        raise UnverifiedWebhook("the Stripe-Signature header is missing, or has no timestamp")
    return stamps[0].encode(), [value.encode() for name, _, value in pairs if name == "v1"]


def _event(event: dict[str, Any]) -> ProviderEvent:
    """A snapshot event, or a thin one (no `data`, `created` in ISO 8601), by which Stripe tells its own troubles."""
    data = cast("dict[str, Any]", event.get("data") or {})
    subject = cast("dict[str, Any]", data.get("object") or event.get("related_object") or {})
    return ProviderEvent(
        id=_text(event["id"]),
        type=_text(event["type"]),
        intent_ref=_intent_ref(subject),
        created_at=_instant(event["created"]),
    )


def _intent_ref(subject: dict[str, Any]) -> str | None:
    """The intent itself, or the one that a charge, a refund, a dispute or a warning belongs to."""
    kind = subject.get("object", subject.get("type"))
    ref = subject["id"] if kind == "payment_intent" else subject.get("payment_intent")
    if isinstance(ref, dict):  # expanded
        ref = cast("dict[str, Any]", ref)["id"]
    return None if ref is None else _text(ref)


def _instant(created: object) -> datetime:
    return datetime.fromtimestamp(created, UTC) if isinstance(created, int) else datetime.fromisoformat(_text(created))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value
