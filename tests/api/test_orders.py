"""Orders: targets that are away, that call back, and that never will."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def target(api):
    return api.world.world.sandbox.provisioning


async def accepted(api):
    key = await api.quote(await api.customer(payment_method="pm_card_visa"))
    answer = await api.http.post(f"/v1/quotes/{key}/accept?wait=PT10S")
    return key, answer.json()


async def post(api, path, body=None):
    answer = await api.http.post(path, json={} if body is None else body)
    return answer.status_code, answer.json()


class TestATargetThatCallsBack:
    async def test_is_waited_for_and_completes(self, api, target):
        target.fail(202)
        key, order = await accepted(api)
        assert (order["state"], order["waiting_on"]) == ("waiting", "provider")
        assert order["next_action"] == "give up on account"
        status, order = await post(api, f"/v1/orders/{key}/steps/account/complete?wait=PT10S", {"detail": "door opens"})
        assert (status, order["state"]) == (200, "completed")
        assert order["steps"][0] == {**order["steps"][0], "state": "done", "detail": "door opens"}

    async def test_may_say_the_same_again_but_not_the_opposite(self, api, target):
        target.fail(202)
        key, _ = await accepted(api)
        await post(api, f"/v1/orders/{key}/steps/account/complete?wait=PT10S")
        assert (await post(api, f"/v1/orders/{key}/steps/account/complete"))[0] == 200
        status, problem = await post(api, f"/v1/orders/{key}/steps/account/fail")
        assert (status, problem["code"]) == (409, "invalid_state")

    async def test_that_never_will_takes_everything_back(self, api, target):
        target.fail(202)
        key, _ = await accepted(api)
        status, order = await post(api, f"/v1/orders/{key}/steps/account/fail?wait=PT10S", {"detail": "no such door"})
        assert (status, order["state"], order["subscription"]) == (200, "cancelled", None)
        assert (await api.http.get(f"/v1/subscriptions/{key}")).status_code == 404

    async def test_cannot_report_a_step_that_is_none(self, api, target):
        target.fail(202)
        key, _ = await accepted(api)
        status, problem = await post(api, f"/v1/orders/{key}/steps/sauna/complete")
        assert (status, problem["code"]) == (404, "not_found")

    async def test_cannot_report_what_nobody_asked_for_yet(self, api, target):
        target.fail(202)
        key, _ = await accepted(api)
        status, problem = await post(api, f"/v1/orders/{key}/steps/all-access-1/complete")
        assert (status, problem["code"]) == (409, "invalid_state")


class TestATargetThatIsAway:
    async def test_is_asked_again_when_somebody_says_so(self, api, target):
        target.fail(503)
        key = await api.quote(await api.customer(payment_method="pm_card_visa"))
        await post(api, f"/v1/quotes/{key}/accept")
        from tests.api.conftest import eventually

        async def is_told():
            order = (await api.http.get(f"/v1/orders/{key}")).json()
            return order["steps"][0]["state"] == "unavailable"

        await eventually(is_told)
        order = (await api.http.get(f"/v1/orders/{key}")).json()
        assert (order["state"], order["next_action"]) == ("provisioning", "retry account")
        status, order = await post(api, f"/v1/orders/{key}/retry?wait=PT10S")
        assert (status, order["state"]) == (202, "completed")

    async def test_has_nothing_to_be_asked_once_all_is_done(self, api):
        key, order = await accepted(api)
        assert order["state"] == "completed"
        status, problem = await post(api, f"/v1/orders/{key}/retry")
        assert (status, problem["code"]) == (409, "invalid_state")


async def test_orders_are_listed_by_state(api, target):
    target.fail(202)
    key, _ = await accepted(api)
    waiting = (await api.http.get("/v1/orders?state=waiting")).json()["data"]
    assert key in {order["key"] for order in waiting}
    assert {order["state"] for order in waiting} == {"waiting"}
