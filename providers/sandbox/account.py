"""One Stripe test account: what it holds, and what each request does to it.

    requires_payment_method ──confirm──> succeeded
        ^                        ├─────> processing ──settle_due──> succeeded, or back
        │                        ├─────> requires_action ──authenticate──> succeeded, or back
        └────── declined ────────┘
    any but succeeded ──cancel──> canceled

Synchronous, and within the caller's transaction: a request is carried out whole or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.money import CURRENCIES
from domain.payment import Decline
from providers.sandbox import objects
from providers.sandbox.methods import Behaviour, behaviour_of
from providers.sandbox.problems import card_error, invalid, missing, unexpected_state
from providers.sandbox.storage import Json, Storage, derived

_CONFIRMABLE = {"requires_payment_method", "requires_confirmation", "requires_action"}
_CANCELABLE = _CONFIRMABLE | {"processing"}
_AUTHENTICATION_REQUIRED = Decline(code="authentication_required", decline_code="authentication_required")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: `ref` is the id in its path; new ids derive from `cause`; `request` is what its events name."""

    ref: str
    params: Json
    cause: str
    request: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A charge or a refund that was executed. `status` "failed" moved nothing; "pending" is at a bank."""

    id: str
    kind: str
    status: str
    amount: int
    currency: str
    customer: str | None
    payment_intent: str
    method: str | None
    created: int


class Account:
    """The objects of one account, and their verbs."""

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Callable[[], datetime],
        on_event: Callable[[Json], None],
        checks_on_attach: bool = False,
    ) -> None:
        """`checks_on_attach` is Stripe's way: what declines does not even attach. Without, it attaches."""
        self._storage = storage
        self._clock = clock
        self._on_event = on_event
        self._checks_on_attach = checks_on_attach

    # Requests

    def create_customer(self, call: Call) -> Json:
        """POST /v1/customers."""
        customer = objects.customer(derived("cus", call.cause), self._now(), call.params)
        self._storage.put("customer", customer["id"], customer)
        self._emit("customer.created", customer, call)
        return customer

    def attach_method(self, call: Call) -> Json:
        """POST /v1/payment_methods/{ref}/attach: a test name becomes a method of its own."""
        customer = self.get("customer", call.params["customer"], "customer")
        behaviour = behaviour_of(call.ref)
        if behaviour is None:
            saved = self.get("payment_method", call.ref, "id")
            if saved["customer"] is not None:
                raise invalid("The payment method you provided has already been attached to a customer.")
            raise invalid("This PaymentMethod was detached from a Customer. It may not be used again.")
        if self._checks_on_attach and behaviour.refuses_attachment and behaviour.decline:
            raise card_error(behaviour.decline, objects.decline_message(behaviour.decline))
        method = self._materialized(call.ref, behaviour, customer["id"], call)
        self._emit("payment_method.attached", method, call)
        return method

    def detach_method(self, call: Call) -> Json:
        """POST /v1/payment_methods/{ref}/detach: it can never be used again."""
        method = self.get("payment_method", call.ref, "id")
        if method["customer"] is None:
            raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
        self._save(method | {"customer": None})
        self._emit("payment_method.detached", method | {"customer": None}, call)
        return method | {"customer": None}

    def create_intent(self, call: Call) -> Json:
        """POST /v1/payment_intents, unconfirmed."""
        _check_amount(call.params["amount"], call.params["currency"])
        if "customer" in call.params:
            self.get("customer", call.params["customer"], "customer")
        intent = objects.payment_intent(derived("pi", call.cause), self._now(), call.params)
        self._save(intent)
        self._emit("payment_intent.created", intent, call)
        return intent

    def confirm_intent(self, call: Call) -> Json:
        """POST /v1/payment_intents/{ref}/confirm: this moves money."""
        intent = self.get("payment_intent", call.ref, "intent")
        if intent["status"] not in _CONFIRMABLE:
            raise unexpected_state(intent, "confirm")
        method, behaviour = self._usable(call.params.get("payment_method") or intent["payment_method"], intent, call)
        off_session = call.params.get("off_session", "false") != "false"
        if behaviour.parks or (behaviour.authenticates and not off_session):
            return self._require_action(intent, method, call)
        if behaviour.authenticates:
            behaviour = replace(behaviour, decline=_AUTHENTICATION_REQUIRED, takes=None)
        if behaviour.takes is not None:
            return self._start_bank_transfer(intent, method, behaviour, call)
        return self._charged(intent, method, behaviour, call)

    def cancel_intent(self, call: Call) -> Json:
        """POST /v1/payment_intents/{ref}/cancel."""
        intent = self.get("payment_intent", call.ref, "intent")
        if intent["status"] not in _CANCELABLE:
            raise unexpected_state(intent, "cancel")
        if intent["status"] == "processing":
            charge = self.get("charge", intent["latest_charge"], "charge")
            self._save(charge | {"status": "failed", "paid": False, "captured": False}, parent=intent["id"])
            self._storage.put("settlement", intent["id"], {}, parent="over")
        intent |= {
            "status": "canceled",
            "canceled_at": self._now(),
            "cancellation_reason": call.params.get("cancellation_reason"),
            "next_action": None,
        }
        self._save(intent)
        self._emit("payment_intent.canceled", intent, call)
        return intent

    def refund(self, call: Call) -> Json:
        """POST /v1/refunds of an intent's charge, whole or in part."""
        ref = call.params["payment_intent"]
        intent = self.get("payment_intent", ref, "payment_intent")
        if intent["status"] != "succeeded":
            raise invalid(f"This PaymentIntent ({ref}) does not have a successful charge to refund.", "payment_intent")
        charge = self.get("charge", intent["latest_charge"], "charge")
        left = charge["amount"] - charge["amount_refunded"]
        amount = call.params.get("amount", left)
        if left == 0:
            raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        if not 0 < amount <= left:
            raise invalid(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", "amount")
        _check_amount(amount, charge["currency"])
        refund = objects.refund(derived("re", call.cause), self._now(), charge, amount, call.params)
        charge |= {"amount_refunded": charge["amount_refunded"] + amount, "refunded": amount == left}
        self._save(charge, parent=intent["id"])
        self._save(refund, parent=intent["id"])
        self._emit("charge.refunded", charge, call)
        return refund

    # What people and banks do in their own time

    @property
    def next_at(self) -> int | None:
        """When the next bank answers, as a timestamp."""
        return min((waiting["at"] for waiting in self._storage.all("settlement", "waiting")), default=None)

    def due(self) -> list[Json]:
        """The bank transfers whose time has come."""
        return [waiting for waiting in self._storage.all("settlement", "waiting") if waiting["at"] <= self._now()]

    def settle_due(self) -> None:
        """Let the banks whose time has come answer."""
        for waiting in self.due():
            intent = self.get("payment_intent", waiting["intent"], "intent")
            charge = self.get("charge", waiting["charge"], "charge")
            method = self.get("payment_method", charge["payment_method"], "id")
            behaviour = self._behaviour(method)
            self._storage.put("settlement", intent["id"], waiting, parent="over")
            done = objects.charge(charge["id"], charge["created"], intent, method, behaviour.decline)
            self._close(intent, method, done, behaviour, None)

    def authenticate(self, intent_ref: str, *, succeeds: bool = True) -> Json:
        """The customer answers their bank's question; then the card is charged as it would have been."""
        intent = self.get("payment_intent", intent_ref, "intent")
        if intent["status"] != "requires_action":
            raise unexpected_state(intent, "authenticate")
        method = self.get("payment_method", intent["payment_method"], "id")
        failed = Decline(code="payment_intent_authentication_failure")
        behaviour = self._behaviour(method) if succeeds else Behaviour(decline=failed)
        charge_id = derived("ch", intent_ref, str(self._storage.count("charge", intent_ref)))
        charge = objects.charge(charge_id, self._now(), intent, method, behaviour.decline)
        return self._close(intent, method, charge, behaviour, None)

    def dispute(self, intent_ref: str, reason: str = "fraudulent") -> Json:
        """The customer's bank takes the money back until it is decided."""
        intent = self.get("payment_intent", intent_ref, "intent")
        charge = self.get("charge", intent["latest_charge"] or "", "charge")
        dispute = objects.dispute(derived("du", charge["id"]), self._now(), charge, reason)
        self._save(charge | {"disputed": True}, parent=intent_ref)
        self._save(dispute, parent=intent_ref)
        self._emit("charge.dispute.created", dispute, None)
        self._emit("charge.dispute.funds_withdrawn", dispute, None)
        return dispute

    def decide_dispute(self, intent_ref: str, *, won: bool) -> Json:
        """The bank decides; won, the money comes back."""
        (dispute,) = self._storage.all("dispute", intent_ref)
        dispute |= {"status": "won" if won else "lost"}
        self._save(dispute, parent=intent_ref)
        self._emit("charge.dispute.closed", dispute, None)
        if won:
            self._emit("charge.dispute.funds_reinstated", dispute, None)
        return dispute

    # Reading

    def get(self, kind: str, ref: str, param: str) -> Json:
        """The object; `param` is where its id came from, for the refusal."""
        found = self._storage.get(kind, ref)
        if found is None:
            raise missing(kind, ref, param)
        return found

    def method(self, ref: str) -> Json:
        """A saved method, or how a test name would look."""
        behaviour = behaviour_of(ref)
        if behaviour is not None:
            return objects.payment_method(ref, self._now(), behaviour, None)
        return self.get("payment_method", ref, "id")

    def movements(self, payment_intent: str | None = None) -> list[Movement]:
        """Every charge and refund that was executed, declined ones too, oldest first within its kind."""
        charges = [_charge_movement(charge) for charge in self._storage.all("charge", payment_intent)]
        customers = {charge.payment_intent: charge.customer for charge in charges}
        refunds = self._storage.all("refund", payment_intent)
        return charges + [_refund_movement(refund, customers[refund["payment_intent"]]) for refund in refunds]

    # Steps

    def _usable(self, ref: str | None, intent: Json, call: Call) -> tuple[Json, Behaviour]:
        """The method to charge: saved for this customer, or fresh from a test name."""
        if ref is None:
            message = "You cannot confirm this PaymentIntent because it's missing a payment method."
            raise invalid(message, code="payment_intent_unexpected_state")
        fresh = behaviour_of(ref)
        if fresh is not None:
            return self._materialized(ref, fresh, None, call), fresh
        method = self.get("payment_method", ref, "payment_method")
        if method["customer"] is None:
            raise invalid(f"The provided PaymentMethod ({ref}) was detached from a Customer. It may not be used again.")
        if method["customer"] != intent["customer"]:
            raise invalid(f"The PaymentMethod {ref} does not belong to the Customer you supplied.", "payment_method")
        return method, self._behaviour(method)

    def _materialized(self, name: str, behaviour: Behaviour, customer_ref: str | None, call: Call) -> Json:
        method = objects.payment_method(derived("pm", call.cause), self._now(), behaviour, customer_ref)
        self._save(method)
        self._storage.put("test_name", method["id"], {"name": name})
        return method

    def _behaviour(self, method: Json) -> Behaviour:
        behaviour = behaviour_of(self.get("test_name", method["id"], "payment_method")["name"])
        if behaviour is None:
            raise KeyError(method["id"])
        return behaviour

    def _require_action(self, intent: Json, method: Json, call: Call) -> Json:
        url = f"https://hooks.stripe.com/3d_secure_2/{intent['id']}"
        intent |= {
            "status": "requires_action",
            "payment_method": method["id"],
            "next_action": {"type": "redirect_to_url", "redirect_to_url": {"return_url": None, "url": url}},
        }
        self._save(intent)
        self._emit("payment_intent.requires_action", intent, call)
        return intent

    def _start_bank_transfer(self, intent: Json, method: Json, behaviour: Behaviour, call: Call) -> Json:
        charge = objects.charge(derived("ch", call.cause), self._now(), intent, method, None, pending=True)
        intent |= {"status": "processing", "payment_method": method["id"], "latest_charge": charge["id"]}
        intent |= {"last_payment_error": None, "next_action": None}
        if not behaviour.never_settles and behaviour.takes is not None:
            at = int((self._clock() + behaviour.takes).timestamp())
            waiting = {"intent": intent["id"], "charge": charge["id"], "at": at}
            self._storage.put("settlement", intent["id"], waiting, parent="waiting")
        self._save(charge, parent=intent["id"])
        self._save(intent)
        self._emit("charge.pending", charge, call)
        self._emit("payment_intent.processing", intent, call)
        return intent

    def _charged(self, intent: Json, method: Json, behaviour: Behaviour, call: Call) -> Json:
        charge = objects.charge(derived("ch", call.cause), self._now(), intent, method, behaviour.decline)
        intent = self._close(intent, method, charge, behaviour, call)
        if behaviour.decline:
            raise card_error(
                behaviour.decline,
                objects.decline_message(behaviour.decline),
                charge=charge["id"],
                payment_intent=intent,
                payment_method=method,
            )
        return intent

    def _close(self, intent: Json, method: Json, charge: Json, behaviour: Behaviour, call: Call | None) -> Json:
        """The attempt is over: the intent has succeeded, or wants another method."""
        decline = behaviour.decline
        intent |= {"latest_charge": charge["id"], "next_action": None}
        if decline is None:
            intent |= {"status": "succeeded", "payment_method": method["id"], "last_payment_error": None}
            intent |= {"amount_received": intent["amount"]}
        else:
            error = objects.last_payment_error(decline, charge["id"], method)
            intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
        self._save(charge, parent=intent["id"])
        self._save(intent)
        self._emit("charge.failed" if decline else "charge.succeeded", charge, call)
        self._emit("payment_intent.payment_failed" if decline else "payment_intent.succeeded", intent, call)
        if decline is None and behaviour.disputed_as:
            self.dispute(intent["id"], behaviour.disputed_as)
        return intent

    def _save(self, obj: Json, parent: str = "") -> None:
        self._storage.put(obj["object"], obj["id"], obj, parent)

    def _emit(self, type: str, subject: Json, call: Call | None) -> None:
        nth = self._storage.count("event", subject["id"])
        event = objects.event(
            derived("evt", subject["id"], type, str(nth)), self._now(), type, subject, call.request if call else None
        )
        self._storage.put("event", event["id"], event, parent=subject["id"])
        self._on_event(event)

    def _now(self) -> int:
        return int(self._clock().timestamp())


def _check_amount(amount: int, currency: str) -> None:
    """Stripe's rules of amounts: whole, positive, and of some currencies only multiples."""
    if currency != currency.lower() or currency.upper() not in CURRENCIES:
        raise invalid(f"Invalid currency: {currency}.", "currency")
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
    step = {"isk": 100, "ugx": 100} | dict.fromkeys("bhd jod kwd omr tnd".split(), 10)
    if amount % step.get(currency, 1):
        message = f"Invalid amount. Amounts in {currency.upper()} must be evenly divisible by {step[currency]}."
        raise invalid(message, "amount", "invalid_charge_amount_no_decimal_compatible")


def _charge_movement(charge: Json) -> Movement:
    names = ("id", "status", "amount", "currency", "customer", "payment_intent", "created")
    return Movement(kind="charge", method=charge["payment_method"], **_picked(charge, names))


def _refund_movement(refund: Json, customer: str | None) -> Movement:
    names = ("id", "status", "amount", "currency", "payment_intent", "created")
    return Movement(kind="refund", method=None, customer=customer, **_picked(refund, names))


def _picked(obj: Json, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: obj[name] for name in names}
