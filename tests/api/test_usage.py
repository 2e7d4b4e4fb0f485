"""Usage: each event is accepted, a duplicate, or rejected with a code; what is accepted is counted and billed."""

import json
from datetime import timedelta

import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")


def event(subject, id, type="pool.entered", **more):
    return {"specversion": "1.0", "id": id, "source": "door", "type": type, "subject": subject} | more


async def send(api, events, content_type="application/json"):
    answer = await api.http.post("/v1/usage", content=json.dumps(events), headers={"content-type": content_type})
    assert answer.status_code == 202, answer.text
    return answer.json()


def at(api, **ago):
    return (api.world.now - timedelta(**ago)).isoformat()


@pytest_asyncio.fixture(loop_scope="module")
async def ada(api):
    return await api.customer()


class TestTheAnswer:
    async def test_counts_what_was_new(self, api, ada):
        assert await send(api, [event(ada, "e1"), event(ada, "e2")]) == {"accepted": 2, "duplicates": 0, "rejected": []}

    async def test_counts_what_was_sent_before_and_twice(self, api, ada):
        await send(api, [event(ada, "e1")])
        again = await send(
            api, [event(ada, "e1"), event(ada, "e2"), event(ada, "e2", source="other"), event(ada, "e2")]
        )
        assert again == {"accepted": 2, "duplicates": 2, "rejected": []}

    async def test_tells_customers_apart(self, api, ada):
        other = await api.customer()
        assert (await send(api, [event(ada, "e1"), event(other, "e1")]))["accepted"] == 2

    async def test_knows_a_customer_by_id_as_well(self, api, ada):
        id_ = (await api.http.get(f"/v1/customers/{ada}")).json()["id"]
        assert await send(api, [event(ada, "e1"), event(id_, "e1")]) == {"accepted": 1, "duplicates": 1, "rejected": []}

    @pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "application/json", "text/plain"])
    async def test_takes_a_batch(self, api, ada, kind):
        assert (await send(api, [event(ada, "e1")], kind))["accepted"] == 1

    async def test_takes_one_event(self, api, ada):
        assert (await send(api, event(ada, "e1"), "application/cloudevents+json"))["accepted"] == 1

    async def test_judges_each_event_by_itself(self, api, ada):
        batch = [
            event(ada, "ok"),
            event("nobody", "a"),
            event(ada, "b", "sauna.entered"),
            event(ada, "c", time=at(api, days=36)),
            event(ada, "d", time=at(api, minutes=-6)),
            event(ada, "e", "court.booked"),
            "nonsense",
            event(ada, "fine", time=at(api, minutes=-4)),
        ]
        answer = await send(api, batch)
        assert (answer["accepted"], answer["duplicates"]) == (2, 0)
        assert [(one["index"], one["id"], one["code"]) for one in answer["rejected"]] == [
            (1, "a", "unknown_customer"),
            (2, "b", "unknown_event"),
            (3, "c", "too_old"),
            (4, "d", "in_future"),
            (5, "e", "invalid_event"),
            (6, None, "invalid_event"),
        ]
        assert all(one["detail"] for one in answer["rejected"])

    async def test_what_nobody_could_count_is_found_again(self, api, ada):
        nobody, unheard = api.fresh("nobody"), api.fresh("unheard.")
        first = api.world.now
        await send(api, [event(nobody, "a"), event(nobody, "b"), event(ada, "c", unheard)])
        await api.world.reach(first + timedelta(hours=1))
        await send(api, [event(nobody, "b")])
        async with api.as_("usage") as http:
            found = (await http.get("/v1/usage/refused?limit=2")).json()["data"]
            [unknown] = (await http.get("/v1/usage/refused?code=unknown_customer&limit=1")).json()["data"]
            [mistyped] = (await http.get("/v1/usage/refused?code=unknown_event&limit=1")).json()["data"]
        assert {one["code"] for one in found} == {"unknown_customer", "unknown_event"}
        assert (unknown["subject"], unknown["code"], unknown["times"]) == (nobody, "unknown_customer", 3)
        assert (unknown["last_id"], unknown["detail"]) == ("b", f"no customer {nobody}")
        assert unknown["first_at"] < unknown["last_at"]
        assert (mistyped["subject"], mistyped["type"], mistyped["code"]) == (ada, unheard, "unknown_event")


