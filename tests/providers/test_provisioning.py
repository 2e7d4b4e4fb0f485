"""Provisioning: each step once, whatever the network does, and an answer for everything that a target may say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import httpx
import pytest

from activities.ports import ProviderUnavailable, ProvisioningTarget, StepAnswer
from providers.provisioning import HttpProvisioning
from providers.sandbox import ProvisioningSandbox, Storage, create_sandbox, http_call_back, in_process
from tests.providers.loopback import free_port, served
from tests.providers.stripe_world import StoryClock

DONE = StepAnswer(state="done")


@pytest.fixture
def clock() -> StoryClock:
    return StoryClock()


@pytest.fixture
def sandbox(clock: StoryClock) -> ProvisioningSandbox:
    return ProvisioningSandbox(Storage(), clock=clock)


@pytest.fixture
async def target(sandbox: ProvisioningSandbox) -> AsyncIterator[HttpProvisioning]:
    target = HttpProvisioning("http://target", transport=in_process(sandbox), timeout_seconds=5)
    yield target
    await target.close()


async def provision(target: ProvisioningTarget, key: str = "ord_1/seats", step: str = "seats") -> StepAnswer:
    return await target.provision(order_id="ord_1", step=step, payload={"plan": "pro"}, key=key)


def states(sandbox: ProvisioningSandbox) -> list[tuple[str, str, int]]:
    return [(step["step"], step["state"], step["asked"]) for step in sandbox.steps()]


async def test_a_step_is_done_once_per_key(sandbox: ProvisioningSandbox, target: HttpProvisioning):
    assert [await provision(target) for _ in range(3)] == [DONE] * 3
    assert states(sandbox) == [("seats", "done", 1)]
    assert sandbox.steps()[0]["payload"] == {"plan": "pro"}


async def test_a_step_is_taken_back_and_nothing_to_take_back_is_fine(
    sandbox: ProvisioningSandbox, target: HttpProvisioning
):
    await provision(target)
    assert (await target.undo(order_id="ord_1", step="seats", key="undo")).state == "done"
    assert (await target.undo(order_id="ord_1", step="never", key="undo")).state == "done"
    assert states(sandbox) == [("seats", "undone", 1)]


async def test_a_target_that_is_down_is_asked_again_under_the_same_key(
    sandbox: ProvisioningSandbox, target: HttpProvisioning
):
    sandbox.fail(503, times=3)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable, match="503"):
            await provision(target)
    assert await provision(target) == DONE
    assert states(sandbox) == [("seats", "done", 1)]


async def test_a_target_that_says_no_has_failed_and_says_so_again(
    sandbox: ProvisioningSandbox, target: HttpProvisioning
):
    sandbox.fail(422)
    answer = StepAnswer(state="failed", detail="it cannot be done")
    assert [await provision(target), await provision(target)] == [answer, answer]
    assert await provision(target, key="another try") == DONE


async def test_a_target_that_takes_its_time_calls_back(clock: StoryClock):
    called: list[tuple[str, str, str]] = []

    async def call_back(order: str, step: str, outcome: str) -> None:
        called.append((order, step, outcome))

    sandbox = ProvisioningSandbox(Storage(), clock=clock, call_back=call_back, waits=timedelta(hours=1))
    target = HttpProvisioning("http://target", transport=in_process(sandbox))
    sandbox.fail(202, times=2)
    assert (await provision(target)).state == "waiting"
    assert (await provision(target, key="ord_1/pool", step="pool")).state == "waiting"
    await sandbox.tick()
    assert called == []
    await sandbox.call_back("ord_1", "pool", "fail")
    clock.passes(timedelta(hours=1))
    await sandbox.tick()
    await sandbox.tick()
    assert called == [("ord_1", "pool", "fail"), ("ord_1", "seats", "complete")]
    assert states(sandbox) == [("seats", "done", 1), ("pool", "failed", 1)]
    await target.close()


async def test_over_http_a_step_can_be_told_to_wait_longer_and_nonsense_is_refused(clock: StoryClock):
    async def call_back(_: str, __: str, ___: str) -> None:
        return None

    sandbox = ProvisioningSandbox(Storage(), clock=clock, call_back=call_back)
    target = HttpProvisioning("http://target", transport=in_process(sandbox))
    async with httpx.AsyncClient(transport=in_process(sandbox), base_url="http://sandbox") as client:
        path = "/_sandbox/provisioning/faults"
        for nonsense in (b"x", b"[]", b'{"fail": 202, "times": [1]}'):
            assert (await client.post(path, content=nonsense)).status_code == 400
        await client.post(path, json={"fail": 202, "waits_seconds": 60})
    await provision(target)
    clock.passes(timedelta(seconds=59))
    await sandbox.tick()
    assert states(sandbox) == [("seats", "waiting", 1)]
    clock.passes(timedelta(seconds=1))
    await sandbox.tick()
    assert states(sandbox) == [("seats", "done", 1)]
    await target.close()


async def test_the_call_back_is_a_call_of_our_api_and_is_made_again_until_it_is_taken(clock: StoryClock):
    asked: list[tuple[str, str]] = []
    answers = iter([503, 200])

    async def api(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), request.headers["authorization"]))
        return httpx.Response(next(answers))

    call_back = http_call_back("http://api/", "key_provisioning", httpx.MockTransport(api))
    sandbox = ProvisioningSandbox(Storage(), clock=clock, call_back=call_back)
    target = HttpProvisioning("http://target", transport=in_process(sandbox))
    sandbox.fail(202)
    await provision(target)
    for _ in range(3):
        await sandbox.tick()
    assert asked == [("http://api/v1/orders/ord_1/steps/seats/complete", "Bearer key_provisioning")] * 2
    await target.close()


async def test_an_unheard_answer_is_asked_for_again(sandbox: ProvisioningSandbox, target: HttpProvisioning):
    sandbox.fail("timeout")
    with pytest.raises(ProviderUnavailable, match="did not answer"):
        await provision(target)
    assert await provision(target) == DONE


async def test_a_silent_target_is_waited_for_no_longer_than_agreed(sandbox: ProvisioningSandbox):
    sandbox.fail("timeout", times=2)
    async with served(sandbox) as address:
        target = HttpProvisioning(address, timeout_seconds=0.2)
        with pytest.raises(ProviderUnavailable):
            await provision(target)
        await target.close()
    target = HttpProvisioning("http://target", transport=httpx.ASGITransport(sandbox), timeout_seconds=0.2)
    with pytest.raises(ProviderUnavailable):
        await provision(target)
    await target.close()


async def test_a_target_that_is_not_there_is_unavailable():
    target = HttpProvisioning(f"http://127.0.0.1:{free_port()}", timeout_seconds=2)
    with pytest.raises(ProviderUnavailable, match="ConnectError"):
        await provision(target)
    await target.close()


def answering(status: int, body: object = None) -> HttpProvisioning:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=body) if body is not None else httpx.Response(status, text="<html>")

    return HttpProvisioning("http://target", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, "done"), (201, "done"), (204, "done"), (202, "waiting"), (400, "failed"), (404, "failed"), (422, "failed")],
)
async def test_what_each_answer_means(status: int, state: str):
    assert (await provision(answering(status))).state == state


@pytest.mark.parametrize("status", [301, 401, 403, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_answers_of_a_target_that_did_not_look_at_the_step_are_no_answers(status: int):
    with pytest.raises(ProviderUnavailable, match=str(status)):
        await provision(answering(status))


@pytest.mark.parametrize("status", [404, 410])
async def test_undoing_what_the_target_does_not_know_is_done(status: int):
    assert (await answering(status).undo(order_id="ord_1", step="seats", key="undo")).state == "done"


@pytest.mark.parametrize(
    ("body", "detail"),
    [({"detail": "no seats left"}, "no seats left"), ({"detail": 7}, ""), (["no"], ""), (None, "")],
)
async def test_the_reason_is_passed_on_to_people(body: object, detail: str):
    answer = await provision(answering(422, body))
    assert answer.detail == (detail or "the provisioning target answered 422")


@pytest.mark.parametrize("blank", ["", " "])
async def test_an_empty_key_or_id_never_leaves_the_house(target: HttpProvisioning, blank: str):
    calls: list[Callable[[], object]] = [
        lambda: target.provision(order_id=blank, step="s", payload={}, key="k"),
        lambda: target.provision(order_id="o", step=blank, payload={}, key="k"),
        lambda: target.provision(order_id="o", step="s", payload={}, key=blank),
        lambda: target.undo(order_id="o", step="s", key=blank),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="is empty"):
            await call()  # pyright: ignore[reportGeneralTypeIssues]


async def test_ids_with_slashes_stay_one_part_of_the_path():
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, json={})

    target = HttpProvisioning("http://target/base", api_key="k", transport=httpx.MockTransport(answer))
    await target.provision(order_id="a/b", step="c?d", payload={}, key="k")
    assert seen == ["/base/orders/a%2Fb/steps/c%3Fd"]


async def test_both_sandboxes_live_under_one_roof(clock: StoryClock):
    world = create_sandbox(clock=clock)
    target = HttpProvisioning("http://sandbox", transport=in_process(world))
    async with httpx.AsyncClient(transport=in_process(world), base_url="http://sandbox") as client:
        await client.post("/_sandbox/provisioning/faults", json={"fail": 503, "times": 1})
        with pytest.raises(ProviderUnavailable):
            await provision(target)
        assert (await client.post("/_sandbox/provisioning/faults", json={"fail": 418})).status_code == 400
        await provision(target)
        provisioned = (await client.get("/_sandbox/provisioned")).json()["data"]
        assert [(step["order"], step["step"], step["state"]) for step in provisioned] == [("ord_1", "seats", "done")]
        assert (await client.get("/_sandbox/charges")).json() == {"data": []}
    await target.close()
    world.close()


async def test_a_server_lets_time_have_its_effect_by_itself(clock: StoryClock):
    told = asyncio.Event()

    async def call_back(_: str, __: str, ___: str) -> None:
        told.set()

    world = create_sandbox(clock=clock, call_back=call_back)
    world.provisioning.fail(202)
    async with served(world) as address:
        target = HttpProvisioning(address)
        assert (await provision(target)).state == "waiting"
        async with asyncio.timeout(5):
            await told.wait()
        await target.close()
    world.close()
