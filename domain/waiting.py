"""Waiting: whose move it is. Everything that is open says so, and when it will act by itself (contract section 7)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# Work that is done by itself is done within seconds. What is later than this: nobody is at work, or it keeps failing.
OVERDUE_AFTER = timedelta(minutes=5)


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

    def is_overdue(self, at: datetime) -> bool:
        """Whether time should have acted long before `at` (UTC) and has not."""
        return self.next_action_at is not None and self.next_action_at < at - OVERDUE_AFTER
