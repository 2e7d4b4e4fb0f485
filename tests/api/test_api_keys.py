"""API keys: how they end, are replaced, and show whether anybody uses them."""

from datetime import timedelta

import httpx
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def made(api, **body):
    answer = await api.http.post("/v1/api-keys", json={"role": "finance", **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def status(api, secret):
    transport = httpx.ASGITransport(api.world.world.api)
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        return (await http.get("/v1/collections")).status_code


class TestAKeyThatExpires:
    async def test_works_until_then_and_no_longer(self, api):
        key = await made(api, expires_at=(api.world.now + timedelta(hours=2)).isoformat())
        assert await status(api, key["key"]) == 200
        await api.world.reach(api.world.now + timedelta(hours=2))
        assert await status(api, key["key"]) == 401

    async def test_must_expire_later_than_now(self, api):
        body = {"role": "finance", "expires_at": api.world.now.isoformat()}
        answer = await api.http.post("/v1/api-keys", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["expires_at"])


class TestRotation:
    async def test_gives_a_new_secret_while_the_old_one_works_on_for_a_while(self, api):
        ada = await api.customer()
        old = await made(api, role="customer", customer=ada, label="portal")
        answer = await api.http.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap": "PT1H"})
        new = answer.json()
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        assert {new[name] for name in ("role", "customer", "label")} == {"customer", ada, "portal"}
        assert new["key"] != old["key"] and new["id"] != old["id"]
        ends = (await api.http.get(f"/v1/api-keys/{old['id']}")).json()["expires_at"]
        assert ends == (api.world.now + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        secrets = old["key"], new["key"]
        assert [await status(api, secret) for secret in secrets] == [403, 403]  # known, and a customer's
        await api.world.reach(api.world.now + timedelta(hours=1))
        assert [await status(api, secret) for secret in secrets] == [401, 403]

    async def test_of_a_leaked_key_ends_it_at_once(self, api):
        old = await made(api)
        answer = await api.http.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap": "PT0S"})
        assert [await status(api, one) for one in (old["key"], answer.json()["key"])] == [401, 200]

    async def test_never_lets_a_key_live_longer(self, api):
        old = await made(api, expires_at=(api.world.now + timedelta(hours=1)).isoformat())
        new = (await api.http.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap": "P1D"})).json()
        kept = (await api.http.get(f"/v1/api-keys/{old['id']}")).json()
        assert kept["expires_at"] == old["expires_at"] == new["expires_at"]

    async def test_sent_again_makes_one_key_and_tells_no_secret(self, api):
        old, headers = await made(api), {"Idempotency-Key": api.fresh("i")}
        path = f"/v1/api-keys/{old['id']}/rotate"
        first, again = [(await api.http.post(path, json={}, headers=headers)).json() for _ in range(2)]
        assert again == {**first, "key": None}

    async def test_of_a_key_that_is_over_is_refused(self, api):
        old = await made(api)
        await api.http.delete(f"/v1/api-keys/{old['id']}")
        answer = await api.http.post(f"/v1/api-keys/{old['id']}/rotate", json={})
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
        assert (await api.http.post("/v1/api-keys/none/rotate", json={})).status_code == 404
        answer = await api.http.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap": "P31D"})
        assert answer.json()["errors"][0]["loc"] == ["overlap"]


async def test_the_last_use_is_noted_once_an_hour(api):
    key = await made(api)
    path = f"/v1/api-keys/{key['id']}"
    assert (await api.http.get(path)).json()["last_used_at"] is None
    await status(api, key["key"])
    first = (await api.http.get(path)).json()["last_used_at"]
    await api.world.reach(api.world.now + timedelta(minutes=59))
    await status(api, key["key"])
    assert (await api.http.get(path)).json()["last_used_at"] == first
    await api.world.reach(api.world.now + timedelta(minutes=1))
    await status(api, key["key"])
    assert (await api.http.get(path)).json()["last_used_at"] > first


async def test_what_was_done_with_keys_is_in_the_audit_trail_for_admins_alone(api):
    key = await made(api)
    await api.http.delete(f"/v1/api-keys/{key['id']}")
    told = (await api.http.get(f"/v1/events?subject={key['id']}")).json()["data"]
    assert [event["type"] for event in told] == ["api_key.revoked", "api_key.created"]
    async with api.as_("finance") as http:
        assert (await http.get(f"/v1/events?subject={key['id']}")).json()["data"] == []


async def test_keys_are_listed_by_role_and_customer(api):
    ada = await api.customer()
    key = await made(api, role="customer", customer=ada)
    listed = (await api.http.get(f"/v1/api-keys?customer={ada}&role=customer")).json()["data"]
    assert [one["id"] for one in listed] == [key["id"]]
