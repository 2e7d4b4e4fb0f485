"""A scenario file: what is wrong with it is said before anything is started, and where."""

from pathlib import Path

import pytest

from domain.errors import InvalidInput
from workers.scenario import read_scenario

STORY = """scenario: odd
starts: 2026-01-31T09:00:00+01:00
until: 2026-02-02T00:00:00+01:00
catalog:
  entity: {key: gym, legal_name: Iron, country: DE}
  plans:
    - {key: p, name: P, currency: EUR, charges: [{key: b, model: flat, timing: advance, amount: "10.00"}]}
customers:
  - {key: ada, name: Ada, currency: EUR, timezone: Europe/Berlin, country: DE}
steps:
  - {at: 2026-01-31T09:00:00+01:00, quote: {key: q1, customer: ada, lines: [{plan: p}]}}
  - {at: 2026-01-31T09:01:00+01:00, usage: {customer: ada, event: e, id: e1, count: 2}}
expect:
  - {path: "invoices[0].total", equals: "10.00"}
"""


def refused(text: str, folder: Path) -> str:
    path = folder / "story.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        read_scenario(path)
    return refusal.value.detail.removeprefix(f"{path}: ")


def test_a_sound_one_is_read(tmp_path: Path):
    (tmp_path / "story.yaml").write_text(STORY)
    assert [step.verb for step in read_scenario(tmp_path / "story.yaml").steps] == ["quote", "usage"]


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("currency: EUR, ch", "currency: EURO, ch", "catalog.plans[0].currency: 'EURO' is not an ISO 4217 currency"),
        ("until: 2026", "until: 2025", "until: must not be before `starts` (line 3)"),
        ("customer: ada, lines", "customer: bob, lines", "steps[0].quote.customer: no customer 'bob' among"),
        ("count: 2", "count: many", "steps[1].usage.count: must be a whole number from 1 to 100000 (line 12)"),
        ("id: e1, ", "", "steps[1].usage: `id` is missing (line 12)"),
        ("path: ", "way: ", "expect[0]: must be a mapping with path and equals (line 14)"),
        ("{key: ada,", "{kee: ada,", "customers[0]: must be a mapping with key (line 9)"),
        ("catalog:\n", "catalog: 7\nx:\n", "x: unknown; a scenario has"),
    ],
)
def test_what_is_wrong_is_named_with_its_path_and_line(was: str, now: str, told: str, tmp_path: Path):
    assert was in STORY
    detail = refused(STORY.replace(was, now), tmp_path)
    assert detail.startswith(told)
    assert "(line " in detail


@pytest.mark.parametrize("part", ["customers", "steps", "expect"])
def test_a_part_that_is_no_list_is_refused(part: str, tmp_path: Path):
    text = STORY[: STORY.index(f"{part}:")] + f"{part}: 7\n"
    text += "".join(f"{other}: []\n" for other in ("customers", "steps") if f"{other}:" not in text)
    assert refused(text, tmp_path).startswith(f"{part}: must be a list")


def test_a_price_book_in_a_file_of_its_own_is_checked_under_its_name(tmp_path: Path):
    (tmp_path / "book.yaml").write_text("entity: {key: gym, legal_name: Iron, country: Germany}\n")
    head, tail = STORY.split("catalog:\n")
    text = f"{head}catalog: book.yaml\n{tail[tail.index('customers:') :]}"
    told = refused(text, tmp_path)
    assert told == f"{tmp_path}/book.yaml: entity.country: must be a country code such as DE (line 1)"
