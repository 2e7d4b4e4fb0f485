"""Refused usage: counted by subject, type and code; the latest is shown, and no more is kept than is of use."""

from datetime import datetime, timedelta

import pytest

from domain.metering import USAGE_MAX_AGE
from store import refused_usage
from store.connections import Fetches
from store.refused_usage import Refusal, note
from tests.store import samples as s


def refusal(id_: str, subject: str = "ada", detail: str = "") -> Refusal:
    return Refusal(subject=subject, type="booked", code="unknown_event", id=id_, detail=detail)


async def kept(pool: Fetches, name: str = "subject") -> list[str]:
    return [row[name] for row in await pool.fetch("SELECT * FROM refused_usage ORDER BY seq")]


async def noted(pool: Fetches, at: datetime, *refusals: Refusal) -> None:
    await note(pool, refusals, at)


async def test_the_latest_is_shown_not_the_greatest(pool):
    await noted(pool, s.AT, refusal("z", detail="the first"), refusal("b", detail="of two"))
    assert (await kept(pool, "last_id"), await kept(pool, "detail")) == (["b"], ["of two"])
    await noted(pool, s.AT, refusal("a", detail="a later one"))
    assert (await kept(pool, "last_id"), await kept(pool, "detail"), await kept(pool, "times")) == (
        ["a"],
        ["a later one"],
        [3],
    )


async def test_what_could_not_be_sent_again_is_forgotten(pool):
    await noted(pool, s.AT, refusal("a", "old"), refusal("b", "again"))
    await noted(pool, s.AT + timedelta(days=1), refusal("c", "again"))
    await noted(pool, s.AT + USAGE_MAX_AGE, refusal("d", "new"))
    assert await kept(pool) == ["again", "old", "new"]
    await noted(pool, s.AT + USAGE_MAX_AGE + timedelta(seconds=1), refusal("e", "new"))
    assert await kept(pool) == ["again", "new"]


async def test_however_many_subjects_are_made_up_a_bounded_number_is_kept(pool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refused_usage, "MOST_ROWS", 3)
    await noted(pool, s.AT, *(refusal("x", f"subject-{n}") for n in range(5)))
    assert await kept(pool) == ["subject-2", "subject-3", "subject-4"]
    await noted(pool, s.AT + timedelta(seconds=1), refusal("y", "subject-2"), refusal("y", "another"))
    assert await kept(pool) == ["subject-2", "subject-4", "another"]
