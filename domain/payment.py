"""Payment: one attempt to collect one invoice, and what its outcome means.

    pending ──> succeeded            money is ours
       ├──────> failed               declined; `decline` says whether asking again makes sense
       ├──────> requires_action      the customer must authenticate
       ├──────> processing           a bank takes its days
       └──────> unknown              we asked and did not hear: read the intent before anything else
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.money import Money


class PaymentState(StrEnum):
    """Where an attempt stands (contract section 7)."""

    PENDING = "pending"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REFUNDED = "refunded"


class DeclineClass(StrEnum):
    """What a decline asks for next. The first four are shared/known practice of card networks (docs/algorithms/dunning)."""

    NEVER = "never"
    CUSTOMER = "customer"
    SOON = "soon"
    TIMED = "timed"
    AMBIGUOUS = "ambiguous"

    @property
    def is_soft(self) -> bool:
        """Whether the same method may be asked again on the schedule."""
        return self in {DeclineClass.SOON, DeclineClass.TIMED, DeclineClass.AMBIGUOUS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """Why a charge was refused: the provider's codes, strongest last. All None for a refusal without a reason."""

    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Attempt number `attempt` (from 1) at `invoice_id`, asked for at `at` (UTC)."""

    id: str
    invoice_id: str
    customer_id: str
    attempt: int
    amount: Money
    method: str
    at: datetime
    state: PaymentState = PaymentState.PENDING
    intent_ref: str | None = None
    charge_ref: str | None = None
    decline_code: str | None = None
