"""Stripe's test payment methods: what each name does when it is charged.

    pm_card_visa                                   succeeds
    pm_card_chargeDeclined…                        declines, each for its reason (docs.stripe.com/testing)
    pm_card_authenticationRequired                 declines off session: the customer must authenticate
    pm_success_de, pm_usBankAccount_success        processing, then succeeds; …Delayed takes three minutes more
    pm_failed_de, pm_insufficientFunds_de          processing, then fails
    pm_usBankAccount_processing                    processing, for ever

Ours, for what Stripe has no name for:

    pm_sandbox_parked                              parks in requires_action, without a charge or a word
    pm_sandbox_declines_CODE[__ADVICE]             declines with any decline code, and an advice code
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from domain.payment import Decline

_SEPA_COUNTRIES = "at be ch de ee es fi fr gb gi hr ie li lt lu nl no pt se si sk".split()
_THREE_MINUTES = timedelta(minutes=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one test payment method looks and behaves. `takes` is a bank's time: None answers at once."""

    type: str = "card"
    brand: str = "visa"
    last4: str = "4242"
    funding: str = "credit"
    country: str = "US"
    decline: Decline | None = None
    refuses_attachment: bool = False
    authenticates: bool = False
    parks: bool = False
    takes: timedelta | None = None
    never_settles: bool = False
    disputed_as: str | None = None


def _declined(
    code: str, decline_code: str | None = None, advice: str | None = None, network: str | None = None
) -> Decline:
    return Decline(code=code, decline_code=decline_code, advice_code=advice, network_decline_code=network)


_GENERIC = _declined("card_declined", "generic_decline", "try_again_later", "01")
_LOST = _declined("card_declined", "lost_card", "do_not_try_again", "41")
_STOLEN = _declined("card_declined", "stolen_card", "do_not_try_again", "43")

# Name after "pm_card_" or "pm_card_visa_": Stripe's documents have had both.
_DECLINING = {
    "chargeDeclined": ("0002", _GENERIC),
    "chargeDeclinedInsufficientFunds": (
        "9995",
        _declined("card_declined", "insufficient_funds", "try_again_later", "51"),
    ),
    "chargeDeclinedLostCard": ("9987", _LOST),
    "chargeDeclinedStolenCard": ("9979", _STOLEN),
    "chargeDeclinedExpiredCard": ("0069", _declined("expired_card")),
    "chargeDeclinedIncorrectCvc": ("0127", _declined("incorrect_cvc")),
    "chargeDeclinedProcessingError": ("0119", _declined("processing_error")),
    "chargeDeclinedFraudulent": ("0019", _declined("card_declined", "fraudulent", "do_not_try_again")),
    "chargeDeclinedFraudulentCard": ("0019", _declined("card_declined", "fraudulent", "do_not_try_again")),
    "chargeDeclinedVelocityLimitExceeded": ("6975", _declined("card_declined", "card_velocity_exceeded")),
    "radarBlock": ("0019", _declined("card_declined", "fraudulent")),
    "chargeCustomerFail": ("0341", _GENERIC),
    "chargeCustomerFailLostCard": ("0341", _LOST),
    "chargeCustomerFailStolenCard": ("0341", _STOLEN),
}

_SUCCEEDING = {
    "visa": Behaviour(),
    "visa_debit": Behaviour(last4="5556", funding="debit"),
    "mastercard": Behaviour(brand="mastercard", last4="4444"),
    "mastercard_debit": Behaviour(brand="mastercard", last4="8210", funding="debit"),
    "mastercard_prepaid": Behaviour(brand="mastercard", last4="5100", funding="prepaid"),
    "amex": Behaviour(brand="amex", last4="0005"),
    "discover": Behaviour(brand="discover", last4="1117"),
    "diners": Behaviour(brand="diners", last4="0004"),
    "jcb": Behaviour(brand="jcb", last4="0505", country="JP"),
    "unionpay": Behaviour(brand="unionpay", last4="0005", country="CN"),
    "authenticationRequired": Behaviour(last4="3184", authenticates=True),
    "authenticationRequiredOnSetup": Behaviour(last4="3155", authenticates=True),
    "authenticationRequiredSetupForOffSession": Behaviour(last4="0446"),
    "authenticationRequiredChargeDeclinedInsufficientFunds": Behaviour(
        last4="3178", authenticates=True, decline=_DECLINING["chargeDeclinedInsufficientFunds"][1]
    ),
    "createDispute": Behaviour(last4="0259", disputed_as="fraudulent"),
    "createDisputeProductNotReceived": Behaviour(last4="2685", disputed_as="product_not_received"),
}

_BANK_OUTCOMES = {
    "success": Behaviour(takes=timedelta(0)),
    "successDelayed": Behaviour(takes=_THREE_MINUTES),
    "failed": Behaviour(
        takes=timedelta(0), decline=_declined("payment_intent_payment_attempt_failed", "generic_decline")
    ),
    "failedDelayed": Behaviour(
        takes=_THREE_MINUTES, decline=_declined("payment_intent_payment_attempt_failed", "generic_decline")
    ),
    "insufficientFunds": Behaviour(takes=timedelta(0), decline=_declined("insufficient_funds", "insufficient_funds")),
    "disputed": Behaviour(takes=timedelta(0), disputed_as="debit_not_authorized"),
    "dispute": Behaviour(takes=timedelta(0), disputed_as="debit_not_authorized"),
    "accountClosed": Behaviour(takes=timedelta(0), decline=_declined("bank_account_unusable")),
    "noAccount": Behaviour(takes=timedelta(0), decline=_declined("bank_account_unusable")),
    "debitNotAuthorized": Behaviour(takes=timedelta(0), decline=_declined("debit_not_authorized")),
    "processing": Behaviour(takes=timedelta(0), never_settles=True),
}


def _named() -> dict[str, Behaviour]:
    methods = {f"pm_card_{name}": method for name, method in _SUCCEEDING.items()}
    for name, (last4, decline) in _DECLINING.items():
        # The real ones are checked when they are attached, and fail there already.
        refuses = name.startswith("chargeDeclined")
        method = Behaviour(last4=last4, decline=decline, refuses_attachment=refuses)
        methods |= {f"pm_card_{name}": method, f"pm_card_visa_{name}": method}
    for outcome, method in _BANK_OUTCOMES.items():
        for country in _SEPA_COUNTRIES:
            methods[f"pm_{outcome}_{country}"] = replace(
                method, type="sepa_debit", last4="3000", country=country.upper()
            )
        methods[f"pm_usBankAccount_{outcome}"] = replace(method, type="us_bank_account", last4="6789")
    methods["pm_sandbox_parked"] = Behaviour(last4="3220", parks=True)
    return methods


_METHODS = _named()
_ANY_DECLINE = "pm_sandbox_declines_"


def behaviour_of(name: str) -> Behaviour | None:
    """How the test method of that name behaves, None for a name that is none."""
    if name.startswith(_ANY_DECLINE):
        code, _, advice = name.removeprefix(_ANY_DECLINE).partition("__")
        return Behaviour(last4="0002", decline=_declined("card_declined", code, advice or None))
    return _METHODS.get(name)
