"""Phrases: what a quote says in words, in the document's language. A language is a row more in each table."""

from dataclasses import dataclass
from decimal import Decimal

from domain.catalog import Interval, Plan, Term
from domain.discount import Discount
from domain.document import Language
from domain.money import plain, price_text

_EN, _DE = Language.EN, Language.DE
_SIGNS = {_EN: {}, _DE: str.maketrans(",.", ".,")}
_UNITS = {
    _EN: {
        Interval.DAY: ("day", "days"),
        Interval.WEEK: ("week", "weeks"),
        Interval.MONTH: ("month", "months"),
        Interval.QUARTER: ("quarter", "quarters"),
        Interval.HALF_YEAR: ("half-year", "half-years"),
        Interval.YEAR: ("year", "years"),
    },
    _DE: {
        Interval.DAY: ("Tag", "Tage"),
        Interval.WEEK: ("Woche", "Wochen"),
        Interval.MONTH: ("Monat", "Monate"),
        Interval.QUARTER: ("Quartal", "Quartale"),
        Interval.HALF_YEAR: ("Halbjahr", "Halbjahre"),
        Interval.YEAR: ("Jahr", "Jahre"),
    },
}
_SAYS = {
    _EN: {
        "per": "per {unit}",
        "every": "every {count} {units}",
        "once": "once",
        "each": "each",
        "flat": "flat",
        "package": "per {size}, packages begun",
        "included": "{name}: the first {count} included",
        "minimum": "{name}: at least",
        "maximum": "{name}: at most",
        "up_to": "up to {top}",
        "between": "over {low}, up to {top}",
        "over": "over {low}",
        "any": "any quantity",
        "graduated": "{name}: each unit at its own tier's price",
        "volume": "{name}: all units at the price of the tier reached",
        "graduated_percentage": "{name}: each part of the value at its own tier's rate",
        "tier_rate": "{tier}: {rate}%",
        "percentage": "{name}: {rate}% of the value",
        "fixed": "plus",
        "at_least": "at least",
        "at_most": "at most",
        "free_events": "the first {count} free",
        "free_amount": "free up to a value of {amount}",
        "free_both": "the first {count} free, up to a value of {amount}",
        "matrix": "{name}: by {dimensions}",
        "any_other": "any other",
        "dynamic": "{name}: at the price of each use",
        "multiplied": "{name}: at the price of each use, times {multiplier}",
        "commitment": "{name}: at least, for {charges}",
        "whole_term": "over the term",
        "percent": "{percent}% off",
        "amount": "{amount} {currency} off per period",
        "first": "{off} for the first {count} periods",
        "first_one": "{off} for the first period",
        "term": "{length}, then it ends",
        "renews": "{length}, renews by itself",
        "evergreen": "runs until it is cancelled",
        "notice": "notice: {count} days before the term ends",
        "uplift": "recurring prices rise by {percent}% at each renewal",
        "trial": "the first {count} days free",
        "duration": "ends by itself after {count} days",
        "net": "Prices are net of tax.",
        "gross": "Prices include tax.",
        "usage": "Usage is billed in arrears.",
    },
    _DE: {
        "per": "pro {unit}",
        "every": "alle {count} {units}",
        "once": "einmalig",
        "each": "je Einheit",
        "flat": "pauschal",
        "package": "je {size}, angefangene Pakete",
        "included": "{name}: die ersten {count} enthalten",
        "minimum": "{name}: mindestens",
        "maximum": "{name}: höchstens",
        "up_to": "bis {top}",
        "between": "über {low} bis {top}",
        "over": "über {low}",
        "any": "jede Menge",
        "graduated": "{name}: jede Einheit zum Preis ihrer Stufe",
        "volume": "{name}: alle Einheiten zum Preis der erreichten Stufe",
        "graduated_percentage": "{name}: jeder Teil des Werts zum Satz seiner Stufe",
        "tier_rate": "{tier}: {rate} %",
        "percentage": "{name}: {rate} % des Werts",
        "fixed": "zuzüglich",
        "at_least": "mindestens",
        "at_most": "höchstens",
        "free_events": "die ersten {count} frei",
        "free_amount": "frei bis zu einem Wert von {amount}",
        "free_both": "die ersten {count} frei, bis zu einem Wert von {amount}",
        "matrix": "{name}: nach {dimensions}",
        "any_other": "alle anderen",
        "dynamic": "{name}: zum Preis der einzelnen Nutzung",
        "multiplied": "{name}: zum Preis der einzelnen Nutzung, mal {multiplier}",
        "commitment": "{name}: mindestens, für {charges}",
        "whole_term": "über die Laufzeit",
        "percent": "{percent} % Rabatt",
        "amount": "{amount} {currency} Rabatt je Periode",
        "first": "{off} für die ersten {count} Perioden",
        "first_one": "{off} für die erste Periode",
        "term": "{length}, endet dann",
        "renews": "{length}, verlängert sich von selbst",
        "evergreen": "läuft, bis gekündigt wird",
        "notice": "Kündigung: {count} Tage vor Ende der Laufzeit",
        "uplift": "wiederkehrende Preise steigen mit jeder Verlängerung um {percent} %",
        "trial": "die ersten {count} Tage kostenlos",
        "duration": "endet von selbst nach {count} Tagen",
        "net": "Alle Preise verstehen sich netto.",
        "gross": "Alle Preise enthalten die Steuer.",
        "usage": "Nutzung wird nachträglich abgerechnet.",
    },
}


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of one language."""

    language: Language

    def say(self, key: str, **parts: str) -> str:
        """The phrase under `key`, its blanks filled with `parts`."""
        return _SAYS[self.language][key].format_map(parts)

    def number(self, value: Decimal) -> str:
        """A quantity or rate as the language writes it, without trailing zeros."""
        return self.amount(plain(value))

    def amount(self, text: str) -> str:
        """A decimal string as the language writes it."""
        return f"{Decimal(text):,f}".translate(_SIGNS[self.language])

    def percent(self, fraction: Decimal) -> str:
        """A fraction as hundredths, without the sign."""
        return self.number(fraction * 100)

    def every(self, interval: Interval, count: int) -> str:
        """How often it is charged."""
        unit, units = _UNITS[self.language][interval]
        return self.say("per", unit=unit) if count == 1 else self.say("every", count=str(count), units=units)

    def discount(self, less: Discount, currency: str) -> str:
        """A discount and how long it lasts."""
        if less.percent is not None:
            off = self.say("percent", percent=self.number(less.percent))
        else:
            amount = self.amount(price_text(less.amount or Decimal(0), currency))
            off = self.say("amount", amount=amount, currency=currency)
        if less.periods is None:
            return off
        return self.say("first_one" if less.periods == 1 else "first", off=off, count=str(less.periods))

    def remarks(self, plan: Plan) -> tuple[str, ...]:
        """How long the plan is sold for, and what comes of it then."""
        said = [self.say("trial", count=str(plan.trial_days))] if plan.trial_days else []
        if plan.duration is not None:
            said.append(self.say("duration", count=str(plan.duration.days)))
        elif plan.term is not None:
            said += self._term(plan, plan.term)
        elif plan.recurs:
            said.append(self.say("evergreen"))
        return tuple(said)

    def _term(self, plan: Plan, term: Term) -> list[str]:
        unit, units = _UNITS[self.language][plan.interval]
        count = term.intervals * plan.interval_count
        length = f"{count} {unit if count == 1 else units}"
        if not term.auto_renew:
            return [self.say("term", length=length)]
        said = [self.say("renews", length=length)]
        if term.notice_days:
            said.append(self.say("notice", count=str(term.notice_days)))
        if term.uplift:
            said.append(self.say("uplift", percent=self.percent(term.uplift)))
        return said

    def terms(self, *, inclusive: bool, metered: bool) -> str:
        """The paragraphs below the offer."""
        said = [self.say("gross" if inclusive else "net")]
        return "\n\n".join([*said, self.say("usage")] if metered else said)
