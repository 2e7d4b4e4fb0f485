"""A price book that was read can be applied again, and is the same one."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from api import showing_catalog
from api.price_book import price_book, read_price_book
from api.shapes import duration, duration_text

ROOT = Path(__file__).parents[2]


def written_books():
    """Every price book there is here: files of their own, and those inside scenarios."""
    files = [ROOT / "examples/gym/catalog.yaml", ROOT / "tests/api/price_book.yaml"]
    found = {file.parent.name + "/" + file.name: yaml.safe_load(file.read_text()) for file in files}
    for file in sorted((ROOT / "tests/cases").glob("*scenario*.yaml")):
        content = yaml.safe_load(file.read_text())["catalog"]
        if isinstance(content, dict):
            found[file.stem] = content
    return found


BOOKS = written_books()


def test_there_are_many():
    assert len(BOOKS) > 40


@pytest.mark.parametrize("name", BOOKS)
def test_every_price_book_that_can_be_read_is_shown_as_it_can_be_read_again(name):
    book = price_book(BOOKS[name])
    shown = showing_catalog.price_book(book)
    text = json.dumps(shown)
    assert read_price_book(text) == book
    assert showing_catalog.price_book(read_price_book(text)) == shown


@pytest.fixture
def shown():
    taxes = {"DE": "0.19", "inclusive": True}
    tiers = [{"up_to": "10", "unit_amount": "1.50"}, {"up_to": None, "unit_amount": "0"}]
    charge = {"key": "c", "model": "graduated", "timing": "advance", "tiers": tiers}
    plan = {"key": "p", "name": "P", "currency": "EUR", "usage_grace": "PT0S", "charges": [charge]}
    never = {"retries": [], "reminders": ["P-3D", "P0D", "PT12H"], "suspend_after": None, "write_off_after": None}
    entity = {"key": "e", "legal_name": "E", "country": "DE"}
    written = {"entity": entity, "taxes": taxes, "plans": [plan], "collections": {"default": never}}
    return showing_catalog.price_book(price_book(written))


def test_the_last_tier_has_no_end_and_no_tier_a_price_that_it_does_not_use(shown):
    assert shown["plans"][0]["charges"][0]["tiers"] == [{"up_to": "10", "unit_amount": "1.50"}, {"up_to": None}]


def test_what_never_happens_is_said(shown):
    policy = shown["collections"]["default"]
    assert (policy["suspend_after"], policy["write_off_after"], policy["retries"]) == (None, None, [])


def test_durations_are_written_as_the_contract_does(shown):
    assert shown["collections"]["default"]["reminders"] == ["P-3D", "P0D", "PT12H"]
    assert shown["plans"][0]["usage_grace"] == "P0D"


def test_inclusive_taxes_say_so_among_the_taxes(shown):
    assert shown["taxes"] == {"DE": "0.19", "inclusive": True}
    assert "inclusive" not in shown


@given(st.integers(-(10**9), 10**9))
def test_every_duration_is_read_as_it_was_shown(seconds):
    span = timedelta(seconds=seconds)
    assert duration(duration_text(span)) == span
