"""A small world to test payments in: a sandbox, our adapter with the official client, a clock, a listener."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from activities.ports import Intent
from domain.money import Money
from providers.sandbox import PaymentSandbox, Storage, create_payment_sandbox, in_process
from providers.stripe import StripePayments
from providers.stripe_webhooks import ProviderEvent, read_event

SECRET = "whsec_test"
PRICE = Money(4900, "EUR")
STARTS = datetime(2026, 1, 31, 9, tzinfo=UTC)


@dataclass
class StoryClock:
    at: datetime = STARTS

    def __call__(self) -> datetime:
        return self.at

    def passes(self, time: timedelta) -> None:
        self.at += time


@dataclass
class Listener:
    """Our endpoint: verifies each webhook, and takes it unless told to refuse."""

    clock: StoryClock
    events: list[ProviderEvent] = field(default_factory=list[ProviderEvent])
    refuses: int = 0

    async def __call__(self, payload: bytes, header: str) -> int:
        if self.refuses:
            self.refuses -= 1
            return 500
        self.events.append(read_event(payload, header, SECRET, at=self.clock()))
        return 200

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


class World:
    """`provider` is the adapter over a transport into `sandbox`."""

    def __init__(
        self,
        storage: Storage | None = None,
        *,
        checks_on_attach: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_seconds: float = 5,
    ) -> None:
        self.clock = StoryClock()
        self.listener = Listener(self.clock)
        self.sandbox: PaymentSandbox = create_payment_sandbox(
            storage or Storage(),
            clock=self.clock,
            webhook_secret=SECRET,
            webhook_target=self.listener,
            checks_on_attach=checks_on_attach,
        )
        self.provider = StripePayments(
            "sk_test_1",
            address="http://sandbox",
            transport=transport or in_process(self.sandbox),
            timeout_seconds=timeout_seconds,
        )

    async def customer(self, name: str = "ada") -> str:
        return await self.provider.create_customer(customer_id=f"cus_{name}", key=f"customer/{name}")

    async def method(self, test_name: str, customer_ref: str | None = None) -> str:
        customer_ref = customer_ref or await self.customer()
        key = f"method/{test_name}/{customer_ref}"
        return (await self.provider.attach_method(customer_ref=customer_ref, method=test_name, key=key)).ref

    async def intent(self, invoice_id: str = "inv_1", amount: Money = PRICE) -> str:
        intent = await self.provider.create_intent(
            customer_ref=await self.customer(), amount=amount, invoice_id=invoice_id, key=f"pi:{invoice_id}"
        )
        return intent.ref

    async def confirm(self, intent_ref: str, method_ref: str, attempt: int = 1) -> Intent:
        key = f"cf:{intent_ref}:{attempt}"
        return await self.provider.confirm_intent(intent_ref=intent_ref, method_ref=method_ref, key=key)

    async def pay(self, test_name: str, invoice_id: str = "inv_1") -> Intent:
        """One first attempt on a saved method."""
        return await self.confirm(await self.intent(invoice_id), await self.method(test_name))

    async def detach(self, method_ref: str) -> None:
        """The customer removes it, on Stripe's own page."""
        async with httpx.AsyncClient(transport=in_process(self.sandbox), base_url="http://sandbox") as client:
            answer = await client.post(
                f"/v1/payment_methods/{method_ref}/detach", headers={"Authorization": "Bearer sk_test_1"}
            )
            answer.raise_for_status()

    @property
    def moved(self) -> list[tuple[str, int]]:
        """Money that did move: charges and refunds that succeeded."""
        return [(one.kind, one.amount) for one in self.sandbox.account.movements() if one.status == "succeeded"]
