"""Documents: invoices and quotes as PDF, set by typst from the templates beside this file.

    InvoiceDocument ──view: every string ready to print──> JSON ──> invoice.typ on letterhead.typ ──> PDF

`providers.wording` words dates, numbers and sentences, the templates only place them. What a customer wrote reaches
typst as JSON data, never as source, so that a customer called `#panic()` is text. The same document gives the same
bytes: the only clock is the document's own date, the only fonts are those embedded in typst (`providers.glyphs`).

Rendering is pure computation, some ten milliseconds for a page and eighty for sixty lines. It lets go of the
interpreter lock and is safe in any thread, so an async caller hands it to one.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import cast

import typst

from domain.catalog import Entity
from domain.customer import Buyer
from domain.document import (
    DocumentLine,
    DocumentTax,
    InvoiceDocument,
    QuoteDocument,
    QuoteLine,
    Settling,
    Standing,
)
from providers.glyphs import readable
from providers.wording import NO_BREAK, TEMPLATES, Voice

View = dict[str, object]

_FONTS = typst.Fonts(include_system_fonts=False)

# What is kept together must fit on a page, or it would run off its foot: taller than this, it may break after all.
_KEPT_LINES = 28
_NARROWEST_LINE = 24

# Notes no longer than this stand beside the totals, so that a page is never begun for them alone.
_ASIDE_CHARACTERS = 400


def render_invoice(document: InvoiceDocument) -> bytes:
    """The invoice as a PDF. Raises InvalidInput for an unknown currency or an amount with more decimals than it has."""
    return _pdf("invoice.typ", _invoice_view(document), document.issued_on)


def render_quote(document: QuoteDocument) -> bytes:
    """The quote as a PDF. Raises InvalidInput for an unknown currency or an amount with more decimals than it has."""
    return _pdf("quote.typ", _quote_view(document), document.issued_on)


def _pdf(template: str, view: View, dated: date) -> bytes:
    # A compiler is cheap beside its fonts, which are shared, and must not be used by two threads at once.
    compiler = typst.Compiler(TEMPLATES / template, root=TEMPLATES, font_paths=_FONTS, ignore_system_fonts=True)
    pdf = compiler.compile(
        format="pdf",
        sys_inputs={"view": json.dumps(_printable(view))},
        timestamp=datetime.combine(dated, time.min, tzinfo=UTC),
    )
    return cast("bytes", pdf)


def _printable(value: object) -> object:
    """The same view without what paper has not."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in cast("View", value).items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in cast("Sequence[object]", value)]
    return value


def _aligned(numbers: Iterable[str | None], voice: Voice) -> list[View | None]:
    """The cells of one column, each with the digits it lacks behind the decimal sign, so that the signs align."""
    point = voice.word("point")
    shown = list(numbers)
    tails = [(text or "").partition(point)[2] for text in shown]
    longest = max(map(len, tails), default=0)
    cells: list[View | None] = []
    for text, tail in zip(shown, tails, strict=True):
        pad = "0" * (longest - len(tail))
        pad = pad if tail or not pad else point + pad
        cells.append(None if text is None else {"text": text, "pad": pad})
    return cells


def _sheet_view(document: InvoiceDocument | QuoteDocument, voice: Voice, title: str) -> View:
    """What the letterhead needs of either document."""
    seller, customer = document.seller, document.customer
    name = " ".join(part for part in (title, document.number) if part)
    return {
        "language": document.language.value,
        "words": voice.words,
        "title": title,
        "number": document.number,
        "document_title": f"{name} · {seller.legal_name}",
        "running": {
            "document": _clipped(f"{name}  ·  {seller.legal_name}", 80),
            "customer": _clipped(customer.name, 50),
        },
        "seller": _seller_view(seller, voice),
        "customer": _customer_view(customer, voice),
        "imprint": "  ·  ".join(filter(None, (_clipped(seller.legal_name, 90), _tax_id(seller.tax_id, voice)))),
    }


def _seller_view(seller: Entity, voice: Voice) -> View:
    return {"name": seller.legal_name, "address": [*seller.address, voice.country(seller.country)]}


def _customer_view(customer: Buyer, voice: Voice) -> View:
    address = (*customer.address, voice.country(customer.country), _tax_id(customer.tax_id, voice))
    return {"name": customer.name, "address": [line for line in address if line]}


