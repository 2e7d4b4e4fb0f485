"""Mail: messages to customers, by SMTP or into a folder (sandbox, demo, tests). One message per key, wherever it goes."""

import asyncio
import smtplib
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path

from activities.ports import ProviderUnavailable

_TEXTS = {
    "payment_reminder": (
        "Invoice {invoice}: payment is due",
        "Invoice {invoice} over {amount} {currency} has not been paid yet.\n"
        "Please check your payment method, or pay by transfer quoting the invoice number.\n",
    ),
}


def message(*, sender: str, to: str, template: str, facts: dict[str, str], key: str) -> EmailMessage:
    """The message of a template. Its Message-ID derives from `key`, so that a repeated delivery is recognised."""
    subject, text = _TEXTS[template]
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, to
    mail["Subject"] = subject.format(**facts)
    mail["Message-ID"] = f"<{sha256(key.encode()).hexdigest()[:32]}@{sender.rpartition('@')[2]}>"
    mail.set_content(text.format(**facts))
    return mail


class FolderMail:
    """Writes each message to `folder` as an .eml file named by its key; one that is there is not written again."""

    def __init__(self, folder: Path, *, sender: str = "billing@perennial.invalid") -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, *, to: str, template: str, facts: dict[str, str], key: str) -> None:
        """Write one message."""
        mail = message(sender=self._sender, to=to, template=template, facts=facts, key=key)
        path = self._folder / f"{sha256(key.encode()).hexdigest()[:16]}.eml"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mail.as_bytes())


class SmtpMail:
    """Hands each message to an SMTP server. A server that cannot be asked raises ProviderUnavailable."""

    def __init__(self, host: str, port: int, *, sender: str, timeout: int = 15) -> None:
        self._host, self._port, self._sender, self._timeout = host, port, sender, timeout

    async def send(self, *, to: str, template: str, facts: dict[str, str], key: str) -> None:
        """Send one message."""
        mail = message(sender=self._sender, to=to, template=template, facts=facts, key=key)
        try:
            await asyncio.to_thread(self._deliver, mail)
        except (OSError, smtplib.SMTPException) as error:
            raise ProviderUnavailable(f"mail server: {type(error).__name__}") from error

    def _deliver(self, mail: EmailMessage) -> None:
        with smtplib.SMTP(self._host, self._port, timeout=self._timeout) as server:
            server.send_message(mail)
