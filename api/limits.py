"""Limits: how much one request may carry, and how many of them one API key may send.

    body 4 MB (413) · JSON 40 levels deep (422) · headers 16 kB (431) · path 2,000 (404) · query 4,000 characters (414)
    requests a minute of one key (429): one budget for usage and entitlement checks, one for all else

Requests are counted in this process, so that counting costs nothing: behind n processes a key has n times the budget. A
budget is a bucket: it holds a minute's worth, and fills up evenly.
"""

import time
from dataclasses import dataclass

from fastapi import Request

from api.problems import HeadersTooLarge, QueryTooLong, TooManyRequests

MOST_HEADER_BYTES = 16_000
LONGEST_QUERY = 4_000
# What products ask on the way of their own requests.
PRODUCTS = frozenset(
    {("POST", "/v1/usage"), ("GET", "/v1/entitlements/{customer}"), ("GET", "/v1/entitlements/{customer}/{feature}")}
)
_MINUTE = 60_000_000_000


def require_fit(request: Request) -> None:
    """Raises HeadersTooLarge, QueryTooLong."""
    if sum(len(name) + len(value) for name, value in request.headers.raw) > MOST_HEADER_BYTES:
        raise HeadersTooLarge(f"at most {MOST_HEADER_BYTES} bytes of headers are read")
    if len(request.url.query) > LONGEST_QUERY:
        raise QueryTooLong(f"at most {LONGEST_QUERY} characters of query are read")


@dataclass(slots=True)
class _Bucket:
    """What is left, in requests times a minute's nanoseconds: whole numbers, nothing is lost by rounding."""

    left: int
    at: int


class Rates:
    """The budgets of all keys; 0 is no limit."""

    def __init__(self, *, requests: int = 0, products: int = 0) -> None:
        """Requests a minute of one key: to all routes, but those of `PRODUCTS`, which have a budget of their own."""
        self._limits = {False: requests, True: products}
        self._buckets: dict[tuple[str, bool], _Bucket] = {}

    def take(self, key_id: str, method: str, path: str, now: int | None = None) -> dict[str, str]:
        """Count one request; answers the headers that tell how much is left. Raises TooManyRequests.

        `now` is in nanoseconds of a clock that only runs forward.
        """
        is_product = (method, path) in PRODUCTS
        limit = self._limits[is_product]
        if not limit:
            return {}
        now = time.monotonic_ns() if now is None else now
        full = limit * _MINUTE
        bucket = self._buckets.setdefault((key_id, is_product), _Bucket(full, now))
        bucket.left = min(full, bucket.left + (now - bucket.at) * limit)
        bucket.at = now
        is_allowed = bucket.left >= _MINUTE
        if is_allowed:
            bucket.left -= _MINUTE
        told = {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(bucket.left // _MINUTE),
            "RateLimit-Reset": str(_seconds(full - bucket.left, limit)),
        }
        if not is_allowed:
            wait = _seconds(_MINUTE - bucket.left, limit)
            detail = f"this API key may send {limit} such requests a minute; wait {wait} s"
            raise TooManyRequests(detail, headers={**told, "Retry-After": str(wait)})
        return told


def _seconds(missing: int, limit: int) -> int:
    """How long it takes until `missing` has come in; whole seconds, rounded up."""
    return -(-missing // (limit * 1_000_000_000))
