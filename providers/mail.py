"""Mail: messages to customers, by SMTP or into a folder (sandbox, demo, tests). One message per key, wherever it goes."""

import asyncio
import smtplib
from datetime import date
from email.message import EmailMessage
from email.policy import default
from hashlib import sha256
from pathlib import Path

from activities.ports import ProviderUnavailable
from domain.catalog import Bank
from domain.document import Language, Settling
from providers.wording import NO_BREAK, Voice

# Folding a long subject would add spaces to it.
_UNFOLDED = default.clone(max_line_length=998)


def message(*, sender: str, to: str, template: str, facts: dict[str, str], key: str) -> EmailMessage:
    """The message of a template. Its Message-ID derives from `key`, so that a repeated delivery is recognised."""
    subject, text = _TEMPLATES[template](facts)
    mail = EmailMessage(_UNFOLDED)
    mail["From"], mail["To"] = sender, to
    # A name may hold what a header cannot.
    mail["Subject"] = " ".join(subject.split())
    mail["Message-ID"] = f"<{sha256(key.encode()).hexdigest()[:32]}@{sender.rpartition('@')[2]}>"
    mail.set_content(text)
    return mail


def _payment_reminder(facts: dict[str, str]) -> tuple[str, str]:
    """Subject and text, of the facts of `domain.document.reminder`."""
    voice = Voice(Language(facts["language"]), facts["currency"])
    due_on, charged_on = (date.fromisoformat(facts[name]) if facts[name] else None for name in ("due_on", "charged_on"))
    assert due_on is not None
    parts = {"number": facts["invoice"], "seller": facts["seller"], "amount": voice.money(facts["amount"])}
    parts |= {"date": voice.day(due_on)}
    bank = Bank(iban=facts["iban"], bic=facts["bic"], name=facts["bank"]) if facts["iban"] else None
    asked = voice.asked(
        Settling(facts["settling"]),
        amount=facts["amount"],
        number=facts["invoice"],
        method=facts["method"],
        due_on=due_on,
        charged_on=charged_on,
        bank=bank,
    )
    paragraphs = (
        voice.word("reminder_hello", customer=facts["customer"]),
        voice.word("reminder_overdue" if facts["overdue"] else "reminder_due", **parts),
        "\n".join(asked),
        voice.word("reminder_bye") + "\n" + facts["seller"],
    )
    subject, text = voice.word("reminder_subject", **parts), "\n\n".join(paragraphs) + "\n"
    return subject, text.replace(NO_BREAK, " ")


_TEMPLATES = {"payment_reminder": _payment_reminder}


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
