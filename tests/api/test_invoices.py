"""Invoices: what was said when one was issued stays said, whatever becomes of who said it."""

from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from tests.api.conftest import BOOK
from tests.providers.pdf_text import pages

pytestmark = pytest.mark.asyncio(loop_scope="module")
SOLD = BOOK.read_text().replace("reminders: []", "reminders: [P1D]")
RESOLD = SOLD.replace('key: gym, legal_name: "Iron Works Ltd"', 'key: forge, legal_name: "New Owner Ltd"')


async def apply(api, book):
    assert (await api.http.put("/v1/catalog", content=book)).status_code == 200


async def printed(api, key):
    answer = await api.http.get(f"/v1/invoices/{key}%231/pdf")
    assert answer.status_code == 200
    return squeezed("".join(pages(answer.content)))


def squeezed(text):
    """Without spaces, which a PDF has not where a line ends."""
    return "".join(text.split())


async def test_a_seller_that_is_renamed_changes_no_invoice_and_counts_on(api):
    await apply(api, SOLD)
    first = await api.sold(await api.customer())
    before = await printed(api, first)
    await apply(api, RESOLD)
    second = await api.sold(await api.customer())
    assert await printed(api, first) == before
    assert "IronWorksLtd" in before
    assert "NewOwnerLtd" in await printed(api, second)
    one, other = [(await api.http.get(f"/v1/invoices/{key}%231")).json() for key in (first, second)]
    assert (one["seller"]["legal_name"], other["seller"]["legal_name"]) == ("Iron Works Ltd", "New Owner Ltd")
    assert one["buyer"] == {"name": "Ada", "country": "DE", "tax_id": None, "address": []}
    assert int(other["number"].rpartition("-")[2]) == int(one["number"].rpartition("-")[2]) + 1


async def test_an_open_invoice_and_its_reminder_ask_for_what_is_awaited(api, tmp_path_factory):
    await apply(api, SOLD.replace("key: gym,", 'key: gym, bank: {iban: "DE89 3704 0044 0532 0130 00"},', 1))
    eve = await api.sold(await api.customer(email="eve@example.com"))
    visa = await api.customer(payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    asked = await printed(api, eve)
    assert squeezed("Please transfer EUR 58.31, due on 31 January 2026") in asked
    assert squeezed("IBAN DE89 3704 0044 0532 0130 00") in asked
    charged = await printed(api, await api.sold(visa))
    assert squeezed("We will charge EUR 58.31 to visa •") in charged
    assert "IBAN" not in charged
    await api.world.reach(api.world.now + timedelta(days=1, hours=1))
    files = {file.resolve() for file in tmp_path_factory.getbasetemp().glob("api*/mail/*.eml")}
    mails = [message_from_bytes(file.read_bytes(), policy=default) for file in files]
    [reminder] = [mail for mail in mails if mail["To"] == "eve@example.com"]
    assert "was due on 31 January 2026 and has not been paid yet." in reminder.get_content()
    assert "IBAN DE89 3704 0044 0532 0130 00" in reminder.get_content()
