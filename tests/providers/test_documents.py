"""Invoices and quotes as PDF, read back from the PDF itself: what is printed is what a reader could copy from it."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from string import Formatter

import pytest

from domain.calendar import Period
from domain.catalog import Bank, Entity
from domain.customer import Buyer
from domain.document import (
    DocumentLine,
    DocumentTax,
    Estimate,
    InvoiceDocument,
    Language,
    QuoteDocument,
    QuoteLine,
    QuotePrice,
    Settling,
    Standing,
)
from domain.errors import InvalidInput
from providers.documents import render_invoice, render_quote
from providers.wording import Voice
from tests.providers.pdf_text import MISSING, pages

MARCH = Period(date(2026, 3, 1), date(2026, 4, 1))
SELLER = Entity(key="gym", legal_name="Iron Works Ltd", country="DE", tax_id="DE123456789", address=("Sonnenallee 12",))
ADA = Buyer(name="Ada Lovelace", country="FR", address=("1 rue de Rivoli", "75001 Paris"))
LINE = DocumentLine(description="All access", quantity="1234.5", unit_amount="1", amount="1234.50", period=MARCH)
INVOICE = InvoiceDocument(
    language=Language.EN,
    seller=SELLER,
    customer=ADA,
    number="IW-2026-0001",
    issued_on=date(2026, 3, 1),
    due_on=date(2026, 3, 15),
    currency="EUR",
    lines=(LINE,),
    subtotal="1234.50",
    taxes=(DocumentTax(rate="0.19", base="1234.50", amount="234.56"),),
    total="1469.06",
    amount_due="1469.06",
    standing=Standing.OPEN,
    period=MARCH,
)
WITH_BANK = replace(SELLER, bank=Bank(iban="DE89 370400440532013000", bic="COBADEFFXXX", name="A Bank"))
CHARGE = {"settling": Settling.CHARGE, "payment_method": "visa •4242", "charged_on": date(2026, 3, 20)}
DECLINED = {"settling": Settling.DECLINED, "payment_method": "visa •4242"}
QUOTE = QuoteDocument(
    language=Language.EN,
    seller=SELLER,
    customer=ADA,
    number="q1",
    issued_on=date(2026, 1, 31),
    valid_until=date(2026, 2, 28),
    currency="EUR",
    lines=(
        QuoteLine(
            plan="All access",
            quantity="12",
            prices=(
                QuotePrice(description="Membership", amount="49", unit="per month"),
                QuotePrice(description="Events", amount="0.000042", unit="each"),
                QuotePrice(description="Beyond that: by agreement"),
            ),
            discounts=("10% off for the first 3 periods",),
            remarks=("12 months, renews by itself",),
        ),
    ),
    estimate=Estimate(subtotal="588.00", discount="58.80", total="529.20", issued_on=date(2026, 2, 1)),
    terms="Prices are net of tax.\n\nUsage is billed in arrears.",
)
HOSTILE = '#panic("x") $x^2$ *b* _i_ `raw` <label> @ref // /* \\u{41} \\ "}]} {amount} = - + ~ --'


def text_of(document: InvoiceDocument | QuoteDocument) -> str:
    """All that is printed, hard spaces as soft ones."""
    pdf = render_invoice(document) if isinstance(document, InvoiceDocument) else render_quote(document)
    return "\n".join(pages(pdf)).replace("\N{NO-BREAK SPACE}", " ")


def runs_of(document: InvoiceDocument | QuoteDocument) -> list[str]:
    """The same, run by run."""
    return [run.strip() for run in text_of(document).split("\n")]


def with_lines(count: int) -> InvoiceDocument:
    """An invoice of so many lines, every third with a discount."""
    lines: list[DocumentLine] = []
    for index in range(1, count + 1):
        lines.append(replace(LINE, description=f"line-{index}"))
        if index % 3 == 0:
            lines.append(DocumentLine(description=f"less-{index}", amount="-1.00", is_discount=True))
    return replace(INVOICE, lines=tuple(lines))


class TestAnInvoice:
    def test_is_a_pdf(self):
        assert render_invoice(INVOICE).startswith(b"%PDF-")

    def test_says_who_owes_what_to_whom_for_what(self):
        runs = runs_of(INVOICE)
        for expected in (
            "Iron Works Ltd",
            "IW-2026-0001",
            "Ada Lovelace",
            "75001 Paris",
            "France",
            "1 March 2026",
            "15 March 2026",
            "1 – 31 March 2026",
            "All access",
            "1 – 31 Mar 2026",
            "1,234.5",
            "1.00",
            "1,234.50",
            "VAT 19% on 1,234.50",
            "234.56",
            "1,469.06",
            "EUR 1,469.06",
            "Page 1 of 1",
        ):
            assert expected in runs, expected
        assert "VAT ID DE123456789" in text_of(INVOICE)

    def test_speaks_german(self):
        text = text_of(replace(INVOICE, language=Language.DE))
        for expected in ("Rechnung", "Frankreich", "1.–31. März 2026", "1.234,50", "USt. 19 % auf", "1.469,06 EUR"):
            assert expected in text, expected
        assert "Seite 1 von 1" in text

    def test_of_yen_has_no_decimals(self):
        line = replace(LINE, quantity="2", unit_amount="12800", amount="25600")
        figures = {"subtotal": "25600", "total": "25600", "amount_due": "25600"}
        runs = runs_of(replace(INVOICE, currency="JPY", lines=(line,), taxes=(), **figures))
        assert {"12,800", "25,600", "JPY 25,600"} <= set(runs)

    def test_shows_a_tiny_unit_price_whole(self):
        assert "0.000000000042" in runs_of(replace(INVOICE, lines=(replace(LINE, unit_amount="0.000000000042"),)))

    def test_shows_discounts_prorated_days_and_balance(self):
        less = DocumentLine(description="Discount 10%", amount="-4.90", is_discount=True)
        document = replace(
            INVOICE, lines=(replace(LINE, prorated=(17, 31)), less), discount="4.90", credits_applied="69.06"
        )
        text = text_of(document)
        for expected in ("Discount 10%", "−4.90", "17 of 31 days", "Credit balance applied", "−69.06", "Amount due"):
            assert expected in text, expected

    def test_leaves_out_what_is_zero(self):
        text = text_of(INVOICE)
        assert "Discount" not in text
        assert "Credit balance" not in text

    def test_without_quantities_has_no_columns_for_them(self):
        assert "UNIT PRICE" in runs_of(INVOICE)
        assert "UNIT PRICE" not in runs_of(replace(INVOICE, lines=(DocumentLine(description="Fee", amount="1.00"),)))

    def test_without_lines_still_has_its_totals(self):
        assert "1,469.06" in runs_of(replace(INVOICE, lines=()))

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, "Please pay EUR 1,469.06, due on 15 March 2026, quoting IW-2026-0001."),
            ({"payment_method": "visa •4242"}, "Please pay EUR 1,469.06"),
            (CHARGE, "We will charge EUR 1,469.06 to visa •4242 on 20 March 2026."),
            ({**CHARGE, "settling": Settling.PROCESSING}, "EUR 1,469.06 is being collected with visa •4242."),
            ({**CHARGE, "settling": Settling.CONFIRM}, "Your bank wants you to confirm the payment of EUR 1,469.06"),
            (DECLINED, "The payment with visa •4242 was declined. Please name another payment method"),
            ({"seller": WITH_BANK}, "quoting IW-2026-0001, to IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFFXXX A Bank"),
            ({**DECLINED, "seller": WITH_BANK}, "was declined. Please transfer EUR 1,469.06, due on 15 March 2026"),
            ({"standing": Standing.PAID, "paid_on": date(2026, 3, 2)}, "Paid on 2 March 2026. "),
            ({"standing": Standing.PAID}, "This invoice is paid."),
            ({"total": "-28.79", "amount_due": "0", "standing": Standing.PAID}, "EUR 28.79 in your favour"),
            ({"credits_applied": "1469.06", "amount_due": "0"}, "Settled from your credit balance."),
            ({"standing": Standing.VOID}, "This invoice has been cancelled."),
            ({"standing": Standing.WRITTEN_OFF}, "This invoice is closed."),
            ({"standing": Standing.DRAFT, "number": None}, "This is a draft."),
        ],
    )
    def test_says_how_it_stands(self, changes: dict[str, object], expected: str):
        document = replace(INVOICE, **changes)
        assert expected.replace(" ", "") in text_of(document).replace("\n", "").replace(" ", "")

    def test_gives_the_account_only_to_who_is_to_transfer(self):
        for changes in (CHARGE, {"standing": Standing.PAID}, {"standing": Standing.VOID}):
            assert "IBAN" not in text_of(replace(INVOICE, seller=WITH_BANK, **changes))

    def test_that_is_paid_ends_in_nothing_due(self):
        runs = runs_of(replace(INVOICE, standing=Standing.PAID, paid_on=date(2026, 3, 2)))
        assert {"Paid on 2 March 2026", "−1,469.06", "0.00"} <= set(runs)

    def test_in_an_unknown_currency_or_with_too_many_decimals_is_refused(self):
        with pytest.raises(InvalidInput):
            render_invoice(replace(INVOICE, currency="XXX"))
        with pytest.raises(InvalidInput):
            render_invoice(replace(INVOICE, total="1.234"))


class TestManyPages:
    def test_repeat_the_head_of_the_table_and_count_themselves(self):
        printed = pages(render_invoice(with_lines(60)))
        assert len(printed) > 2
        for number, text in enumerate(printed, start=1):
            assert "DESCRIPTION" in text
            assert f"Page {number} of {len(printed)}" in text
        assert all("Invoice IW-2026-0001" in text for text in printed[1:])

    @pytest.mark.parametrize("count", range(1, 37))
    def test_totals_stand_with_the_last_line_and_discounts_with_theirs(self, count: int):
        for text in pages(render_invoice(with_lines(count))):
            runs = [run.strip() for run in text.split("\n")]
            assert (f"line-{count}" in runs) == ("Subtotal" in runs) == ("1,469.06" in runs)
            assert all((f"line-{index}" in runs) == (f"less-{index}" in runs) for index in range(3, count + 1, 3))

    def test_a_row_taller_than_a_page_breaks_and_loses_nothing(self):
        words = [f"word{index}" for index in range(1500)]
        text = text_of(replace(INVOICE, lines=(replace(LINE, description=" ".join(words)),)))
        assert set(words) <= set(text.split())
        assert "Subtotal" in text

    def test_a_hundred_discounts_lose_nothing(self):
        less = [DocumentLine(description=f"less-{i}", amount="-1.00", is_discount=True) for i in range(100)]
        runs = runs_of(replace(INVOICE, lines=(LINE, *less)))
        assert {line.description for line in less} | {"Subtotal"} <= set(runs)


class TestAQuote:
    def test_says_what_is_offered(self):
        text = text_of(QUOTE)
        for expected in (
            "Quote",
            "q1",
            "28 February 2026",
            "All access",
            "12 months, renews by itself",
            "10% off for the first 3 periods",
            "Membership",
            "49.00",
            "per month",
            "0.000042",
            "Beyond that: by agreement",
            "529.20",
            "−58.80",
            "Prices are net of tax.",
            "Usage is billed in arrears.",
            "We accept quote q1 of Iron Works Ltd",
            "Signature",
        ):
            assert expected in text, expected

    def test_speaks_german(self):
        text = text_of(replace(QUOTE, language=Language.DE))
        for expected in ("Angebot", "28. Februar 2026", "49,00", "529,20 EUR", "Unterschrift"):
            assert expected in text, expected

    def test_once_accepted_names_who_accepted_and_asks_for_no_signature(self):
        text = text_of(replace(QUOTE, accepted_by="Ada Lovelace", accepted_on=date(2026, 2, 2)))
        assert "Accepted by Ada Lovelace on 2 February 2026." in text
        assert "Signature" not in text

    def test_needs_neither_prices_nor_estimate_nor_terms(self):
        bare = replace(QUOTE, lines=(QuoteLine(plan="Bare", quantity="1"),), estimate=None, terms="")
        assert "Bare" in runs_of(bare)


class TestWhatOthersWrote:
    @pytest.mark.parametrize("language", Language)
    def test_comes_out_as_the_text_it_is(self, language: Language):
        seller, customer = replace(SELLER, legal_name=HOSTILE), Buyer(name=HOSTILE, country="<#>", tax_id=HOSTILE)
        line, notes = replace(LINE, description=HOSTILE), (HOSTILE,)
        invoice = replace(
            INVOICE, language=language, seller=seller, customer=customer, lines=(line,), notes=notes, reference=HOSTILE
        )
        quote = replace(QUOTE, language=language, seller=seller, customer=customer, terms=HOSTILE, accepted_by=HOSTILE)
        for document in (invoice, quote):
            text = re.sub(r"\s", "", text_of(document))
            assert text.count(re.sub(r"\s", "", HOSTILE)) >= 4

    def test_may_hold_characters_that_no_paper_has(self):
        text = text_of(replace(INVOICE, customer=replace(ADA, name="A\x00d\u202ea\ud800\n東京 👍🏽 Zoë Ωmega Жук")))
        assert "Ada?DongJing:thumbsup:ZoëΩmegaЖук" in re.sub(r"\s", "", text).replace("A d a", "Ada")

    def test_never_prints_as_boxes(self):
        letters = map(chr, [*range(0x20, 0x3100), *range(0xAC00, 0xAC40), *range(0xF900, 0x10000, 7), 0x1F600, 0x20000])
        words = " ".join(("א" if "\u0590" <= letter < "\u0600" else "a") + letter for letter in letters)
        assert MISSING not in text_of(replace(INVOICE, lines=(replace(LINE, description=words),)))

    def test_of_any_length_is_copied_without_invisible_characters(self):
        number = "IW-" + "0123456789" * 12
        text = text_of(replace(INVOICE, number=number)).replace("\n", "")
        assert number in text
        assert "\N{ZERO WIDTH SPACE}" not in text


class TestTheSameDocument:
    @pytest.mark.parametrize("language", Language)
    def test_gives_the_same_bytes(self, language: Language):
        invoice, quote = replace(INVOICE, language=language), replace(QUOTE, language=language)
        assert render_invoice(invoice) == render_invoice(invoice)
        assert render_quote(quote) == render_quote(quote)

    def test_gives_the_same_bytes_in_many_threads(self):
        document = with_lines(30)
        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(render_invoice, [document] * 16))) == 1

    def test_is_dated_by_itself(self):
        assert b"CreationDate(D:20260301000000Z)" in render_invoice(INVOICE)

    def test_needs_no_font_of_the_machine(self):
        names = re.findall(rb"/BaseFont/[A-Z]{6}\+(\w+)", render_invoice(INVOICE) + render_quote(QUOTE))
        assert set(names) == {b"LibertinusSerif"}


class TestWording:
    def test_every_language_has_the_same_sentences_with_the_same_blanks(self):
        blanks = [
            {
                key: {name for _, name, _, _ in Formatter().parse(text) if name}
                for key, text in Voice(language, "EUR").words.items()
                if key not in {"day", "within_month", "within_year"}
            }
            for language in Language
        ]
        assert all(one == blanks[0] for one in blanks)

    @pytest.mark.parametrize(
        ("starts_on", "ends_on", "english", "german"),
        [
            (date(2026, 3, 1), date(2026, 4, 1), "1 – 31 March 2026", "1.–31. März 2026"),
            (date(2026, 3, 15), date(2026, 4, 15), "15 March – 14 April 2026", "15. März – 14. April 2026"),
            (date(2025, 12, 15), date(2026, 1, 15), "15 December 2025 – 14 January 2026", None),
            (date(2026, 3, 1), date(2026, 3, 2), "1 March 2026", "1. März 2026"),
            (date(2026, 3, 1), date(2026, 3, 1), "1 March 2026", "1. März 2026"),
        ],
    )
    def test_a_period_is_named_by_its_first_and_last_day(
        self, starts_on: date, ends_on: date, english: str, german: str | None
    ):
        period = Period(starts_on, ends_on)
        assert Voice(Language.EN, "EUR").span(period) == english
        assert german in {None, Voice(Language.DE, "EUR").span(period)}
