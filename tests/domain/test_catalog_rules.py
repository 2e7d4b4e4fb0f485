from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.calendar import Interval
from domain.catalog import (
    Aggregation,
    ApprovalCondition,
    ApprovalRule,
    Bank,
    Charge,
    Commitment,
    DunningPolicy,
    Dynamic,
    Entity,
    Feature,
    FeatureType,
    Flat,
    Graduated,
    GraduatedPercentage,
    Matrix,
    MatrixPrice,
    Meter,
    Package,
    Percentage,
    PerUnit,
    Plan,
    PlanEntitlement,
    PriceBook,
    Reset,
    Rollover,
    Term,
    Tier,
    Timing,
)
from domain.catalog_rules import keep_meaning, problems
from domain.charge_rules import charge_problems
from domain.errors import InvalidInput

ONE = Decimal(1)
BASE = Flat(key="base", timing=Timing.ADVANCE, amount=Decimal("49.00"))
USED = PerUnit(key="hours", timing=Timing.ARREARS, meter="hours", unit_amount=Decimal("0.000042"))
ENTITY = Entity(key="gym", legal_name="Iron Works", country="DE", timezone="Europe/Berlin")
PLAN = Plan(
    key="pro", name="Pro", currency="EUR", charges=(BASE, USED), entitlements=(PlanEntitlement(feature="weights"),)
)
BOOK = PriceBook(
    entity=ENTITY,
    taxes={"DE": Decimal("0.19"), "default": Decimal(0)},
    meters=(
        Meter(key="entries", event="pool.entered", aggregation=Aggregation.COUNT),
        Meter(
            key="hours", event="court.booked", aggregation=Aggregation.SUM, value="hours", group_by=("court", "peak")
        ),
    ),
    features=(
        Feature(key="weights", type=FeatureType.BOOLEAN),
        Feature(key="guests", type=FeatureType.STATIC),
        Feature(key="pool", type=FeatureType.METERED, meter="entries"),
        Feature(key="app", type=FeatureType.SEATS),
    ),
    plans=(PLAN,),
    collections={"default": DunningPolicy()},
    approvals=(ApprovalRule(when=ApprovalCondition(discount_over=Decimal("0.2")), approver="finance"),),
)


def said(book: PriceBook) -> list[str]:
    return [f"{'.'.join(map(str, error.loc))}: {error.msg}" for error in problems(book)]


def with_plan(**changes: object) -> PriceBook:
    return replace(BOOK, plans=(replace(PLAN, **changes),))


def with_charge(charge: Charge) -> PriceBook:
    return with_plan(charges=(BASE, USED, charge))


def gives(**fields: object) -> PriceBook:
    return with_plan(entitlements=(PlanEntitlement(**fields),))


def one_error(book: PriceBook, path: str, *words: str) -> None:
    errors = said(book)
    assert len(errors) == 1, errors
    assert errors[0].startswith(f"{path}: "), errors
    for word in words:
        assert word in errors[0], errors


def test_a_sound_price_book_has_no_problems():
    assert said(BOOK) == []


def test_everything_that_is_wrong_is_said_at_once():
    book = replace(with_plan(currency="EUX", trial_days=-1), taxes={"DE": Decimal(19)})
    assert len(said(book)) == 3


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"country": "Germany"}, "entity.country"),
        ({"country": "de"}, "entity.country"),
        ({"timezone": "Europe/Berln"}, "entity.timezone"),
        ({"timezone": "../etc/passwd"}, "entity.timezone"),
        ({"timezone": ""}, "entity.timezone"),
        ({"key": "a/b"}, "entity.key"),
        ({"invoice_prefix": ""}, "entity.invoice_prefix"),
        ({"bank": Bank(iban="DE89370400440532013001")}, "entity.bank.iban"),
        ({"bank": Bank(iban="de89370400440532013000")}, "entity.bank.iban"),
    ],
)
def test_the_seller_must_be_real(changes: dict[str, Any], path: str):
    one_error(replace(BOOK, entity=replace(ENTITY, **changes)), path)


