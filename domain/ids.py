"""Ids: a prefix that says what, then a UUIDv7 that sorts by birth.

Both halves come from outside: the instant of birth, and the business key that the thing can have only once. So the same
cause makes the same id on every retry, in every process, after every crash.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal
from uuid import UUID

Prefix = Literal["cus", "quo", "ord", "sub", "ent", "inv", "pay", "evt", "key"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def derived_id(prefix: Prefix, at: datetime, *key: str) -> str:
    """The one id that `key` can have, e.g. `derived_id("inv", due_at, sub_id, "2026-03-01")`. `at` is a UTC instant."""
    named = "".join(f"{len(part)}:{part}" for part in (prefix, *key))  # a part may hold any character
    entropy = int.from_bytes(sha256(named.encode()).digest()[:10], "big")
    value = (at - _EPOCH) // timedelta(milliseconds=1) << 80 | entropy
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{prefix}_{UUID(int=value).hex}"
