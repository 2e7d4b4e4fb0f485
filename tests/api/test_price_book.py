import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from api.price_book import price_book, read_document, read_price_book
from domain.calendar import Interval
from domain.catalog import Graduated, Matrix, Overage, PriceBook, Reset, Rollover
from domain.errors import InvalidInput

CASES = Path(__file__).parents[1] / "cases"

GYM = """\
version: 1
entity: {key: gym, legal_name: "Iron Works Ltd", country: DE, tax_id: DE123456789, invoice_prefix: IW}
taxes: {DE: "0.19", FR: "0.20", NO: "0.25", default: "0", inclusive: true}
meters:
  - {key: pool_entries, event: pool.entered, aggregation: count}
  - {key: court_hours, event: court.booked, aggregation: sum, value: hours, group_by: [court, peak]}
  - {key: leads, event: lead.won, aggregation: count, outcome: true, auto_confirm_after: P7D}
features:
  - {key: weights, type: boolean}
  - {key: guests, type: static}
  - {key: pool, type: metered, meter: pool_entries}
  - {key: app, type: seats}
plans:
  - key: all-access
    name: All access
    currency: EUR
    interval: month
    interval_count: 1
    anchor: 15
    term: {intervals: 12, auto_renew: true, notice_days: 30, uplift: "0.03"}
    trial_days: 14
    usage_grace: PT1H
    charges:
      - {key: base, model: flat, timing: advance, amount: "49.00"}
      - key: entries
        model: graduated
        timing: arrears
        meter: pool_entries
        included: 4
        tiers:
          - {up_to: 10, unit_amount: "3"}
          - {up_to: null, unit_amount: "0.000000000001", flat_amount: 5}
      - key: courts
        model: matrix
        timing: arrears
        meter: court_hours
        dimensions: [court, peak]
        prices:
          - {match: {court: "1", peak: "yes"}, unit_amount: "12.50"}
        default: "8"
    entitlements:
      - {feature: weights}
      - {feature: guests, value: "2"}
      - {feature: pool, limit: 1, reset: week, rollover: 1, overage: allow}
      - {feature: app, limit: per_quantity}
collections:
  default:
    net_days: 0
    retries: [P1D, P3D, P5D, P1W]
    reminders: [P-3D, -P3D, P0D, PT12H]
    suspend_after: P14D
    write_off_after: null
    on_write_off: keep
approvals:
  - {when: {discount_over: "0.20"}, approver: sales-manager}
  - {when: {term_months_over: 24}, approver: finance}
"""


@pytest.fixture(scope="module")
def gym() -> PriceBook:
    return read_price_book(GYM)


def wrong(text: str) -> list[tuple[str, str]]:
    """Path and message of everything that is wrong with a price book."""
    with pytest.raises(InvalidInput) as caught:
        read_price_book(text)
    return [(".".join(map(str, error.loc)), error.msg) for error in caught.value.errors]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


class TestASoundPriceBook:
    def test_is_read_exactly(self, gym: PriceBook):
        plan = gym.plans[0]
        base, entries, courts = plan.charges
        assert isinstance(entries, Graduated)
        assert isinstance(courts, Matrix)
        assert entries.tiers[1].unit_amount == Decimal("0.000000000001")
        assert entries.tiers[1].up_to is None
        assert str(entries.included) == "4"
        assert courts.prices[0].match == {"court": "1", "peak": "yes"}
        assert (plan.interval, plan.anchor, base.key) == (Interval.MONTH, 15, "base")

    def test_means_norway_by_no(self, gym: PriceBook):
        assert gym.taxes["NO"] == Decimal("0.25")

    def test_may_hold_prices_with_tax(self, gym: PriceBook):
        assert gym.inclusive is True
        assert "inclusive" not in gym.taxes

    def test_may_write_a_rollover_short(self, gym: PriceBook):
        pool, app = gym.plans[0].entitlements[2:]
        assert pool.rollover == Rollover(max=Decimal(1))
        assert (pool.limit, pool.reset, pool.overage) == (1, Reset.WEEK, Overage.ALLOW)
        assert app.limit == "per_quantity"

    def test_counts_durations_before_and_after(self, gym: PriceBook):
        policy = gym.collections["default"]
        assert policy.reminders == (timedelta(days=-3), timedelta(days=-3), timedelta(0), timedelta(hours=12))
        assert policy.retries[-1] == timedelta(weeks=1)
        assert policy.write_off_after is None
        assert policy.stuck_after == timedelta(days=3)

    def test_reads_the_same_from_json(self, gym: PriceBook):
        assert read_price_book(json.dumps(read_document(GYM).content)) == gym

    @pytest.mark.parametrize("path", sorted(CASES.glob("*scenario-*.yaml")), ids=lambda path: path.stem)
    def test_of_every_shared_scenario_is_accepted(self, path: Path):
        scenario = read_document(path.read_text())
        assert isinstance(scenario.content, dict)
        assert price_book(scenario.content["catalog"], scenario, ("catalog",)).plans