def test_an_account_may_be_written_in_groups():
    assert not problems(replace(BOOK, entity=replace(ENTITY, bank=Bank(iban="DE89 3704 0044 0532 0130 00"))))


def test_a_mistyped_zone_is_answered_with_the_one_that_was_meant():
    one_error(replace(BOOK, entity=replace(ENTITY, timezone="Europe/Berln")), "entity.timezone", "Europe/Berlin?")


@pytest.mark.parametrize("rate", ["-0.01", "1.01", "19"])
def test_tax_rates_are_fractions(rate: str):
    one_error(replace(BOOK, taxes={"DE": Decimal(rate)}), "taxes.DE", '"0.19"')


def test_taxes_are_of_countries():
    one_error(replace(BOOK, taxes={"Germany": Decimal(0)}), "taxes.Germany", "country code")


@pytest.mark.parametrize(
    ("meter", "path"),
    [
        (Meter(key="m", event="e", aggregation=Aggregation.SUM), "meters.0.value"),
        (Meter(key="m", event="e", aggregation=Aggregation.UNIQUE_COUNT), "meters.0.value"),
        (Meter(key="m", event="", aggregation=Aggregation.COUNT), "meters.0.event"),
        (Meter(key="m m", event="e", aggregation=Aggregation.COUNT), "meters.0.key"),
        (Meter(key="m", event="e", aggregation=Aggregation.COUNT, group_by=("a", "a")), "meters.0.group_by.1"),
        (
            Meter(key="m", event="e", aggregation=Aggregation.COUNT, auto_confirm_after=timedelta(days=7)),
            "meters.0.auto_confirm_after",
        ),
    ],
)
def test_meters_must_be_able_to_count(meter: Meter, path: str):
    one_error(replace(BOOK, meters=(meter, *BOOK.meters)), path)


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (Feature(key="f", type=FeatureType.METERED), "is missing"),
        (Feature(key="f", type=FeatureType.METERED, meter="entrys"), "did you mean entries?"),
        (Feature(key="f", type=FeatureType.BOOLEAN, meter="entries"), "metered features"),
    ],
)
def test_metered_features_and_only_they_have_a_meter(feature: Feature, words: str):
    one_error(replace(BOOK, features=(*BOOK.features, feature)), "features.4.meter", words)


@pytest.mark.parametrize("name", ["meters", "features", "plans"])
def test_keys_stand_once(name: str):
    parts = getattr(BOOK, name)
    one_error(replace(BOOK, **{name: (*parts, parts[0])}), f"{name}.{len(parts)}.key", "twice")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"currency": "EURO"}, "plans.0.currency"),
        ({"interval_count": 0}, "plans.0.interval_count"),
        ({"interval_count": 121}, "plans.0.interval_count"),
        ({"anchor": 0}, "plans.0.anchor"),
        ({"anchor": 32}, "plans.0.anchor"),
        ({"anchor": 15, "interval": Interval.WEEK}, "plans.0.anchor"),
        ({"anchor": 15, "interval": Interval.DAY}, "plans.0.anchor"),
        ({"trial_days": -1}, "plans.0.trial_days"),
        ({"usage_grace": timedelta(hours=-1)}, "plans.0.usage_grace"),
        ({"duration": timedelta(hours=36)}, "plans.0.duration"),
        ({"duration": timedelta(0)}, "plans.0.duration"),
        ({"duration": timedelta(days=14), "term": Term(intervals=1)}, "plans.0.term.auto_renew"),
        ({"term": Term(intervals=0)}, "plans.0.term.intervals"),
        ({"term": Term(intervals=1, notice_days=-1)}, "plans.0.term.notice_days"),
        ({"term": Term(intervals=1, uplift=Decimal(3))}, "plans.0.term.uplift"),
    ],
)
def test_plans_must_be_billable(changes: dict[str, object], path: str):
    one_error(with_plan(**changes), path)


