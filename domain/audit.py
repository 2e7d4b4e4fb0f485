"""Audit: what happened, in the order in which it came about. Also the outbox: what is told to others is told from here."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """`type` ("invoice.issued") happened at `at` (UTC), once per `cause`. `subject` is the id of what it happened to.

    `data` holds ids and small values, fit to show: no secret, no personal data.
    """

    type: str
    cause: str
    at: datetime
    customer_id: str
    subject: str
    subscription_id: str | None = None
    data: dict[str, str] = field(default_factory=dict[str, str])
    actor: str = "perennial"
