"""Payment: one attempt to collect one invoice, and what its outcome means.

    pending ──> succeeded            money is ours
       ├──────> failed               declined; `decline` says whether asking again makes sense
       ├──────> requires_action      the customer must authenticate
       ├──────> processing           a bank takes its days
       └──────> unknown              we asked and did not hear: read the intent before anything else

`classify` reads a decline by the strongest signal that says anything:

    network's decline and advice codes  >  provider's advice  >  decline code  >  error code  >  nothing: ambiguous
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
    """What a decline asks for next. The first four are known practice of card networks (docs/algorithms/dunning).

    NEVER ask this method again · CUSTOMER must change something first · SOON is within hours · TIMED within days ·
    AMBIGUOUS few tries, widely spaced · US: the request itself is wrong, no customer can mend it.
    """

    NEVER = "never"
    CUSTOMER = "customer"
    SOON = "soon"
    TIMED = "timed"
    AMBIGUOUS = "ambiguous"
    US = "us"

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


CANCELED = Decline(code="canceled")
"""Nobody declined: the intent was given up, and can never collect again."""
UNUSABLE_METHOD = Decline(code="payment_method_unusable")
"""The provider does not take the payment method, now or ever."""
WRONG_REQUEST = Decline(code="request_rejected")
"""The provider does not take the request, whatever the method: an amount too small, a currency it does not know."""

# Visa's category 1: the issuer will never approve. One more try is a fee.
_NETWORK_NEVER = frozenset("04 07 12 14 15 41 43 46 57 R0 R1 R3".split())

# Mastercard's merchant advice codes: 24 and 25 are an hour and a day, 26 to 30 two to ten days.
_NETWORK_ADVICE = {
    "01": DeclineClass.CUSTOMER,
    "02": DeclineClass.TIMED,
    "03": DeclineClass.NEVER,
    "21": DeclineClass.NEVER,
    **dict.fromkeys(("24", "25"), DeclineClass.SOON),
    **dict.fromkeys(("26", "27", "28", "29", "30"), DeclineClass.TIMED),
}

_ADVICE = {
    "do_not_try_again": DeclineClass.NEVER,
    "confirm_card_data": DeclineClass.CUSTOMER,
    "try_again_later": DeclineClass.SOON,
}

_CODES = {
    DeclineClass.NEVER: """
        lost_card stolen_card pickup_card fraudulent merchant_blacklist highest_risk_level blocklist restricted_card
        invalid_account incorrect_number invalid_number revocation_of_authorization revocation_of_all_authorizations
        stop_payment_order security_violation transaction_not_allowed card_not_supported currency_not_supported
        previously_declined_do_not_retry""",
    DeclineClass.CUSTOMER: """
        authentication_required payment_intent_authentication_failure expired_card incorrect_cvc invalid_cvc
        incorrect_zip invalid_expiry_month invalid_expiry_year payment_intent_mandate_invalid
        billing_invalid_mandate bank_account_unusable bank_account_unverified debit_not_authorized payment_method_unusable""",
    DeclineClass.SOON: """
        processing_error issuer_not_available try_again_later reenter_transaction approve_with_id
        payment_method_provider_timeout""",
    DeclineClass.TIMED: """
        insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded card_decline_rate_limit_exceeded""",
    DeclineClass.AMBIGUOUS: """
        do_not_honor generic_decline call_issuer no_action_taken not_permitted service_not_allowed""",
    DeclineClass.US: "request_rejected",
}
_BY_CODE = {code: decline_class for decline_class, codes in _CODES.items() for code in codes.split()}


def classify(decline: Decline) -> DeclineClass:
    """What `decline` asks for next on the same method.

    Issuers lie in the decline code (do_not_honor hides fraud blocks), so what the network and the provider advise
    comes first. The advice "try again later" says whether, not when: it lifts a hard code to SOON, and leaves a soft
    one its pace.
    """
    if decline.network_decline_code in _NETWORK_NEVER:
        return DeclineClass.NEVER
    if decline.network_advice_code in _NETWORK_ADVICE:
        return _NETWORK_ADVICE[decline.network_advice_code]
    stated = next((_BY_CODE[code] for code in (decline.decline_code, decline.code) if code in _BY_CODE), None)
    advised = _ADVICE.get(decline.advice_code or "")
    if advised is DeclineClass.SOON and stated is not None and stated.is_soft:
        return stated
    return advised or stated or DeclineClass.AMBIGUOUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Attempt number `attempt` (from 1) at `invoice_id`, due at `at` (UTC).

    `method` is the provider's reference, `method_label` is fit to show. `sent_at` is when the provider was first asked, by
    the clock: its idempotency keys are good for a day from then.
    """

    id: str
    invoice_id: str
    customer_id: str
    attempt: int
    amount: Money
    method: str
    at: datetime
    method_label: str | None = None
    sent_at: datetime | None = None
    state: PaymentState = PaymentState.PENDING
    intent_ref: str | None = None
    charge_ref: str | None = None
    decline_code: str | None = None