@pytest.mark.parametrize("anchor", ["anniversary", "calendar", 1, 31])
@pytest.mark.parametrize("interval", [Interval.MONTH, Interval.QUARTER, Interval.HALF_YEAR, Interval.YEAR])
def test_months_and_longer_take_any_anchor(anchor: str | int, interval: Interval):
    assert said(with_plan(anchor=anchor, interval=interval)) == []


METERED = {"key": "x", "timing": Timing.ARREARS, "meter": "hours"}
TIERS = (Tier(up_to=Decimal(10), unit_amount=ONE), Tier(up_to=None))


@pytest.mark.parametrize(
    ("charge", "path", "words"),
    [
        (replace(USED, key="base"), "key", "twice"),
        (replace(USED, key="x", meter="hour"), "meter", "did you mean hours?"),
        (replace(USED, key="x", timing=Timing.ADVANCE), "timing", "arrears"),
        (replace(USED, key="x", timing=Timing.ONCE), "timing", "arrears"),
        (replace(USED, key="x", quantity=ONE), "quantity", "meter counts"),
        (Percentage(key="x", timing=Timing.ARREARS, rate=ONE), "meter", "prices usage"),
        (Matrix(key="x", timing=Timing.ARREARS, dimensions=("a",), prices=(), default=ONE), "meter", "prices usage"),
        (Percentage(**METERED | {"meter": "entries"}, rate=ONE), "meter", "value"),
        (Dynamic(**METERED | {"meter": "entries"}), "meter", "value"),
        (Matrix(**METERED, dimensions=("curt",), prices=(), default=ONE), "dimensions.0", "did you mean court?"),
        (Commitment(key="x", timing=Timing.ADVANCE, amount=ONE, applies_to=("base",)), "timing", "arrears"),
        (Commitment(key="x", timing=Timing.ARREARS, amount=ONE, applies_to=("bas",)), "applies_to.0", "mean base?"),
        (Commitment(key="x", timing=Timing.ARREARS, amount=ONE, applies_to=("x",)), "applies_to.0", "not a charge"),
        (Commitment(key="x", timing=Timing.ARREARS, amount=ONE, applies_to=()), "applies_to", "at least one"),
        (Commitment(key="x", timing=Timing.ARREARS, amount=ONE, applies_to=("base",), over="term"), "over", "term"),
    ],
)
def test_charges_must_fit_their_plan_and_meter(charge: Charge, path: str, words: str):
    one_error(with_charge(charge), f"plans.0.charges.2.{path}", words)


LEVEL = Meter(key="level", event="level.moved", aggregation=Aggregation.WEIGHTED_SUM, value="by")
OF_LEVEL = METERED | {"meter": "level"}


@pytest.mark.parametrize("charge", [Percentage(**OF_LEVEL, rate=ONE), Dynamic(**OF_LEVEL)])
def test_a_level_has_no_single_events_to_price(charge: Charge):
    book = replace(with_charge(charge), meters=(*BOOK.meters, LEVEL))
    one_error(book, "plans.0.charges.2.meter", "changes of a level")


