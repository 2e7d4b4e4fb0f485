"""Stand-ins for the outside world that speak its protocols: Stripe, and a provisioning system, as one ASGI application.

    sandbox = create_sandbox(data_dir, clock=clock, webhook_target="http://127.0.0.1:8080/webhooks/stripe")
    uvicorn.run(sandbox, port=8090)                                    a process of its own, state in data_dir
    StripePayments("sk_test_x", address="http://sandbox", transport=in_process(sandbox))          none at all

Nothing here is imported by the product itself but by `workers`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from providers.sandbox.account import Movement
from providers.sandbox.in_process import in_process
from providers.sandbox.payments import PaymentSandbox, create_payment_sandbox
from providers.sandbox.provisioning import CallBack, ProvisioningSandbox, http_call_back
from providers.sandbox.storage import Storage
from providers.sandbox.webhooks import Deliver

__all__ = [
    "Movement",
    "PaymentSandbox",
    "ProvisioningSandbox",
    "Sandbox",
    "Storage",
    "create_payment_sandbox",
    "create_sandbox",
    "http_call_back",
    "in_process",
]


class Sandbox:
    """Both sandboxes under one roof: `payments` and `provisioning`, an ASGI application."""

    def __init__(self, storage: Storage, payments: PaymentSandbox, provisioning: ProvisioningSandbox) -> None:
        """See `create_sandbox`."""
        self.payments = payments
        self.provisioning = provisioning
        self._storage = storage
        self._app = Starlette(routes=[*payments.routes, *provisioning.routes], lifespan=self._ticking)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._app(scope, receive, send)

    @property
    def next_at(self) -> datetime | None:
        """When time alone has its next effect on payments, UTC."""
        instants = (self.payments.account.next_at, self.payments.webhooks.next_at)
        return min((datetime.fromtimestamp(at, UTC) for at in instants if at is not None), default=None)

    async def tick(self) -> None:
        """Let time have its effect. A server does so every second; a simulation, whenever its clock has moved."""
        await self.payments.tick()
        await self.provisioning.tick()

    def close(self) -> None:
        """Let the file go."""
        self._storage.close()

    @contextlib.asynccontextmanager
    async def _ticking(self, _: Starlette) -> AsyncGenerator[None]:
        ticking = asyncio.create_task(self._tick_every_second())
        yield
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking

    async def _tick_every_second(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(1)


def create_sandbox(
    data_dir: Path | None = None,
    *,
    clock: Callable[[], datetime],
    webhook_secret: str = "",
    webhook_target: str | Deliver | None = None,
    wall_clock: Callable[[], datetime] | None = None,
    checks_on_attach: bool = False,
    call_back: CallBack | None = None,
    provisioning_waits: timedelta = timedelta(0),
) -> Sandbox:
    """The outside world, kept in `data_dir`/sandbox.sqlite or, without one, in memory.

    What the parameters mean is told by `create_payment_sandbox` and `ProvisioningSandbox`.
    """
    if data_dir is not None:
        data_dir.mkdir(parents=True, exist_ok=True)
    storage = Storage(":memory:" if data_dir is None else data_dir / "sandbox.sqlite")
    payments = create_payment_sandbox(
        storage,
        clock=clock,
        webhook_secret=webhook_secret,
        webhook_target=webhook_target,
        wall_clock=wall_clock,
        checks_on_attach=checks_on_attach,
    )
    provisioning = ProvisioningSandbox(storage, clock=clock, call_back=call_back, waits=provisioning_waits)
    return Sandbox(storage, payments, provisioning)
