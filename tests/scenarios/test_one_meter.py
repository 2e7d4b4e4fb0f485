"""Several lines that sell one meter, through the real workflows: each event is billed once, by the oldest that sells it."""

from pathlib import Path

import pytest

from tests.postgres import Databases
from tests.scenarios.test_scenarios import run
from workers.scenario import read_scenario

STORY = """
scenario: one meter, sold three times
starts: 2026-06-01T09:00:00+00:00
until: 2026-09-12T00:00:00+00:00
catalog:
  version: 1
  entity: {key: acme, legal_name: "Acme Ltd", country: DE, invoice_prefix: AC}
  meters:
    - {key: units, event: "unit.used", aggregation: sum, value: units}
  plans:
    - key: month
      name: Month
      currency: EUR
      usage_grace: PT0S
      term: {intervals: 2, auto_renew: false}
      charges: [{key: use, model: per_unit, unit_amount: "1.00", timing: arrears, meter: units}]
    - key: dear
      name: Dear
      currency: EUR
      usage_grace: PT0S
      charges: [{key: use, model: per_unit, unit_amount: "5.00", timing: arrears, meter: units}]
customers:
  - {key: ada, name: Ada, currency: EUR, timezone: UTC, country: DE, payment_method: pm_card_visa}
  - {key: bob, name: Bob, currency: EUR, timezone: UTC, country: DE, payment_method: pm_card_visa}
steps:
  - {at: 2026-06-01T09:00:00+00:00, quote: {key: old, customer: ada, lines: [{plan: month}]}}
  - {at: 2026-06-01T09:05:00+00:00, accept: old}
  - {at: 2026-06-11T09:00:00+00:00, quote: {key: new, customer: ada, lines: [{plan: dear}, {plan: dear}]}}
  - {at: 2026-06-11T09:05:00+00:00, accept: new}
  - {at: 2026-06-11T09:06:00+00:00, quote: {key: bobs, customer: bob, lines: [{plan: dear}]}}
  - {at: 2026-06-11T09:07:00+00:00, accept: bobs}
  - {at: 2026-06-20T10:00:00+00:00, usage: {customer: ada, event: "unit.used", id: e1, data: {units: "80"}}}
  - {at: 2026-06-20T10:00:00+00:00, usage: {customer: bob, event: "unit.used", id: b1, data: {units: "2"}}}
  - {at: 2026-07-20T10:00:00+00:00, usage: {customer: ada, event: "unit.used", id: e2, data: {units: "3"}}}
  # Late, for a period that both have billed: the older's all the same.
  - {at: 2026-07-25T10:00:00+00:00, usage: {customer: ada, event: "unit.used", id: e3,
      time: 2026-06-25T10:00:00+00:00, data: {units: "10"}}}
  # The older has ended: the next one bills, its first line.
  - {at: 2026-08-20T10:00:00+00:00, usage: {customer: ada, event: "unit.used", id: e4, data: {units: "7"}}}
"""


@pytest.mark.slow
async def test_each_event_is_billed_once_by_the_oldest_line_that_sells_it(databases: Databases, tmp_path: Path):
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    told = await run(read_scenario(path), databases, tmp_path)
    lines = [
        (invoice["subscription"], line["kind"], line["quantity"], line["amount"])
        for invoice in told["invoices"]
        for line in invoice["lines"]
    ]
    assert lines == [
        ("old", "usage", "80", "80.00"),
        ("bobs", "usage", "2", "10.00"),
        ("old", "usage", "3", "3.00"),
        ("old", "late_usage", "10", "10.00"),
        ("new", "usage", "7", "35.00"),
    ]
