"""Every rule the product can refuse by, as one tree. `code` is stable: callers may branch on it.

DomainError
├── InvalidInput        what was sent is malformed; `errors` names each field
├── NotFound            nothing is known under that id or key
├── Changed             it is not the version any more that the caller knows
├── AlreadyExists       the key is taken by something with other content
└── Refused             a rule said no; each rule is a class below with a code of its own
    ├── CurrencyMismatch      two currencies met in one sum
    ├── InvalidState          the document is not in a state that allows the verb
    ├── ApprovalRequired      a quote needs a decision before it can be accepted
    ├── NotAnApprover         the caller's key does not carry that approver's name
    ├── QuoteExpired          the offer was valid until an earlier instant
    ├── MixedCadence          lines of one subscription bill at different intervals, or for different terms
    ├── NotSupported          the price book says it, and it cannot be billed yet
    ├── TooOld                usage older than the age that is still billed
    ├── InFuture              usage dated after now
    ├── UnknownCustomer       the event's subject is nobody we know
    ├── UnknownEvent          no meter counts events of that type
    ├── InvalidEvent          the event is malformed, or lacks the value its meter adds up
    └── PricingError          a charge cannot be priced; its code says why
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with an input: `loc` is the path to it, `msg` says what is wrong and what would do."""

    loc: tuple[str | int, ...]
    msg: str


class DomainError(Exception):
    """A rule said no. The same input cannot succeed until something else changes."""

    code = "domain_error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail or (type(self).__doc__ or "").strip()


class InvalidInput(DomainError):
    """What was sent is malformed."""

    code = "invalid_input"

    def __init__(self, detail: str, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.errors = errors


class NotFound(DomainError):
    """Nothing is known under that id or key."""

    code = "not_found"


class Changed(DomainError):
    """It has changed since the caller read it."""

    code = "precondition_failed"


class AlreadyExists(DomainError):
    """The key is taken by something with other content."""

    code = "already_exists"


class Refused(DomainError):
    """A rule of the business said no."""

    code = "refused"


class CurrencyMismatch(Refused):
    """Two currencies met in one sum."""

    code = "currency_mismatch"


class InvalidState(Refused):
    """The document is not in a state that allows the verb."""

    code = "invalid_state"


class ApprovalRequired(Refused):
    """The quote needs a decision before it can be accepted."""

    code = "approval_required"


class NotAnApprover(Refused):
    """The caller may not decide in that approver's name."""

    code = "not_an_approver"


class QuoteExpired(Refused):
    """The offer is no longer valid."""

    code = "quote_expired"


class MixedCadence(Refused):
    """The lines of one subscription must share currency, interval, anchor and term."""

    code = "mixed_cadence"


class NotSupported(Refused):
    """The price book may say it, but it cannot be billed yet."""

    code = "not_supported"


class TooOld(Refused):
    """The event is older than the age that is still billed."""

    code = "too_old"


class InFuture(Refused):
    """The event is dated after now."""

    code = "in_future"


class UnknownCustomer(Refused):
    """The event's subject is nobody we know."""

    code = "unknown_customer"


class UnknownEvent(Refused):
    """No meter counts events of that type."""

    code = "unknown_event"


class InvalidEvent(Refused):
    """The event is malformed, or lacks the value that its meter adds up."""

    code = "invalid_event"


class PricingError(Refused):
    """A charge cannot be priced. `code` is one of contract section 5's error codes."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def holds(rule: Callable[[], object]) -> bool:
    """Whether `rule` refuses nothing."""
    try:
        rule()
    except Refused:
        return False
    return True
