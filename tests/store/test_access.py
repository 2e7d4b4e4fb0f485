"""Access: secrets are kept as hashes only; what is asked twice under one idempotency key happens once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from domain.errors import NotFound
from store.access import (
    ApiKey,
    Conflict,
    Fresh,
    InProgress,
    Replay,
    Request,
    Role,
    abandon,
    begin,
    create_key,
    find_key,
    finish,
    revoke_key,
)
from store.lists import Asked, list_api_keys
from tests.postgres import OpenBooks
from tests.store import samples as s
from workers.wiring import admin_key

REQUEST = Request(api_key_id="key_1", path="/v1/quotes", key="k", body_hash="abc")
STALE = timedelta(minutes=1)


async def start(pool, at=s.AT, **changed: str):
    fields = {"api_key_id": "key_1", "path": "/v1/quotes", "key": "k", "body_hash": "abc"} | changed
    return await begin(pool, Request(**fields), at, stale_after=STALE)


class TestKeys:
    async def test_a_secret_finds_its_key_until_it_is_revoked(self, pool, engine, open_books: OpenBooks):
        async with open_books() as books:
            await books.customers.put(s.customer())
        finance = ApiKey(id="key_1", role=Role.FINANCE, created_at=s.AT, approvers=("finance",), label="month end")
        ada = ApiKey(id="key_2", role=Role.CUSTOMER, created_at=s.AT, customer_id="cus_1")
        assert await create_key(pool, finance, "very secret")
        assert await create_key(pool, ada, "other")
        assert not await create_key(pool, finance, "a third")
        assert await find_key(pool, "very secret") == finance
        assert await find_key(pool, "a third") is None
        assert (await list_api_keys(engine, Asked())).data == (ada, finance)
        for at in (s.AT, s.AT + s.DAY):
            await revoke_key(pool, "key_1", at)
        assert await find_key(pool, "very secret") is None
        assert (await list_api_keys(engine, Asked())).data[1].revoked_at == s.AT
        with pytest.raises(NotFound):
            await revoke_key(pool, "key_9", s.AT)
        assert "very secret" not in str(await pool.fetch("SELECT * FROM api_keys"))

    async def test_a_secret_that_was_revoked_makes_no_second_key(self, pool):
        key = ApiKey(id="key_1", role=Role.SALES, created_at=s.AT)
        assert await create_key(pool, key, "very secret")
        await revoke_key(pool, "key_1", s.AT)
        assert not await create_key(pool, replace(key, id="key_2"), "very secret")
        assert await find_key(pool, "very secret") is None

    async def test_a_customer_s_key_needs_its_customer_and_no_other_has_one(self, pool):
        for role, customer in ((Role.CUSTOMER, None), (Role.SALES, "cus_1")):
            with pytest.raises(asyncpg.CheckViolationError):
                await create_key(pool, ApiKey(id="k", role=role, created_at=s.AT, customer_id=customer), "x")


class TestIdempotency:
    async def test_the_first_answer_again(self, pool):
        claim = await start(pool)
        assert claim == Fresh(REQUEST, s.AT)
        assert await start(pool) == InProgress()
        assert await start(pool, body_hash="other") == Conflict()
        assert await finish(pool, claim, status=201, body=b"\x00{}", headers={"Location": "/v1/quotes/1"})
        assert await start(pool) == Replay(201, b"\x00{}", {"Location": "/v1/quotes/1"})
        assert await start(pool, body_hash="other") == Conflict()
        assert isinstance(await start(pool, api_key_id="key_2"), Fresh)
        assert isinstance(await start(pool, path="/v1/customers"), Fresh)
        assert not await finish(pool, claim, status=500, body=b"")

    async def test_of_many_at_once_one_begins(self, pool):
        answers = await asyncio.gather(*(start(pool) for _ in range(40)))
        assert sum(isinstance(answer, Fresh) for answer in answers) == 1
        assert sum(isinstance(answer, InProgress) for answer in answers) == 39

    async def test_what_was_abandoned_begins_afresh(self, pool):
        claim = await start(pool)
        assert isinstance(claim, Fresh)
        await abandon(pool, claim)
        assert isinstance(await start(pool, body_hash="other"), Fresh)

    async def test_a_stale_one_is_taken_over_and_its_late_answer_dropped(self, pool):
        dead = await start(pool)
        assert await start(pool, s.AT + STALE - timedelta(seconds=1)) == InProgress()
        assert await start(pool, s.AT + STALE, body_hash="other") == Conflict()
        alive = await start(pool, s.AT + STALE)
        assert isinstance(dead, Fresh)
        assert isinstance(alive, Fresh)
        assert not await finish(pool, dead, status=200, body=b"dead")
        await abandon(pool, dead)
        assert await finish(pool, alive, status=200, body=b"alive")
        assert await start(pool, s.AT + s.DAY) == Replay(200, b"alive")

    async def test_kept_for_thirty_days(self, pool):
        claim = await start(pool)
        assert isinstance(claim, Fresh)
        await finish(pool, claim, status=200, body=b"")
        assert isinstance(await start(pool, s.AT + 30 * s.DAY, body_hash="other"), Fresh)

    async def test_what_is_older_goes_as_others_come(self, pool):
        for n in range(12):
            await start(pool, s.AT, key=f"old {n}")
        await start(pool, s.AT + s.DAY, key="younger")
        left = [13]
        for n in (1, 2):
            await start(pool, s.AT + 30 * s.DAY, key=f"new {n}")
            left += [await pool.fetchval("SELECT count(*) FROM idempotency_keys")]
        assert left == [13, 13 + 1 - 10, 3]


class TestTheAdminKeyOfTheSettings:
    async def test_is_made_once(self, pool):
        for days in range(3):
            await admin_key(pool, s.AT + days * s.DAY, secret="from the settings")
        found = await find_key(pool, "from the settings")
        assert found is not None
        assert (found.role, found.created_at) == (Role.ADMIN, s.AT)

    async def test_once_revoked_stays_so_and_that_is_told(self, pool):
        await admin_key(pool, s.AT, secret="from the settings")
        found = await find_key(pool, "from the settings")
        assert found is not None
        await revoke_key(pool, found.id, s.AT)
        with capture_logs() as told:
            await admin_key(pool, s.AT + s.DAY, secret="from the settings")
        assert await find_key(pool, "from the settings") is None
        assert [line["event"] for line in told] == ["admin_key_revoked"]

    async def test_has_an_id_that_does_not_derive_from_its_secret(self, pool):
        ids = set()
        for _ in range(2):
            await admin_key(pool, s.AT, secret="from the settings")
            found = await find_key(pool, "from the settings")
            assert found is not None
            ids.add(found.id)
            await pool.execute("DELETE FROM api_keys")
        assert len(ids) == 2