@pytest.mark.parametrize(
    ("right", "mistake", "path", "words"),
    [
        ("version: 1", "version: 2", "version", "must be one of 1"),
        ("legal_name", "legal_nam", "entity.legal_nam", "did you mean legal_name?"),
        ("country: DE,", "", "entity.country", "is missing"),
        ("country: DE", "country: 49", "entity.country", "must be text"),
        ("country: DE", "country: Germany", "entity.country", "country code"),
        ('DE: "0.19"', "DE: 0.19", "taxes.DE", 'write it as a string: "0.19"'),
        ('DE: "0.19"', 'DE: "19"', "taxes.DE", "fraction"),
        ('DE: "0.19"', 'DE: "19 %"', "taxes.DE", "decimal string"),
        ("inclusive: true", "inclusive: perhaps", "taxes.inclusive", "true or false"),
        ("aggregation: count}", "aggregation: counts}", "meters.0.aggregation", "did you mean count?"),
        ("aggregation: sum, value: hours", "aggregation: sum", "meters.1.value", "is missing"),
        ("auto_confirm_after: P7D", "auto_confirm_after: 7", "meters.2.auto_confirm_after", '"P3D"'),
        ("auto_confirm_after: P7D", "auto_confirm_after: P1M", "meters.2.auto_confirm_after", "ISO 8601"),
        ("type: static", "type: statics", "features.1.type", "boolean, static, metered"),
        ("meter: pool_entries}", "meter: pool_entrys}", "features.2.meter", "did you mean pool_entries?"),
        ("key: all-access", "kye: all-access", "plans.0.kye", "did you mean key?"),
        ("currency: EUR", "currency: EURO", "plans.0.currency", "ISO 4217"),
        ("interval: month", "interval: months", "plans.0.interval", "did you mean month?"),
        ("interval: month", "interval: week", "plans.0.anchor", "a month or longer"),
        ("anchor: 15", "anchor: birthday", "plans.0.anchor", "anniversary or calendar or a number"),
        ("anchor: 15", "anchor: 32", "plans.0.anchor", "1 to 31"),
        ("trial_days: 14", "trial_days: true", "plans.0.trial_days", "whole number"),
        ("trial_days: 14", "trial_days: 1.5", "plans.0.trial_days", "whole number"),
        ("usage_grace: PT1H", "usage_grace: 3600", "plans.0.usage_grace", '"PT1H"'),
        ("usage_grace: PT1H", 'usage_grace: "01:00"', "plans.0.usage_grace", '"PT1H"'),
        ("intervals: 12", "intervals: 0", "plans.0.term.intervals", "1 to 1000"),
        ("model: flat", "model: flatt", "plans.0.charges.0.model", "did you mean flat?"),
        ("model: flat, ", "", "plans.0.charges.0", "model is missing"),
        ("timing: advance", "timing: before", "plans.0.charges.0.timing", "once, advance, arrears"),
        ('amount: "49.00"', "amount: 49.00", "plans.0.charges.0.amount", 'write it as a string: "49.00"'),
        ('amount: "49.00"', 'amount: "49.001"', "plans.0.charges.0.amount", "EUR allows (2)"),
        ('amount: "49.00"', 'amount: "1e3"', "plans.0.charges.0.amount", "decimal string"),
        ('amount: "49.00"', 'amount: "1_000"', "plans.0.charges.0.amount", "decimal string"),
        ('amount: "49.00"', 'amount: "NaN"', "plans.0.charges.0.amount", "decimal string"),
        ('amount: "49.00"', 'amount: "٤٩"', "plans.0.charges.0.amount", "decimal string"),
        ('amount: "49.00"', 'amount: " 49"', "plans.0.charges.0.amount", "decimal string"),
        ('amount: "49.00"', "amount: true", "plans.0.charges.0.amount", "decimal string"),
        ('amount: "49.00"', 'amount: "-1"', "plans.0.charges.0.amount", "negative"),
        ('amount: "49.00"', 'amout: "49.00"', "plans.0.charges.0.amout", "did you mean amount?"),
        ("key: entries", "key: base", "plans.0.charges.1.key", "twice"),
        ("meter: pool_entries\n", "meter: pool\n", "plans.0.charges.1.meter", "is not a meter"),
        ("up_to: 10,", "up_to: 10.5,", "plans.0.charges.1.tiers.0.up_to", 'write it as a string: "10.5"'),
        ("up_to: null", "up_to: 20", "plans.0.charges.1.tiers.1.up_to", "no end"),
        ("up_to: null", "up_to: 10", "plans.0.charges.1.tiers.1.up_to", "tiers rise"),
        ('"0.000000000001"', '"0.0000000000001"', "plans.0.charges.1.tiers.1.unit_amount", "12 decimals"),
        ("dimensions: [court, peak]", "dimensions: court", "plans.0.charges.2.dimensions", "must be a list"),
        ('court: "1"', "court: 1", "plans.0.charges.2.prices.0.match.court", "write it in quotes"),
        ('court: "1"', 'curt: "1"', "plans.0.charges.2.prices.0.match.curt", "court, peak"),
        ("feature: weights}", "feature: wieghts}", "plans.0.entitlements.0.feature", "did you mean weights?"),
        ('value: "2"', 'limit: "2"', "plans.0.entitlements.1.value", "is missing"),
        ("limit: 1,", "limit: 1.5,", "plans.0.entitlements.2.limit", 'write it as a string: "1.5"'),
        ("limit: 1,", "limit: one,", "plans.0.entitlements.2.limit", "a number or per_quantity"),
        ("rollover: 1", "rollover: {max: 1, min: 2}", "plans.0.entitlements.2.rollover", "min <= max"),
        ("rollover: 1", "rollover: lots", "plans.0.entitlements.2.rollover.max", "decimal string"),
        ("net_days: 0", "net_days: soon", "collections.default.net_days", "whole number"),
        ("P1W]", "P1Y]", "collections.default.retries.3", "ISO 8601"),
        ("[P1D, P3D, P5D, P1W]", "P1D", "collections.default.retries", "must be a list"),
        ("on_write_off: keep", "on_write_off: kept", "collections.default.on_write_off", "cancel, keep"),
        ("discount_over:", "discount_above:", "approvals.0.when.discount_above", "did you mean discount_over?"),
    ],
)
def test_every_mistake_is_named_with_its_path_its_line_and_what_would_do(
    right: str, mistake: str, path: str, words: str
):
    text = GYM.replace(right, mistake, 1)
    found = [msg for at, msg in wrong(text) if at == path]
    assert len(found) >= 1, wrong(text)
    assert any(words in msg for msg in found), found
    if mistake and path.split(".")[-1] in mistake:
        assert found[0].endswith(f"(line {line_of(GYM, right)})")


