"""Roles: the table, cell by cell, as the API lives it; and what of the books a customer sees."""

import httpx
import pytest
import pytest_asyncio

from api.app import ROUTERS
from api.endpoint import Endpoint
from api.roles import ADMIN_ONLY, ROLES
from store.access import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

CELLS = [
    (role, method, path, role is Role.ADMIN or role in allowed)
    for path, methods in ROLES.items()
    for method, allowed in methods.items()
    for role in Role
]


def routes() -> set[tuple[str, str]]:
    found = [route for router in ROUTERS for route in router.routes if isinstance(route, Endpoint)]
    return {(method, route.path) for route in found for method in route.methods or ()}


async def test_the_table_names_every_route_and_no_other():
    assert routes() == {(method, path) for path, methods in ROLES.items() for method in methods}


async def test_the_table_is_the_contracts():
    assert ROLES["/v1/catalog"]["PUT"] == ADMIN_ONLY
    assert ROLES["/v1/quotes"]["POST"] == {Role.SALES}
    assert ROLES["/v1/orders/{id}/retry"]["POST"] == {Role.PROVISIONING}
    assert ROLES["/v1/usage"]["POST"] == {Role.USAGE}
    assert ROLES["/v1/entitlements/{customer}/{feature}"]["GET"] == {Role.USAGE, Role.CUSTOMER}
    assert ROLES["/v1/collections"]["GET"] == {Role.FINANCE}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(api):
    return await api.customer()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(api):
    return await api.customer(payment_method="pm_card_visa")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(api, theirs):
    return await api.sold(theirs)


@pytest.mark.parametrize(("role", "method", "path", "allowed"), CELLS, ids=lambda cell: str(cell))
async def test_a_cell(api, ada, role, method, path, allowed):
    more = {"customer": ada} if role is Role.CUSTOMER else {}
    nobodys = path.replace("{", "none-").replace("}", "")
    async with api.as_(role, **more) as http:
        answer = await http.request(method, nobodys, content=b"" if method == "GET" else b"{")
    if allowed:
        assert answer.status_code not in {401, 403, 500}, answer.text
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