class TestAnEventThatIsNone:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"specversion": "0.3"},
            {"specversion": None},
            {"id": ""},
            {"id": 5},
            {"id": "x" * 256},
            {"id": "a\x00"},
            {"id": "a\ud800"},
            {"source": None},
            {"type": "\ud800"},
            {"subject": {}},
            {"time": "yesterday"},
            {"time": "2026-01-31T08:00:00"},
            {"time": "0001-01-01T00:00:00+14:00"},
            {"time": 1769846400},
            {"data": []},
            {"data": "text"},
            {"data_base64": "YQ=="},
            {"data": {"a\x00": 1}},
            {"data": {"a": {"b": "\x00"}}},
            {"data": {"a": [[[[[[[[[1]]]]]]]]]}},
        ],
    )
    async def test_is_rejected_alone(self, api, ada, wrong):
        answer = await send(api, [event(ada, "w") | wrong, event(ada, "ok")])
        assert answer["accepted"] == 1
        assert [one["code"] for one in answer["rejected"]] == ["invalid_event"]

    @pytest.mark.parametrize("hours", ['"1.5"', "1.5", "2", '"-1"', "1e2", '"0.25"'])
    async def test_a_value_is_a_number_or_a_numeric_string(self, api, ada, hours):
        raw = json.dumps(event(ada, "e1", "court.booked", data={"hours": "?"})).replace('"?"', hours)
        answer = await api.http.post("/v1/usage", content=raw)
        assert answer.json()["accepted"] == 1

    @pytest.mark.parametrize(
        "hours", ['"many"', "null", "true", "[]", "{}", '""', "NaN", "Infinity", "1e300", '"1e99"', "9" * 60, '"0x10"']
    )
    async def test_anything_else_is_no_value(self, api, ada, hours):
        raw = json.dumps(event(ada, "e1", "court.booked", data={"hours": "?"})).replace('"?"', hours)
        answer = await api.http.post("/v1/usage", content=raw)
        assert answer.status_code == 202
        assert [one["code"] for one in answer.json()["rejected"]] == ["invalid_event"]

    async def test_what_tells_apart_must_be_there(self, api, ada):
        answer = await send(
            api, [event(ada, "a", "door.opened"), event(ada, "b", "door.opened", data={"member": "m1"})]
        )
        assert (answer["accepted"], answer["rejected"][0]["id"]) == (1, "a")


