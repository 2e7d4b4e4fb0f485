"""Doors: the real parts behind the ports of `activities.ports`, as the settings name them."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from activities.ports import (
    Clock,
    Lifecycles,
    Mail,
    OpenBooks,
    PaymentProvider,
    ProvisioningTarget,
    StepAnswer,
)
from providers.mail import FolderMail, SmtpMail
from providers.provisioning import HttpProvisioning
from providers.stripe import StripePayments
from store.books import open_books
from workers.clock import WallClock
from workers.lifecycles import TemporalLifecycles
from workers.settings import Settings
from workflows.options import PROVIDER_CALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The real parts behind the ports of `activities.ports`."""

    open_books: OpenBooks
    lifecycles: Lifecycles
    payments: PaymentProvider
    target: ProvisioningTarget
    mail: Mail
    clock: Clock


class NothingToProvision:
    """Where no external target is configured, every step is done as soon as it is asked for."""

    async def provision(self, *, order_id: str, step: str, payload: dict[str, str], key: str) -> StepAnswer:
        """Done."""
        return StepAnswer(state="done", detail="no external target")

    async def undo(self, *, order_id: str, step: str, key: str) -> StepAnswer:
        """Done."""
        return StepAnswer(state="done", detail="no external target")


def doors_of(settings: Settings, engine: AsyncEngine, client: Client) -> Doors:
    """The doors of a production worker."""
    return Doors(
        open_books=open_books(engine),
        lifecycles=TemporalLifecycles(client, task_queue=settings.task_queue),
        payments=payments_of(settings),
        target=_target(settings),
        mail=_mail(settings),
        clock=WallClock(),
    )


def payments_of(settings: Settings) -> StripePayments:
    """The configured payment provider."""
    return StripePayments(
        settings.stripe_api_key.get_secret_value(),
        address=settings.stripe_api_base,
        timeout_seconds=PROVIDER_CALL.total_seconds(),
    )


def _target(settings: Settings) -> ProvisioningTarget:
    if settings.provisioning_url is None:
        return NothingToProvision()
    key = settings.provisioning_api_key
    return HttpProvisioning(
        settings.provisioning_url,
        api_key=key.get_secret_value() if key else None,
        timeout_seconds=PROVIDER_CALL.total_seconds(),
    )


def _mail(settings: Settings) -> Mail:
    if settings.smtp_host is None:
        return FolderMail(settings.documents_dir / "mail", sender=settings.mail_sender)
    return SmtpMail(settings.smtp_host, settings.smtp_port, sender=settings.mail_sender)