@pytest.mark.parametrize(
    ("charge", "path", "words"),
    [
        (replace(BASE, amount=Decimal("49.001")), "amount", "EUR allows (2)"),
        (replace(BASE, amount=Decimal(-1)), "amount", "negative"),
        (replace(BASE, amount=Decimal(10) ** 18), "amount", "too large"),
        (replace(BASE, amount=Decimal("10000000000000.01")), "amount", "no invoice"),
        (replace(USED, key="x", minimum=Decimal("10000000000000.01")), "minimum", "no invoice"),
        (replace(BASE, minimum=Decimal("0.005")), "minimum", "EUR allows"),
        (replace(BASE, maximum=Decimal("0.005")), "maximum", "EUR allows"),
        (replace(BASE, minimum=Decimal(2), maximum=ONE), "minimum", "exceed"),
        (replace(BASE, included=Decimal(-1)), "included", "negative"),
        (replace(USED, unit_amount=Decimal("0.0000000000001")), "unit_amount", "12 decimals"),
        (replace(USED, key="a b"), "key", "letters"),
        (Graduated(**METERED, tiers=()), "tiers", "at least one"),
        (Graduated(**METERED, tiers=(Tier(up_to=ONE),)), "tiers.0.up_to", "no end"),
        (Graduated(**METERED, tiers=(Tier(up_to=None), Tier(up_to=None))), "tiers.0.up_to", "last tier"),
        (Graduated(**METERED, tiers=(Tier(up_to=Decimal(0)), Tier(up_to=None))), "tiers.0.up_to", "rise"),
        (Graduated(**METERED, tiers=(TIERS[0], TIERS[0], TIERS[1])), "tiers.1.up_to", "rise"),
        (Graduated(**METERED, tiers=(Tier(up_to=None, rate=ONE),)), "tiers.0.rate", "no meaning"),
        (Graduated(**METERED, tiers=(Tier(up_to=None, unit_amount=Decimal(-1)),)), "tiers.0.unit_amount", "negative"),
        (GraduatedPercentage(**METERED, tiers=(Tier(up_to=None, unit_amount=ONE),)), "tiers.0.unit_amount", "meaning"),
        (Package(**METERED, package_size=Decimal(0), package_amount=ONE), "package_size", "more than zero"),
        (Percentage(**METERED, rate=ONE, free_events=-1), "free_events", "negative"),
        (Percentage(**METERED, rate=ONE, min_per_event=Decimal(2), max_per_event=ONE), "min_per_event", "exceed"),
        (Matrix(**METERED, dimensions=(), prices=(), default=ONE), "dimensions", "at least one"),
        (Matrix(**METERED, dimensions=("a", "a"), prices=(), default=ONE), "dimensions.1", "twice"),
        (Matrix(**METERED, dimensions=("a",), prices=()), "prices", "at least one"),
        (
            Matrix(**METERED, dimensions=("a",), prices=(MatrixPrice(match={"b": "1"}, unit_amount=ONE),)),
            "prices.0.match.b",
            "no dimension",
        ),
        (
            Matrix(**METERED, dimensions=("a",), prices=(MatrixPrice(match={"a": "1"}, unit_amount=ONE),) * 2),
            "prices.1.match",
            "twice",
        ),
        (
            Commitment(key="x", timing=Timing.ARREARS, amount=ONE, applies_to=("a",), minimum=ONE),
            "minimum",
            "no meaning",
        ),
    ],
)
def test_charges_must_be_priceable(charge: Charge, path: str, words: str):
    errors = list(charge_problems(charge, "EUR"))
    assert [".".join(map(str, error.loc)) for error in errors] == [path]
    assert words in errors[0].msg


def test_unit_prices_may_be_finer_than_the_currency_and_amounts_as_fine_as_it():
    assert list(charge_problems(replace(USED, unit_amount=Decimal("0.000000000001")), "JPY")) == []
    assert list(charge_problems(replace(BASE, amount=Decimal("1.234")), "BHD")) == []
    assert list(charge_problems(replace(BASE, amount=Decimal("1.230")), "EUR")) == []
    assert [error.loc for error in charge_problems(replace(BASE, amount=Decimal("0.5")), "JPY")] == [("amount",)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"feature": "wieghts"}, "feature"),
        ({"feature": "weights", "limit": ONE}, "limit"),
        ({"feature": "weights", "value": "2"}, "value"),
        ({"feature": "guests"}, "value"),
        ({"feature": "guests", "value": "2", "limit": ONE}, "limit"),
        ({"feature": "pool", "limit": Decimal(-1)}, "limit"),
        ({"feature": "app", "limit": Decimal("1.5")}, "limit"),
        ({"feature": "pool", "rollover": Rollover(max=ONE)}, "rollover"),
        ({"feature": "app", "limit": ONE, "rollover": Rollover(max=ONE)}, "rollover"),
        ({"feature": "pool", "limit": ONE, "rollover": Rollover(max=ONE), "reset": Reset.NEVER}, "rollover"),
        ({"feature": "pool", "limit": ONE, "rollover": Rollover(max=ONE, min=Decimal(2))}, "rollover"),
    ],
)
def test_entitlements_must_fit_their_features_type(fields: dict[str, object], path: str):
    one_error(gives(**fields), f"plans.0.entitlements.0.{path}")