class TestEverythingIsSaidAtOnce:
    def test_in_the_order_in_which_it_is_written(self):
        text = GYM
        for right, mistake in [
            ("legal_name", "legal_nam"),
            ("aggregation: sum, value: hours", "aggregation: sum"),
            ("trial_days: 14", "trial_days: -1"),
            ("model: flat", "model: flatt"),
            ("up_to: null", "up_to: 10"),
            ("feature: weights}", "feature: wieghts}"),
            ("net_days: 0", "net_days: soon"),
        ]:
            text = text.replace(right, mistake, 1)
        assert [path for path, _ in wrong(text)] == [
            "entity.legal_name",
            "entity.legal_nam",
            "meters.1.value",
            "plans.0.trial_days",
            "plans.0.charges.0.model",
            "plans.0.charges.1.tiers.1.up_to",
            "plans.0.charges.1.tiers.1.up_to",
            "plans.0.entitlements.0.feature",
            "collections.default.net_days",
        ]

    def test_and_a_broken_part_does_not_make_references_to_it_wrong(self):
        text = GYM.replace("aggregation: count}", "aggregation: counts}", 1)
        assert [path for path, _ in wrong(text)] == ["meters.0.aggregation"]

    def test_and_paths_count_the_parts_that_could_not_be_read(self):
        text = GYM.replace("key: pool_entries, event: pool.entered", "event: pool.entered", 1)
        text = text.replace("aggregation: sum, value: hours", "aggregation: sum", 1)
        assert ("meters.1.value") in [path for path, _ in wrong(text)]

    def test_and_the_detail_is_one_line_that_counts_the_rest(self):
        with pytest.raises(InvalidInput) as caught:
            read_price_book(GYM.replace("country: DE", "country: Germany").replace("anchor: 15", "anchor: 0"))
        assert caught.value.detail == "entity.country: must be a country code such as DE (line 2) (and 1 more)"


@pytest.mark.parametrize("text", ["", "[]", "7", "plans", "null"])
def test_what_is_no_mapping_is_refused(text: str):
    assert [path for path, _ in wrong(text)] == [""]


@pytest.mark.parametrize(
    "text",
    [
        "entity: 7\nmeters: {}\nplans: 3\ntaxes: []",
        "entity: {}\nplans: [1, [2], {charges: 5, entitlements: [7, {rollover: [1]}]}]",
        "entity: {}\nplans: [{charges: [[], {model: [x]}, {model: {a: b}}]}]",
        "entity: []\nmeters: [null]\ncollections: {default: null}\napprovals: [{when: null}]",
    ],
)
def test_any_shape_is_answered_with_paths(text: str):
    assert all(path for path, _ in wrong(text))


def test_paths_inside_a_scenario_begin_with_where_the_price_book_stands():
    scenario = read_document("scenario: x\ncatalog:\n  entity: {key: a, legal_name: A, country: Germany}\n")
    assert isinstance(scenario.content, dict)
    with pytest.raises(InvalidInput) as caught:
        price_book(scenario.content["catalog"], scenario, ("catalog",))
    (error,) = caught.value.errors
    assert error.loc == ("catalog", "entity", "country")
    assert error.msg.endswith("(line 3)")


def test_what_the_caller_holds_is_left_as_it_was():
    content = read_document(GYM).content
    price_book(content)
    assert content == read_document(GYM).content
