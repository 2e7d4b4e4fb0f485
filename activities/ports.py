"""What activities need from the outside, as protocols.

`store` and `providers` implement these; `workers` plugs them in. Nothing here imports either.
"""

from dataclasses import dataclass
from typing import Protocol

from domain.money import Money
from domain.payment import Decline, PaymentState


class ProviderUnavailable(Exception):
    """The provider could not be asked, or did not carry the request out: nothing happened. Try again under the same key."""


class OutcomeUnknown(Exception):
    """The provider was asked and the answer did not arrive. It may have happened: read before asking again."""


class ProviderRejected(Exception):
    """The provider will never carry this request out as it is (an unknown method, a malformed request)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    """A card or account that a customer consented to be charged on. `label` is fit to show: "visa •4242"."""

    ref: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What the provider says of one collection of money.

    `charge_ref` is the latest charge it tried, None before the first: by it a later read tells "declined again" from
    "never executed". `decline` is set with state FAILED.
    """

    ref: str
    state: PaymentState
    charge_ref: str | None = None
    decline: Decline | None = None


class PaymentProvider(Protocol):
    """A card and bank network. Every `key` is an idempotency key: the same key moves money at most once.

    All methods raise ProviderUnavailable (nothing happened), OutcomeUnknown (it may have) or ProviderRejected.
    A decline is an answer, never an error.
    """

    async def create_customer(self, *, customer_id: str, key: str) -> str:
        """The provider's reference for our customer."""
        ...

    async def attach_method(self, *, customer_ref: str, method: str, key: str) -> PaymentMethod:
        """Save `method` (a reference or one of the provider's test names) for charges without the customer present."""
        ...

    async def create_intent(self, *, customer_ref: str, amount: Money, invoice_id: str, key: str) -> Intent:
        """An unconfirmed intent to collect `amount`: no money moves. State PENDING."""
        ...

    async def confirm_intent(self, *, intent_ref: str, method_ref: str, key: str) -> Intent:
        """Try to collect now, off session, on `method_ref`."""
        ...

    async def read_intent(self, *, intent_ref: str) -> Intent:
        """What the provider knows of it now."""
        ...

    async def cancel_intent(self, *, intent_ref: str, key: str) -> Intent:
        """Give the intent up; it can never collect afterwards. State FAILED once cancelled."""
        ...

    async def refund(self, *, intent_ref: str, amount: Money, key: str) -> str:
        """Send `amount` back; answers the refund's reference."""
        ...


class StepState:
    """Answers of a provisioning target; plain words because they travel as they are."""

    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswer:
    """`state` is "done", "waiting" (the target calls back) or "failed" (it will never do this); `detail` is for people."""

    state: str
    detail: str = ""


class ProvisioningTarget(Protocol):
    """A system that makes what was sold usable. Raises ProviderUnavailable when it cannot be asked (5xx, no answer)."""

    async def provision(self, *, order_id: str, step: str, payload: dict[str, str], key: str) -> StepAnswer:
        """Do one step of an order, once per `key`."""
        ...

    async def undo(self, *, order_id: str, step: str, key: str) -> StepAnswer:
        """Take back what `provision` did for this step; fine when there is nothing to take back."""
        ...