class TestWhatWasCounted:
    async def test_by_day_in_the_customers_zone(self, api, ada):
        now = api.world.now
        await send(api, [event(ada, f"e{n}", time=(now - timedelta(days=n)).isoformat()) for n in (0, 1, 1.5)])
        rows = (await api.http.get("/v1/usage", params={"customer": ada, "meter": "pool_entries"})).json()["data"]
        assert sum(int(row["quantity"]) for row in rows) == 2  # what happens at the very end is not in it
        assert all(row["group"] is None for row in rows)
        assert all(row["end"][11:16] in {"23:00", now.isoformat()[11:16]} for row in rows)

    async def test_by_group_exactly(self, api, ada):
        booked = [("1", "0.1"), ("1", "0.2"), ("2", 3)]
        await send(
            api,
            [
                event(ada, f"b{n}", "court.booked", data={"hours": hours, "court": court}, time=at(api, hours=1))
                for n, (court, hours) in enumerate(booked)
            ],
        )
        params = {"customer": ada, "meter": "court_hours", "group_by": "court", "window": "month"}
        rows = (await api.http.get("/v1/usage", params=params)).json()["data"]
        assert [(row["group"], row["quantity"], row["events"]) for row in rows] == [
            ({"court": "1"}, "0.3", 2),
            ({"court": "2"}, "3", 1),
        ]

    async def test_a_bare_number_with_a_point_stays_exact(self, api, ada):
        raw = json.dumps(
            [event(ada, f"f{n}", "court.booked", data={"hours": "?"}, time=at(api, hours=1)) for n in range(3)]
        )
        await api.http.post("/v1/usage", content=raw.replace('"?"', "0.1"))
        rows = (await api.http.get("/v1/usage", params={"customer": ada, "meter": "court_hours"})).json()["data"]
        assert [row["quantity"] for row in rows] == ["0.3"]

    async def test_between_two_instants_half_open(self, api, ada):
        start = api.world.now - timedelta(hours=3)
        await send(api, [event(ada, f"e{n}", time=(start + timedelta(hours=n)).isoformat()) for n in range(3)])
        params = {"customer": ada, "meter": "pool_entries", "window": "hour"}
        params |= {"from": start.isoformat(), "to": (start + timedelta(hours=2)).isoformat()}
        rows = (await api.http.get("/v1/usage", params=params)).json()["data"]
        assert sum(int(row["quantity"]) for row in rows) == 2

    @pytest.mark.parametrize(
        ("params", "status", "loc"),
        [
            ({"meter": "none"}, 404, None),
            ({"meter": "pool_entries", "from": "soon"}, 422, ["from"]),
            ({"meter": "pool_entries", "from": "2026-02-01", "to": "2026-01-01"}, 422, ["from"]),
            ({"meter": "pool_entries", "from": "0001-01-01"}, 422, ["from"]),
            ({"meter": "pool_entries", "to": "9999-12-31"}, 422, ["to"]),
            ({"meter": "pool_entries", "from": "2000-01-01", "window": "hour"}, 422, ["window"]),
            ({"meter": "court_hours", "group_by": "colour"}, 422, ["group_by"]),
            ({"meter": "pool_entries", "window": "year"}, 422, ["window"]),
        ],
    )
    async def test_a_question_that_is_none(self, api, ada, params, status, loc):
        answer = await api.http.get("/v1/usage", params={"customer": ada, **params})
        assert answer.status_code == status, answer.text
        if loc:
            assert answer.json()["errors"][0]["loc"] == loc


class TestEntitlements:
    async def test_what_was_not_bought_is_shut(self, api, ada):
        answer = (await api.http.get(f"/v1/entitlements/{ada}/pool")).json()
        assert (answer["allowed"], answer["reason"]) == (False, "not_entitled")

    async def test_usage_counts_against_the_limit(self, api):
        bob = await api.customer(payment_method="pm_card_visa")
        await api.sold(bob)
        await send(api, [event(bob, "e1")])
        answer = (await api.http.get(f"/v1/entitlements/{bob}/pool")).json()
        assert (answer["allowed"], answer["limit"], answer["used"], answer["remaining"]) == (True, "2", "1", "1")
        assert answer["resets_at"].endswith(":00:00Z")
        await send(api, [event(bob, "e2"), event(bob, "e3")])
        answer = (await api.http.get(f"/v1/entitlements/{bob}/pool")).json()
        assert (answer["allowed"], answer["used"], answer["remaining"]) == (False, "3", "0")
        every = (await api.http.get(f"/v1/entitlements/{bob}")).json()["data"]
        assert {one["feature"]: one["allowed"] for one in every} == {"weights": True, "guests": True, "pool": False}
        assert next(one for one in every if one["feature"] == "guests")["value"] == "2"

    @pytest.mark.parametrize("path", ["nobody", "nobody/pool"])
    async def test_of_nobody(self, api, path):
        assert (await api.http.get(f"/v1/entitlements/{path}")).status_code == 404

    async def test_of_no_feature(self, api, ada):
        assert (await api.http.get(f"/v1/entitlements/{ada}/sauna")).status_code == 404