class TestWhoCalls:
    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer  ", "Basic YTpi", "Bearer nobody", "Bearer ü", "Bearer " + "x" * 9000]
    )
    async def test_nobody_we_know(self, api, header):
        transport = httpx.ASGITransport(api.world.world.api)
        headers = [] if header is None else [(b"authorization", header.encode())]
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
            for path in ("/v1/quotes", "/v1/ledger/trial-balance"):
                answer = await http.get(path)
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"

    async def test_a_revoked_key_is_nobody(self, api):
        made = (await api.http.post("/v1/api-keys", json={"role": "finance"})).json()
        async with api.as_("finance", label="to be revoked") as http:
            http.headers["Authorization"] = f"Bearer {made['key']}"
            assert (await http.get("/v1/collections")).status_code == 200
            assert (await api.http.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
            assert (await http.get("/v1/collections")).status_code == 401
        assert (await api.http.delete(f"/v1/api-keys/{made['id']}")).status_code == 204

    async def test_secrets_are_told_once(self, api):
        made = (await api.http.post("/v1/api-keys", json={"role": "sales", "approver": ["finance"]})).json()
        assert made["key"].startswith("prn_")
        listed = (await api.http.get("/v1/api-keys")).json()["data"][0]
        assert listed["id"] == made["id"]
        assert "key" not in listed
        assert listed["approver"] == ["finance"]

    async def test_a_key_carries_one_approver_s_name_or_several(self, api):
        for given, carried in (("finance", ["finance"]), (["a", "b", "a"], ["a", "b"])):
            made = await api.http.post("/v1/api-keys", json={"role": "sales", "approver": given})
            assert made.json()["approver"] == carried
        refused = await api.http.post("/v1/api-keys", json={"role": "sales", "approver": "a b"})
        assert refused.json()["errors"][0]["loc"][0] == "approver"

    async def test_keys_are_listed_by_the_page(self, api):
        made = [(await api.http.post("/v1/api-keys", json={"role": "usage"})).json()["id"] for _ in range(3)]
        page = (await api.http.get("/v1/api-keys?limit=2")).json()
        rest = (await api.http.get(f"/v1/api-keys?limit=1&cursor={page['next_cursor']}")).json()
        assert [key["id"] for key in page["data"] + rest["data"]] == made[::-1]


class TestAnotherCustomersThings:
    async def test_do_not_exist(self, api, ada, theirs, key):
        paths = [
            f"/v1/customers/{theirs}",
            f"/v1/quotes/{key}",
            f"/v1/quotes/{key}/pdf",
            f"/v1/orders/{key}",
            f"/v1/subscriptions/{key}",
            f"/v1/subscriptions/{key}/timeline",
            f"/v1/invoices/{key}%231",
            f"/v1/invoices/{key}%231/pdf",
            f"/v1/entitlements/{theirs}",
            f"/v1/entitlements/{theirs}/weights",
            f"/v1/usage?customer={theirs}&meter=pool_entries",
        ]
        async with api.as_("customer", customer=ada) as stranger, api.as_("customer", customer=theirs) as owner:
            for path in paths:
                answer = await stranger.get(path)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
                assert (await owner.get(path)).status_code == 200, path

    async def test_are_told_apart_from_nothing_by_nobody(self, api, ada, key):
        async with api.as_("customer", customer=ada) as http:
            theirs, nothing = await http.get(f"/v1/quotes/{key}"), await http.get("/v1/quotes/none")
        assert theirs.json()["detail"].replace(key, "none") == nothing.json()["detail"]

    async def test_cannot_be_touched(self, api, ada, theirs, key):
        async with api.as_("customer", customer=ada) as http:
            for path in (f"/v1/quotes/{key}/accept", f"/v1/customers/{theirs}/payment-methods"):
                answer = await http.post(path, json={} if "accept" in path else {"use": "pm_card_visa"})
                assert answer.status_code == 404

    async def test_are_in_no_list(self, api, ada, theirs, key):
        for noun in ("quotes", "orders", "subscriptions", "invoices", "events"):
            async with api.as_("customer", customer=ada) as http:
                assert {one["customer"] for one in (await http.get(f"/v1/{noun}?limit=200")).json()["data"]} <= {ada}
                assert (await http.get(f"/v1/{noun}?customer={ada}")).status_code == 200
                assert (await http.get(f"/v1/{noun}?customer={theirs}")).status_code == 404
            async with api.as_("customer", customer=theirs) as http:
                assert {one["customer"] for one in (await http.get(f"/v1/{noun}")).json()["data"]} == {theirs}


class TestHistories:
    """What has happened is told to those who work with it; money to those who work with money."""

    @pytest.mark.parametrize(
        ("role", "seen", "unseen"),
        [
            (Role.ADMIN, {"catalog", "quote", "order", "payment"}, set()),
            (Role.FINANCE, {"invoice", "payment", "quote"}, {"catalog"}),
            (
                Role.SALES,
                {"customer", "quote", "order", "subscription"},
                {"catalog", "invoice", "payment", "collection"},
            ),
            (Role.PROVISIONING, {"order", "entitlement"}, {"catalog", "customer", "quote", "invoice", "payment"}),
            (Role.USAGE, {"subscription", "entitlement"}, {"catalog", "customer", "order", "invoice", "payment"}),
            (Role.CUSTOMER, {"quote", "order", "invoice", "payment"}, {"catalog"}),
        ],
    )
    async def test_are_told_by_role(self, api, theirs, key, role, seen, unseen):
        more = {"customer": theirs} if role is Role.CUSTOMER else {}
        async with api.as_(role, **more) as http:
            events = (await http.get("/v1/events?limit=200")).json()["data"]
            timeline = (await http.get(f"/v1/subscriptions/{key}/timeline?limit=200")).json()["data"]
        told = {event["type"].partition(".")[0] for event in events}
        assert seen <= told
        assert not unseen & told
        assert {event["type"].partition(".")[0] for event in timeline} <= told

    @pytest.mark.parametrize("query", ["type=invoice.", "type=payment.succeeded"])
    async def test_cannot_be_asked_for_by_name(self, api, key, query):
        async with api.as_("usage") as http:
            assert (await http.get(f"/v1/events?{query}")).json()["data"] == []
        assert (await api.http.get(f"/v1/events?{query}")).json()["data"]
