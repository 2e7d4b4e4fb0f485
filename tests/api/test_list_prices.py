"""List prices: a buyer reads everything that changes what they will pay."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from string import Formatter

import pytest

from api.list_prices import list_prices
from api.phrases import _SAYS, _UNITS, Phrases
from api.price_book import price_book
from domain.catalog import Interval, Plan, Term
from domain.document import Language

METERS = [{"key": "hours", "event": "booked", "aggregation": "sum", "value": "hours", "group_by": ["court", "peak"]}]
TIERS = [{"up_to": 10, "unit_amount": "1.5"}, {"up_to": 1000, "unit_amount": "1", "flat_amount": 5}, {"up_to": None}]
RATES = [{"up_to": "1000.5", "rate": "0.029"}, {"up_to": None, "rate": "0.02", "flat_amount": "3"}]
SEATS, USED = {"timing": "advance"}, {"timing": "arrears", "meter": "hours"}


def plan(*charges: dict) -> Plan:
    written = [{"key": "courts", "name": "Courts"} | charge for charge in charges]
    plans = [{"key": "p", "name": "P", "currency": "EUR", "charges": written}]
    entity = {"key": "gym", "legal_name": "Gym", "country": "DE"}
    return price_book({"entity": entity, "meters": METERS, "plans": plans}).plans[0]


def rows(*charges: dict, language: Language = Language.EN) -> list[str]:
    """Each row as it is read, a part with a dash."""
    prices = list_prices(plan(*charges), Phrases(language))
    marked = [("- " if price.is_part else "", price) for price in prices]
    return [mark + " | ".join(filter(None, (row.description, row.amount, row.unit))) for mark, row in marked]


@pytest.mark.parametrize(
    ("charge", "expected"),
    [
        ({"model": "flat", "amount": 49, **SEATS}, ["Courts | 49.00 | per month"]),
        ({"model": "flat", "amount": 49, "timing": "once"}, ["Courts | 49.00 | once"]),
        ({"model": "per_unit", "unit_amount": "4.5", **SEATS}, ["Courts | 4.50 | each, per month"]),
        ({"model": "per_unit", "unit_amount": "4.5", "quantity": 3, **SEATS}, ["Courts × 3 | 4.50 | each, per month"]),
        (
            {"model": "per_unit", "unit_amount": 4, "included": 1000, "minimum": 10, "maximum": 90, **USED},
            [
                "Courts: the first 1,000 included",
                "Courts | 4.00 | each",
                "Courts: at least | 10.00 | per month",
                "Courts: at most | 90.00 | per month",
            ],
        ),
        (
            {"model": "package", "package_size": 100, "package_amount": 2, **USED},
            ["Courts | 2.00 | per 100, packages begun"],
        ),
        (
            {"model": "graduated", "tiers": TIERS, **USED},
            [
                "Courts: each unit at its own tier's price",
                "- up to 10 | 1.50 | each",
                "- over 10, up to 1,000 | 1.00 | each",
                "- over 10, up to 1,000 | 5.00 | flat",
                "- over 1,000 | 0.00 | each",
            ],
        ),
        (
            {"model": "volume", "tiers": [{"up_to": None, "flat_amount": 5}], **SEATS},
            ["Courts: all units at the price of the tier reached", "- any quantity | 5.00 | flat, per month"],
        ),
        (
            {"model": "percentage", "rate": "0.029", "fixed_per_event": "0.3", "min_per_event": "0.5", **USED},
            ["Courts: 2.9% of the value", "- plus | 0.30 | each", "- at least | 0.50 | each"],
        ),
        (
            {"model": "percentage", "rate": "0.1", "free_events": 5, "free_amount": 1000, "max_per_event": 9, **USED},
            ["Courts: 10% of the value", "- at most | 9.00 | each", "- the first 5 free, up to a value of 1,000.00"],
        ),
        (
            {"model": "percentage", "rate": "0.1", "free_events": 5, **USED},
            ["Courts: 10% of the value", "- the first 5 free"],
        ),
        (
            {"model": "graduated_percentage", "tiers": RATES, **USED},
            [
                "Courts: each part of the value at its own tier's rate",
                "- up to 1,000.5: 2.9%",
                "- over 1,000.5: 2%",
                "- over 1,000.5 | 3.00 | flat",
            ],
        ),
        (
            {
                "model": "matrix",
                "dimensions": ["court", "peak"],
                "prices": [
                    {"match": {"court": "1", "peak": "yes"}, "unit_amount": 9},
                    {"match": {"peak": "yes"}, "unit_amount": 7},
                ],
                "default": 5,
                **USED,
            },
            [
                "Courts: by court, peak",
                "- court 1, peak yes | 9.00 | each",
                "- peak yes | 7.00 | each",
                "- any other | 5.00 | each",
            ],
        ),
        ({"model": "dynamic", **USED}, ["Courts: at the price of each use"]),
        ({"model": "dynamic", "multiplier": "1.2", **USED}, ["Courts: at the price of each use, times 1.2"]),
    ],
)
def test_every_charge_says_its_whole_price(charge: dict, expected: list[str]):
    assert rows(charge) == expected


def test_a_commitment_names_what_counts_towards_it():
    base = {"key": "base", "name": "Base", "model": "flat", "amount": 1, **SEATS}
    least = {"key": "least", "name": "Commitment", "model": "commitment", "amount": 500, "timing": "arrears"}
    used = {"model": "per_unit", "unit_amount": 4, **USED}
    assert rows(base, used, {**least, "applies_to": ["base", "courts"]})[-1] == (
        "Commitment: at least, for Base, Courts | 500.00 | per month"
    )


def test_german_writes_numbers_as_germans_do():
    charge = {"model": "graduated_percentage", "tiers": RATES, "included": "1234.5", **USED}
    assert rows(charge, language=Language.DE)[:3] == [
        "Courts: die ersten 1.234,5 enthalten",
        "Courts: jeder Teil des Werts zum Satz seiner Stufe",
        "- bis 1.000,5: 2,9 %",
    ]


FLAT = plan({"model": "flat", "amount": 49, **SEATS})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["runs until it is cancelled"]),
        ({"trial_days": 14}, ["the first 14 days free", "runs until it is cancelled"]),
        ({"term": Term(intervals=12, auto_renew=False)}, ["12 months, then it ends"]),
        (
            {"term": Term(intervals=1, notice_days=30, uplift=Decimal("0.035"))},
            [
                "1 month, renews by itself",
                "notice: 30 days before the term ends",
                "recurring prices rise by 3.5% at each renewal",
            ],
        ),
        ({"duration": timedelta(days=14)}, ["ends by itself after 14 days"]),
        ({"charges": ()}, []),
    ],
)
def test_a_plan_says_how_long_it_runs_and_what_comes_then(changes: dict, expected: list[str]):
    assert list(Phrases(Language.EN).remarks(replace(FLAT, **changes))) == expected


def test_every_language_has_the_same_phrases_with_the_same_blanks():
    blanks = [
        {key: {name for _, name, _, _ in Formatter().parse(text) if name} for key, text in _SAYS[language].items()}
        for language in Language
    ]
    assert all(one == blanks[0] for one in blanks)
    assert all(set(_UNITS[language]) == set(Interval) for language in Language)
