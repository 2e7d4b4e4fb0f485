"""Money: whole minor units of one currency; a fraction of a minor unit never leaves `rounded` and `allocated`.

Prices, quantities and rates are `Decimal` at the edges and exact `Fraction` while they are multiplied, so that an amount is
rounded once, when its line is made: half up, that is away from zero at .5 (contract section 1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from domain.errors import CurrencyMismatch, InvalidInput

# ISO 4217 currencies whose minor unit is not a hundredth.
_EXPONENTS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_HUNDREDTHS = frozenset(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC "
    "CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES "
    "KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR "
    "NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT "
    "TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG".split()
)

CURRENCIES = frozenset(_EXPONENTS) | _HUNDREDTHS


def exponent(currency: str) -> int:
    """How many decimals `currency` (ISO 4217) has. Raises InvalidInput for a code that is none."""
    if currency not in CURRENCIES:
        raise InvalidInput(f"{currency!r} is not an ISO 4217 currency")
    return _EXPONENTS.get(currency, 2)


def round_half_up(exact: Fraction) -> int:
    """The whole number nearest to `exact`, away from zero at .5."""
    magnitude = (abs(exact) * 2 + 1) // 2
    return int(magnitude) if exact >= 0 else -int(magnitude)


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """`minor` whole units of `currency`: cents, yen, fils. Negative means that we owe the customer."""

    minor: int
    currency: str

    @classmethod
    def zero(cls, currency: str) -> "Money":
        """Nothing, in `currency`."""
        return cls(0, currency)

    @classmethod
    def rounded(cls, major: Fraction, currency: str) -> "Money":
        """An exact amount in major units, rounded half up to whole minor units. The one rounding there is."""
        return cls(round_half_up(major * 10 ** exponent(currency)), currency)

    @classmethod
    def parsed(cls, text: str | Decimal, currency: str) -> "Money":
        """Read a decimal string in major units. Raises InvalidInput when it has more decimals than the currency."""
        scaled = Fraction(text) * 10 ** exponent(currency)
        if scaled.denominator != 1:
            raise InvalidInput(f"{text} has more decimals than {currency} allows")
        return cls(int(scaled), currency)

    @property
    def text(self) -> str:
        """Decimal string in major units with exactly the currency's decimals: "12.30", "1200", "1.234"."""
        return _pointed(self.minor, exponent(self.currency))

    @property
    def exact(self) -> Fraction:
        """The amount in major units."""
        return Fraction(self.minor, 10 ** exponent(self.currency))

    def __add__(self, other: "Money") -> "Money":
        """Sum of two amounts of one currency. Raises CurrencyMismatch."""
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} + {other.currency}")
        return Money(self.minor + other.minor, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return self + -other

    def scaled(self, factor: Fraction) -> "Money":
        """The amount times `factor`, rounded once."""
        return Money(round_half_up(self.minor * factor), self.currency)

    def allocated(self, weights: Sequence[int]) -> list["Money"]:
        """Split by `weights` (non-negative, not all zero) so that the parts add up to exactly this amount.

        Largest remainder: each part gets its floor, what is left goes one unit each to the largest remainders, the
        earliest first on a tie. A negative amount is split as its positive twin.
        """
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise ValueError("weights must be non-negative and not all zero")
        if self.minor < 0:
            return [-part for part in (-self).allocated(weights)]
        shares = [divmod(self.minor * weight, whole) for weight in weights]
        parts = [floor for floor, _ in shares]
        by_remainder = sorted(range(len(shares)), key=lambda index: -shares[index][1])
        for index in by_remainder[: self.minor - sum(parts)]:
            parts[index] += 1
        return [Money(part, self.currency) for part in parts]


def _pointed(whole: int, places: int) -> str:
    """`whole` units of the last of `places` decimals, as a decimal string; exact at any size."""
    digits = f"{abs(whole):0{places + 1}d}"
    sign = "-" if whole < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def total(amounts: Iterable[Money], currency: str) -> Money:
    """Sum of `amounts`; zero in `currency` when there are none."""
    return sum(amounts, Money.zero(currency))


def plain(value: Decimal | Fraction) -> str:
    """A quantity as a decimal string without exponent or trailing zeros: "3", "0.5".

    A fraction that has no finite decimal form (a third of a unit) is shown to twelve decimals; it is never computed with.
    """
    text = _pointed(round_half_up(value * 10**12), 12) if isinstance(value, Fraction) else f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def price_text(price: Decimal, currency: str) -> str:
    """A price as a decimal string: the currency's decimals, and more where it has more: "49.00", "0.000042"."""
    whole, _, decimals = plain(price).partition(".")
    decimals = decimals.ljust(exponent(currency), "0")
    return f"{whole}.{decimals}" if decimals else whole
