"""Phrases: what a quote says in words, in the document's language. A language is a row more in each table."""

from dataclasses import dataclass
from decimal import Decimal

from domain.catalog import Interval, Plan
from domain.discount import Discount
from domain.document import Language
from domain.money import plain

_EN, _DE = Language.EN, Language.DE
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
        "package": "per {size}, packages begun",
        "committed": "committed minimum",
        "graduated": "graduated prices, each unit at its own tier's",
        "volume": "volume prices, all units at the tier reached",
        "percentage": "a percentage of the value",
        "graduated_percentage": "a graduated percentage of the value",
        "matrix": "by kind of use",
        "dynamic": "as priced with each use",
        "percent": "{percent}% off",
        "amount": "{amount} {currency} off per period",
        "first": "{off} for the first {count} periods",
        "first_one": "{off} for the first period",
        "term": "{length}",
        "renews": "{length}, renews by itself",
        "net": "Prices are net of tax.",
        "gross": "Prices include tax.",
        "usage": "Usage is billed in arrears.",
    },
    _DE: {
        "per": "pro {unit}",
        "every": "alle {count} {units}",
        "once": "einmalig",
        "each": "je Einheit",
        "package": "je {size}, angefangene Pakete",
        "committed": "zugesagtes Minimum",
        "graduated": "gestaffelt, jede Einheit zum Preis ihrer Stufe",
        "volume": "Mengenpreis, alle Einheiten zum Preis der erreichten Stufe",
        "percentage": "ein Prozentsatz des Werts",
        "graduated_percentage": "ein gestaffelter Prozentsatz des Werts",
        "matrix": "nach Merkmalen",
        "dynamic": "zum Preis der einzelnen Nutzung",
        "percent": "{percent} % Rabatt",
        "amount": "{amount} {currency} Rabatt je Periode",
        "first": "{off} für die ersten {count} Perioden",
        "first_one": "{off} für die erste Periode",
        "term": "{length}",
        "renews": "{length}, verlängert sich von selbst",
        "net": "Alle Preise verstehen sich netto.",
        "gross": "Alle Preise enthalten die Steuer.",
        "usage": "Nutzung wird nachträglich abgerechnet.",
    },
}


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of one language."""

    language: Language

    @property
    def once(self) -> str:
        """Charged once."""
        return self._say("once")

    @property
    def each(self) -> str:
        """For each unit."""
        return self._say("each")

    @property
    def committed(self) -> str:
        """At least so much."""
        return self._say("committed")

    def every(self, interval: Interval, count: int) -> str:
        """How often it is charged."""
        unit, units = _UNITS[self.language][interval]
        return self._say("per", unit=unit) if count == 1 else self._say("every", count=str(count), units=units)

    def packages_of(self, size: str) -> str:
        """For each package begun."""
        return self._say("package", size=size)

    def by_model(self, model: str) -> str:
        """How a model prices that has no single price."""
        return self._say(model)

    def discount(self, less: Discount, currency: str) -> str:
        """A discount and how long it lasts."""
        if less.percent is not None:
            off = self._say("percent", percent=plain(less.percent))
        else:
            off = self._say("amount", amount=plain(less.amount or Decimal(0)), currency=currency)
        if less.periods is None:
            return off
        return self._say("first_one" if less.periods == 1 else "first", off=off, count=str(less.periods))

    def term(self, plan: Plan) -> str | None:
        """How long it is sold for; None for what runs until it is cancelled."""
        if plan.term is None:
            return None
        unit, units = _UNITS[self.language][plan.interval]
        count = plan.term.intervals * plan.interval_count
        length = f"{count} {unit if count == 1 else units}"
        return self._say("renews" if plan.term.auto_renew else "term", length=length)

    def terms(self, *, inclusive: bool, metered: bool) -> str:
        """The paragraphs below the offer."""
        said = [self._say("gross" if inclusive else "net")]
        return "\n\n".join([*said, self._say("usage")] if metered else said)

    def _say(self, key: str, **parts: str) -> str:
        return _SAYS[self.language][key].format_map(parts)
