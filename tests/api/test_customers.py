"""Customers: made, changed, and given something to pay with."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_customer_is_shown_without_what_the_provider_calls_it(api):
    key = await api.customer(payment_method="pm_card_visa", address=["Sonnenallee 12"], email="ada@example.com")
    shown = (await api.http.get(f"/v1/customers/{key}")).json()
    assert shown["payment_method"] == "visa •4242"
    assert shown["address"] == ["Sonnenallee 12"]
    assert not {"provider_ref", "method_label"} & shown.keys()
    assert shown["created_at"].endswith("Z")


async def test_a_patch_changes_what_it_gives(api):
    key = await api.customer(email="ada@example.com", tax_id="DE1")
    answer = await api.http.patch(f"/v1/customers/{key}", json={"email": None, "country": "FR"})
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["email"], changed["country"], changed["tax_id"], changed["name"]) == (None, "FR", "DE1", "Ada")
    assert (await api.http.get(f"/v1/customers/{key}")).json() == changed


@pytest.mark.parametrize(
    ("patch", "loc"),
    [
        ({"currency": "USD"}, ["currency"]),
        ({"key": "new"}, ["key"]),
        ({"name": None}, ["name"]),
        ({"timezone": "Nowhere/City"}, ["timezone"]),
        ({"address": ["x"] * 11}, ["address"]),
        ([], []),
    ],
)
async def test_a_patch_that_cannot_be(api, patch, loc):
    key = await api.customer()
    answer = await api.http.patch(f"/v1/customers/{key}", json=patch)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, loc)


async def test_a_method_is_used_from_now_on(api):
    key = await api.customer()
    answer = await api.http.post(f"/v1/customers/{key}/payment-methods", json={"use": "pm_card_mastercard"})
    assert answer.status_code == 200, answer.text
    assert "4444" in answer.json()["payment_method"]


async def test_a_new_customer_with_a_method_charges_it(api):
    key = await api.customer(payment_method="pm_card_visa")
    again = {"key": key, "name": "Ada", "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
    answer = await api.http.post("/v1/customers", json={**again, "payment_method": "pm_card_visa"})
    assert (answer.status_code, answer.json()["payment_method"]) == (200, "visa •4242")


async def test_customers_are_listed_newest_first(api):
    keys = [await api.customer() for _ in range(3)]
    page = (await api.http.get("/v1/customers?limit=3")).json()
    assert [one["key"] for one in page["data"]] == keys[::-1]
    assert page["next_cursor"]


@pytest.mark.parametrize("email", ["no address", "a@b.c\r\nBcc: evil@x.y", "a@b.c, d@e.f", "<a@b.c>", "@b.c"])
async def test_an_address_that_would_break_a_mail_is_refused(api, email):
    body = {"name": "Ada", "currency": "EUR", "email": email}
    answer = await api.http.post("/v1/customers", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["email"])