@pytest.mark.parametrize(
    "fields",
    [
        {"feature": "guests", "value": "2"},
        {"feature": "pool"},
        {"feature": "pool", "limit": Decimal("1.5"), "rollover": Rollover(max=ONE)},
        {"feature": "app", "limit": "per_quantity"},
    ],
)
def test_entitlements_that_fit_are_welcome(fields: dict[str, object]):
    assert said(gives(**fields)) == []


def test_a_feature_is_given_once():
    twice = PlanEntitlement(feature="weights")
    one_error(with_plan(entitlements=(twice, twice)), "plans.0.entitlements.1.feature", "twice")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"net_days": -1}, "net_days"),
        ({"retries": (timedelta(0),)}, "retries.0"),
        ({"suspend_after": timedelta(days=-1)}, "suspend_after"),
        ({"write_off_after": timedelta(days=-1)}, "write_off_after"),
    ],
)
def test_dunning_only_moves_forward(changes: dict[str, object], path: str):
    one_error(replace(BOOK, collections={"strict": DunningPolicy(**changes)}), f"collections.strict.{path}")


def test_reminders_may_come_before_the_due_date():
    assert said(replace(BOOK, collections={"default": DunningPolicy(reminders=(timedelta(days=-3),))})) == []


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (ApprovalRule(when=ApprovalCondition(), approver="finance"), "when"),
        (ApprovalRule(when=ApprovalCondition(discount_over=Decimal(20)), approver="finance"), "when.discount_over"),
        (ApprovalRule(when=ApprovalCondition(term_months_over=-1), approver="finance"), "when.term_months_over"),
        (ApprovalRule(when=ApprovalCondition(term_months_over=1), approver=""), "approver"),
    ],
)
def test_approvals_ask_someone_for_something(rule: ApprovalRule, path: str):
    one_error(replace(BOOK, approvals=(rule,)), f"approvals.0.{path}")


def test_references_to_what_could_not_be_read_are_not_judged():
    book = with_charge(replace(USED, key="x", meter="lost"))
    assert problems(book, unread={"lost"}) == []
    assert len(problems(book)) == 1


class TestKeepMeaning:
    """What is sold is measured and answered by the newest definitions: they may not change its meaning."""

    SOLD = replace(PLAN, entitlements=(PlanEntitlement(feature="pool"),))

    @pytest.mark.parametrize(
        ("kind", "key", "changed"),
        [
            ("meters", "hours", {"event": "court.hired"}),
            ("meters", "hours", {"aggregation": Aggregation.MAX}),
            ("meters", "hours", {"value": "minutes"}),
            ("meters", "hours", {"group_by": ("court",)}),
            ("meters", "entries", {"event": "pool.left"}),
            ("features", "pool", {"meter": "hours"}),
            ("features", "pool", {"type": FeatureType.SEATS, "meter": None}),
        ],
    )
    def test_what_is_sold_is_not_redefined(self, kind: str, key: str, changed: dict[str, Any]):
        parts = getattr(BOOK, kind)
        book = replace(BOOK, **{kind: tuple(replace(one, **changed) if one.key == key else one for one in parts)})
        with pytest.raises(InvalidInput, match="under a new key") as refused:
            keep_meaning(book, BOOK.meters, BOOK.features, [self.SOLD])
        index = [one.key for one in parts].index(key)
        assert refused.value.errors[0].loc == (kind, index, next(iter(changed)))
        assert str(refused.value).startswith(
            f"{kind}[{index}].{next(iter(changed))}: cannot change while {key} is sold or offered"
        )
        keep_meaning(book, BOOK.meters, BOOK.features, [replace(PLAN, charges=(BASE,))])

    def test_it_may_be_left_out_of_the_book_and_stays_known(self):
        keep_meaning(replace(BOOK, meters=(), features=()), BOOK.meters, BOOK.features, [self.SOLD])

    def test_what_is_new_may_mean_anything(self):
        keep_meaning(BOOK, (), (), [self.SOLD])