def _tax_id(tax_id: str | None, voice: Voice) -> str | None:
    """A tax id with what it is: one that begins with a country's letters is a VAT id."""
    if not tax_id:
        return None
    return f"{voice.word('vat_id' if tax_id[:2].isalpha() else 'tax_id')}{NO_BREAK}{tax_id}"


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _invoice_view(document: InvoiceDocument) -> View:
    voice = Voice(document.language, document.currency)
    payable = Decimal(document.amount_due) > 0 and document.standing is not Standing.VOID
    priced = any(line.quantity is not None or line.unit_amount is not None for line in document.lines)
    headline, detail, note = _standing(document, voice)
    shown = document.total if headline in {"void", "draft"} or Decimal(document.total) < 0 else document.amount_due
    facts = [
        (voice.word("issued"), voice.day(document.issued_on)),
        (voice.word("due"), voice.day(document.due_on)) if payable else None,
        (voice.word("period"), voice.span(document.period)) if document.period else None,
        (voice.word("reference"), document.reference) if document.reference else None,
    ]
    totals = _invoice_totals(document, voice)
    beside = sum(_NARROWEST_LINE + len(note) for note in document.notes)
    beside = beside if beside <= _ASIDE_CHARACTERS else 0
    said = note.split("\n")
    spoken = sum(1 + len(sentence) // _NARROWEST_LINE for sentence in said) + beside // _NARROWEST_LINE
    middle = [voice.word("quantity"), voice.word("unit_amount")] if priced else []
    return _sheet_view(document, voice, voice.word("invoice")) | {
        "addressee_label": voice.word("billed_to"),
        "facts": [fact for fact in facts if fact],
        "headline": {
            "label": voice.word(headline),
            "figure": voice.money(shown.removeprefix("-") if headline == "credit" else shown),
            "detail": detail,
        },
        "columns": ["", "", voice.word("description"), *middle, f"{voice.word('amount')} {document.currency}"],
        "has_quantities": priced,
        "groups": _groups(document.lines, max(len(totals), spoken), voice),
        "totals": totals,
        "payment_note": said,
        "asides": document.notes if beside else (),
        "notes": () if beside else document.notes,
    }


def _too_tall(texts: Iterable[str], others: int = 0) -> bool:
    """Whether rows of these texts, with so many other lines, might not fit on one page."""
    return others + sum(1 + len(text) // _NARROWEST_LINE for text in texts) > _KEPT_LINES


def _groups(lines: Sequence[DocumentLine], closing: int, voice: Voice) -> list[View]:
    """The rows by position: a line and the discounts that follow it; `closing` rows of totals stand with the last."""
    quantities = _aligned((line.quantity and voice.quantity(line.quantity) for line in lines), voice)
    prices = _aligned((line.unit_amount and voice.price(line.unit_amount) for line in lines), voice)
    amounts = _aligned((voice.amount(line.amount) for line in lines), voice)
    groups: list[list[View]] = []
    for line, quantity, price, amount in zip(lines, quantities, prices, amounts, strict=True):
        span = voice.span(line.period, short=True) if line.period else ""
        days = voice.word("prorated", days=str(line.prorated[0]), of=str(line.prorated[1])) if line.prorated else ""
        row: View = {
            "description": line.description,
            "detail": "  ·  ".join(filter(None, (span, days))) or None,
            "quantity": quantity,
            "unit_amount": price,
            "amount": amount,
            "discount": line.is_discount,
        }
        if line.is_discount and groups:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [
        {
            "position": index + 1,
            "rows": rows,
            "last": index + 1 == len(groups),
            "breakable": _too_tall(
                (str(row["description"]) for row in rows), closing if index + 1 == len(groups) else 0
            ),
        }
        for index, rows in enumerate(groups)
    ]


def _sum(label: str, amount: str, voice: Voice, *, weight: int = 0) -> View:
    """A row of the totals; by `weight` 0 a summand, 1 a sum on the way, 2 the sum that counts."""
    return {"label": label, "amount": voice.amount(amount), "currency": voice.currency, "weight": weight}


def _negated(text: str) -> str:
    return str(-Decimal(text))


def _discounted(subtotal: str, discount: str, taxes: Sequence[DocumentTax], voice: Voice) -> list[View]:
    """The sums between the lines and the total."""
    rows = [_sum(voice.word("subtotal"), subtotal, voice)]
    if Decimal(discount):
        rows.append(_sum(voice.word("discount"), _negated(discount), voice))
    for tax in taxes:
        name = tax.name or voice.word("vat")
        label = voice.word("tax", name=name, rate=voice.percent(tax.rate), base=voice.amount(tax.base))
        rows.append(_sum(label, tax.amount, voice))
    return rows


def _invoice_totals(document: InvoiceDocument, voice: Voice) -> list[View]:
    """From the subtotal to what remains: balance and payment are taken off the total, one row each."""
    paid = document.standing is Standing.PAID and Decimal(document.amount_due) > 0
    settled: list[View] = []
    if Decimal(document.credits_applied):
        settled.append(_sum(voice.word("credits_applied"), _negated(document.credits_applied), voice))
    if paid:
        on = voice.word("paid_row", date=voice.day(document.paid_on)) if document.paid_on else voice.word("paid")
        settled.append(_sum(on, _negated(document.amount_due), voice))
    rows = _discounted(document.subtotal, document.discount, document.taxes, voice)
    rows.append(_sum(voice.word("total"), document.total, voice, weight=1 if settled else 2))
    if not settled:
        return rows
    label, left = ("balance", "0") if paid else ("amount_due", document.amount_due)
    return [*rows, *settled, _sum(voice.word(label), left, voice, weight=2)]


def _standing(document: InvoiceDocument, voice: Voice) -> tuple[str, str, str]:
    """What the invoice asks of its reader: the key of its headline, the phrase beside it, the sentence at its end."""
    standing = document.standing
    if standing in {Standing.DRAFT, Standing.VOID, Standing.WRITTEN_OFF}:
        return standing.value, voice.word(f"{standing}_detail"), voice.word(f"{standing}_note")
    if Decimal(document.total) < 0:
        amount = voice.money(_negated(document.total))
        return "credit", voice.word("in_your_favour"), voice.word("credit_note", amount=amount)
    if Decimal(document.amount_due) == 0:
        if Decimal(document.credits_applied):
            return "nothing_due", voice.word("from_balance"), voice.word("from_balance_note")
        return "nothing_due", "", voice.word("nothing_due_note")
    if standing is Standing.PAID:
        return _paid(document, voice)
    return "amount_due", *_asked(document, voice)


def _asked(document: InvoiceDocument, voice: Voice) -> tuple[str, str]:
    """How an open invoice will be settled: in a phrase, and in the sentences at its end."""
    sentences = voice.asked(
        document.settling,
        amount=document.amount_due,
        number=document.number or "",
        method=document.payment_method,
        due_on=document.due_on,
        charged_on=document.charged_on,
        bank=document.seller.bank,
    )
    phrase = voice.word("due_on", date=voice.day(document.due_on))
    if document.settling is Settling.CHARGE and document.payment_method:
        on = voice.day(document.charged_on or document.due_on)
        phrase = voice.word("charged", method=document.payment_method, date=on)
    elif document.settling is Settling.PROCESSING:
        phrase = voice.word("processing")
    return phrase, "\n".join(sentences)


def _paid(document: InvoiceDocument, voice: Voice) -> tuple[str, str, str]:
    if document.paid_on is None:
        return "paid", "", voice.word("paid_in_full")
    on = voice.day(document.paid_on)
    if document.payment_method is None:
        return "paid", voice.word("on", date=on), voice.word("paid_on", date=on)
    parts = {"date": on, "method": document.payment_method}
    return "paid", voice.word("on_with", **parts), voice.word("paid_on_with", **parts)


def _quote_view(document: QuoteDocument) -> View:
    voice = Voice(document.language, document.currency)
    facts = [(voice.word("issued"), voice.day(document.issued_on))]
    first = voice.word("first_invoice", amount=voice.money(document.estimate.total)) if document.estimate else ""
    if document.reference:
        facts.append((voice.word("reference"), document.reference))
    return _sheet_view(document, voice, voice.word("quote")) | {
        "addressee_label": voice.word("prepared_for"),
        "facts": facts,
        "headline": {"label": voice.word("valid_until"), "figure": voice.day(document.valid_until), "detail": first},
        "columns": ["", voice.word("plan"), voice.word("quantity")],
        "price_column": f"{voice.word('list_price')} {document.currency}",
        "offers": _offers(document.lines, voice),
        "estimate": _estimate_view(document, voice),
        "terms": [part for part in document.terms.split("\n\n") if part.strip()],
        "acceptance": _acceptance(document, voice),
        "unsigned": document.accepted_by is None,
    }


def _offers(lines: Sequence[QuoteLine], voice: Voice) -> list[View]:
    """The plans on offer; quantities and prices aligned over all of them."""
    quantities = _aligned((voice.quantity(line.quantity) for line in lines), voice)
    prices = [price for line in lines for price in line.prices]
    figures = iter(_aligned((price.amount and voice.price(price.amount) for price in prices), voice))
    nothing: View = {"description": "", "amount": None, "unit": "", "part": False}
    return [
        {
            "plan": line.plan,
            "quantity": quantity,
            "remarks": line.remarks,
            "discounts": line.discounts,
            "prices": [
                {
                    "description": price.description,
                    "amount": next(figures),
                    "unit": price.unit or "",
                    "part": price.is_part,
                }
                for price in line.prices
            ]
            or [nothing],
            "breakable": _too_tall((line.plan, *line.remarks, *line.discounts))
            or _too_tall(price.description for price in line.prices),
        }
        for line, quantity in zip(lines, quantities, strict=True)
    ]


def _estimate_view(document: QuoteDocument, voice: Voice) -> View | None:
    estimate = document.estimate
    if estimate is None:
        return None
    rows = _discounted(estimate.subtotal, estimate.discount, estimate.taxes, voice)
    total = _sum(voice.word("total"), estimate.total, voice, weight=2)
    return {
        "breakable": len(rows) > _KEPT_LINES,
        "issued_on": voice.day(estimate.issued_on) if estimate.issued_on else "",
        "totals": [*rows, total],
    }


def _acceptance(document: QuoteDocument, voice: Voice) -> str:
    if document.accepted_by is None:
        return voice.word("accept_sentence", number=document.number, seller=document.seller.legal_name)
    if document.accepted_on is None:
        return voice.word("accepted_sentence_undated", name=document.accepted_by)
    return voice.word("accepted_sentence", name=document.accepted_by, date=voice.day(document.accepted_on))
