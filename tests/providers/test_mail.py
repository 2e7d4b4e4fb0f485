"""Mails as their reader gets them, parsed back from what was written."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from providers.mail import FolderMail

FACTS = {
    "language": "en",
    "seller": "Iron Works Ltd",
    "customer": "Ada Lovelace",
    "invoice": "IW-2026-000001",
    "amount": "1469.06",
    "currency": "EUR",
    "due_on": "2026-03-15",
    "overdue": "",
    "settling": "pay",
    "method": "",
    "charged_on": "",
    "iban": "",
    "bic": "",
    "bank": "",
}


async def sent(folder: Path, **changed: str) -> tuple[str, str]:
    """Subject and text of the one message in `folder`."""
    mail = FolderMail(folder)
    for _ in range(2):
        await mail.send(
            to="ada@example.com", template="payment_reminder", facts=FACTS | changed, key="inv_1/reminder/1"
        )
    [file] = folder.iterdir()
    read = message_from_bytes(file.read_bytes(), policy=default)
    assert isinstance(read, EmailMessage)
    return str(read["Subject"]), read.get_content()


class TestAReminder:
    async def test_says_who_which_invoice_how_much_until_when_and_what_to_do(self, tmp_path: Path):
        subject, text = await sent(tmp_path)
        assert subject == "Invoice IW-2026-000001 of Iron Works Ltd: EUR 1,469.06, due on 15 March 2026"
        assert text.split("\n\n") == [
            "Hello Ada Lovelace,",
            "Invoice IW-2026-000001 of Iron Works Ltd over EUR 1,469.06 is due on 15 March 2026.",
            "Please pay EUR 1,469.06, due on 15 March 2026, quoting IW-2026-000001.",
            "Kind regards\nIron Works Ltd\n",
        ]

    async def test_speaks_german(self, tmp_path: Path):
        subject, text = await sent(tmp_path, language="de", overdue="yes")
        assert subject == "Rechnung IW-2026-000001 von Iron Works Ltd: 1.469,06 EUR, fällig am 15. März 2026"
        assert "über 1.469,06 EUR war am 15. März 2026 fällig und ist noch nicht bezahlt." in text

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            (
                {"settling": "charge", "method": "visa •4242", "charged_on": "2026-03-16"},
                "to visa •4242 on 16 March 2026",
            ),
            ({"settling": "declined", "method": "visa •4242"}, "The payment with visa •4242 was declined."),
            ({"settling": "confirm", "method": "visa •4242"}, "Please confirm it, or name another payment method."),
            ({"iban": "DE89370400440532013000", "bank": "A Bank"}, "IBAN DE89 3704 0044 0532 0130 00\nA Bank"),
            ({"overdue": "yes"}, "was due on 15 March 2026 and has not been paid yet."),
        ],
    )
    async def test_says_what_is_true_now(self, tmp_path: Path, changed: dict[str, str], expected: str):
        assert expected in (await sent(tmp_path, **changed))[1]

    async def test_of_a_name_in_two_lines_keeps_to_one_subject(self, tmp_path: Path):
        subject, _ = await sent(tmp_path, seller="Iron\nBcc: all@example.com")
        assert "of Iron Bcc: all@example.com:" in subject
