"""Wording: how a document's language writes labels, sentences, numbers, money and dates.

The words stand in templates/words.json, one sentence with blanks per key, the same keys in every language; the names of
countries in templates/countries.json. A language is added there, and in `domain.document.Language`.
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

from domain.calendar import Period
from domain.catalog import Bank
from domain.document import Language, Settling
from domain.money import Money, exponent, plain

TEMPLATES = Path(__file__).parent / "templates"
NO_BREAK = "\N{NO-BREAK SPACE}"

_MINUS = "\N{MINUS SIGN}"
_WORDS = cast("dict[str, dict[str, str]]", json.loads((TEMPLATES / "words.json").read_text("utf-8")))
_COUNTRIES = cast("dict[str, dict[str, str]]", json.loads((TEMPLATES / "countries.json").read_text("utf-8")))


@dataclass(frozen=True, slots=True)
class Voice:
    """How one language writes amounts of one currency, dates and sentences."""

    language: Language
    currency: str

    @property
    def words(self) -> dict[str, str]:
        """Every label and sentence by its key."""
        return _WORDS[self.language]

    def word(self, key: str, **parts: str) -> str:
        """The label or sentence under `key`, its blanks filled with `parts`."""
        return self.words[key].format_map(parts)

    def number(self, text: str) -> str:
        """A decimal string with grouping and decimal sign: "1,234.50", "1.234,50"."""
        signs = {",": self.word("group"), ".": self.word("point"), "-": _MINUS}
        return f"{Decimal(text):,f}".translate(str.maketrans(signs))

    def amount(self, text: str) -> str:
        """An amount without its currency."""
        return self.number(Money.parsed(text, self.currency).text)

    def money(self, text: str) -> str:
        """An amount with its currency, never parted at a line's end."""
        return self.word("money", currency=self.currency, amount=self.amount(text)).replace(" ", NO_BREAK)

    def price(self, text: str) -> str:
        """A unit price: at least the currency's decimals, and as many more as it needs."""
        whole, _, decimals = plain(Decimal(text)).partition(".")
        decimals = decimals.ljust(exponent(self.currency), "0")
        return self.number(f"{whole}.{decimals}" if decimals else whole)

    def quantity(self, text: str) -> str:
        """A quantity without trailing zeros."""
        return self.number(plain(Decimal(text)))

    def percent(self, rate: str) -> str:
        """A rate given as a fraction: "19%", "19 %"."""
        return self.word("percent", rate=self.quantity(str(Decimal(rate) * 100))).replace(" ", NO_BREAK)

    def day(self, on: date, *, short: bool = False) -> str:
        """A date in words, its month cut short where space is dear."""
        return self.word("day", day=str(on.day), month=self._month(on, short=short), year=str(on.year))

    def span(self, period: Period, *, short: bool = False) -> str:
        """A period by its first and its last day: 1 – 31 March 2026. A period of no more than a day is that day."""
        first, last = period.starts_on, max(period.starts_on, period.ends_on - timedelta(days=1))
        month, month_after = self._month(first, short=short), self._month(last, short=short)
        if first == last:
            return self.day(first, short=short)
        if first.year != last.year:
            return f"{self.day(first, short=short)} – {self.day(last, short=short)}"
        if first.month != last.month:
            days = {"day": str(first.day), "month": month, "day_after": str(last.day), "month_after": month_after}
            return self.word("within_year", **days, year=str(last.year))
        return self.word("within_month", first=str(first.day), last=str(last.day), month=month, year=str(last.year))

    def _month(self, on: date, *, short: bool) -> str:
        return self.word("months_short" if short else "months").split()[on.month - 1]

    def asked(
        self,
        settling: Settling,
        *,
        amount: str,
        number: str,
        method: str | None,
        due_on: date,
        charged_on: date | None,
        bank: Bank | None,
    ) -> list[str]:
        """The sentences that say how an open invoice will be settled."""
        on = charged_on if settling is Settling.CHARGE and charged_on else due_on
        method = method or self.word("your_method")
        parts = {"amount": self.money(amount), "number": number, "method": method, "date": self.day(on)}
        if settling in {Settling.CHARGE, Settling.PROCESSING, Settling.CONFIRM}:
            return self.word(f"{settling}_note", **parts).split("\n")
        declined = settling is Settling.DECLINED
        said = [self.word("declined_note", **parts)] if declined else []
        if bank is None:
            return [*said, self.word("name_another" if declined else "please_pay", **parts)]
        return [*said, self.word("please_transfer", **parts), *_account(bank)]

    def country(self, code: str) -> str:
        """A country's name; the code itself where it is none we know."""
        return _COUNTRIES.get(code.upper(), {}).get(self.language, code)


def _account(bank: Bank) -> list[str]:
    """An account, its IBAN in groups of four."""
    iban = bank.iban.replace(" ", "")
    groups = [iban[at : at + 4] for at in range(0, len(iban), 4)]
    numbers = {"IBAN": " ".join(groups), "BIC": bank.bic}
    return [f"{name} {number}".replace(" ", NO_BREAK) for name, number in numbers.items() if number] + (
        [bank.name] if bank.name else []
    )
