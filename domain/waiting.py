"""Waiting: whose move it is. Everything that is open says so, and when it will act by itself (contract section 7)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Party(StrEnum):
    """Whose move it is."""

    US = "us"
    CUSTOMER = "customer"
    BANK = "bank"
    PROVIDER = "provider"
    APPROVER = "approver"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Waiting on `on` since `since`, at most until `until`; then, or at `next_action_at`, `next_action` happens. All UTC."""

    on: Party
    since: datetime
    until: datetime | None = None
    next_action: str | None = None
    next_action_at: datetime | None = None
