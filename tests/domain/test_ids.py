from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.ids import derived_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.integers(10**15, 10**16).map(lambda ticks: EPOCH + timedelta(microseconds=ticks))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_invoice_of_a_boundary_has_one_id():
    assert derived_id("inv", NOON, "sub_1", "2026-03-01") == derived_id("inv", NOON, "sub_1", "2026-03-01")
    assert derived_id("inv", NOON, "sub_1", "2026-03-01") != derived_id("inv", NOON, "sub_1", "2026-04-01")
    assert derived_id("inv", NOON, "sub_1").startswith("inv_")


def test_one_key_makes_different_ids_of_different_things():
    assert derived_id("inv", NOON, "a").removeprefix("inv_") != derived_id("pay", NOON, "a").removeprefix("pay_")


@given(instants, st.text(max_size=50))
def test_every_id_is_a_uuid_of_version_7(at: datetime, key: str):
    made = UUID(derived_id("quo", at, key).removeprefix("quo_"))
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


@given(instants, st.text(max_size=20), st.text(max_size=20))
def test_ids_sort_by_birth_to_the_millisecond(at: datetime, earlier: str, later: str):
    assert derived_id("evt", at, earlier) < derived_id("evt", at + timedelta(milliseconds=1), later)


@given(instants)
def test_an_id_carries_the_instant_of_its_birth(at: datetime):
    milliseconds = UUID(derived_id("sub", at, "q1").removeprefix("sub_")).int >> 80
    born = EPOCH + timedelta(milliseconds=milliseconds)
    assert timedelta(0) <= at - born < timedelta(milliseconds=1)


@given(st.lists(st.text(max_size=8), min_size=2, max_size=200, unique=True))
def test_different_keys_of_one_instant_do_not_collide(keys: list[str]):
    assert len({derived_id("evt", NOON, key) for key in keys}) == len(keys)
