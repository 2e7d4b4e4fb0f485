"""Sending: commands reach their workflow, or the record says why not; refusals come back as the domain's own."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api import sending
from api.app import create_app
from api.problems import Unavailable
from api.sending import NotRunning, send
from domain.errors import FieldError, InvalidInput, PricingError, QuoteExpired
from domain.quote import Quote
from workers.plugin import plugin, told
from workflows.quote import QuoteWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Handle:
    """A workflow that answers each update with the next of what it was given."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def get_workflow_handle(self, to):
        return self

    async def execute_update(self, update, command, *, id, result_type):
        self.asked.append(id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def rpc(status):
    return RPCError("no", status, b"")


def ended():
    return WorkflowUpdateFailedError(ApplicationError("the run ended", type="AcceptedUpdateCompletedWorkflow"))


async def sent(handle, within=timedelta(seconds=5)):
    context = SimpleNamespace(temporal=handle, answer_within=within)
    return await send(context, QuoteWorkflow.move, "command", to="quote/q", token="t1", answer=Quote)


class TestOneSend:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch):
        monkeypatch.setattr(sending, "STEP_S", 0)

    async def test_asks_again_under_the_same_id_when_the_run_ended_meanwhile(self):
        handle = Handle(ended(), rpc(RPCStatusCode.ABORTED), "answer")
        assert await sent(handle) == "answer"
        assert handle.asked == ["t1", "t1", "t1"]

    async def test_gives_up_on_a_workflow_that_keeps_changing_runs(self):
        with pytest.raises(Unavailable):
            await sent(Handle(*[ended() for _ in range(9)]))

    async def test_says_that_nothing_runs(self):
        with pytest.raises(NotRunning):
            await sent(Handle(rpc(RPCStatusCode.NOT_FOUND)))

    async def test_lets_an_outage_through(self):
        with pytest.raises(RPCError):
            await sent(Handle(rpc(RPCStatusCode.UNAVAILABLE)))

    async def test_does_not_wait_for_ever(self):
        class Silent(Handle):
            async def execute_update(self, *_, **__):
                await asyncio.Event().wait()

        with pytest.raises(Unavailable):
            await sent(Silent(), within=timedelta(milliseconds=20))

    @pytest.mark.parametrize(
        "refusal",
        [
            QuoteExpired("too late"),
            InvalidInput("no plan", (FieldError(("lines", 0, "plan"), "unknown"),)),
            PricingError("unmatched_dimension", "no price"),
        ],
    )
    async def test_brings_back_what_an_activity_refused(self, refusal):
        with pytest.raises(type(refusal)) as caught:
            await sent(Handle(WorkflowUpdateFailedError(told(refusal))))
        assert (caught.value.code, caught.value.detail) == (refusal.code, refusal.detail)
        assert getattr(caught.value, "errors", None) == getattr(refusal, "errors", None)

    async def test_lets_through_what_is_no_rules_refusal(self):
        with pytest.raises(ApplicationError):
            await sent(Handle(WorkflowUpdateFailedError(ApplicationError("bug", type="KeyError"))))


class TestALostWorkflow:
    async def test_of_an_open_quote_is_run_again_from_its_record(self, api):
        key = await api.quote(await api.customer())
        quote = (await api.http.get(f"/v1/quotes/{key}")).json()
        await api.world.client.get_workflow_handle(f"quote/{quote['id']}").terminate()
        answer = await api.http.post(f"/v1/quotes/{key}/submit", json={})
        assert (answer.status_code, answer.json()["state"]) == (200, "approved")
        answer = await api.http.post(f"/v1/quotes/{key}/accept?wait=PT20S", json={})
        assert answer.json()["state"] == "completed"

    async def test_of_a_waiting_order_too(self, api):
        api.world.world.sandbox.provisioning.fail(202)
        key = await api.quote(await api.customer())
        order = (await api.http.post(f"/v1/quotes/{key}/accept?wait=PT20S", json={})).json()
        assert order["state"] == "waiting"
        await api.world.client.get_workflow_handle(f"order/{order['id']}").terminate()
        answer = await api.http.post(f"/v1/orders/{key}/steps/account/complete?wait=PT20S", json={})
        assert (answer.status_code, answer.json()["state"]) == (200, "completed")


@asynccontextmanager
async def without_temporal(api, port=9):
    client = await Client.connect(f"127.0.0.1:{port}", lazy=True, plugins=[plugin()])
    context = replace(api.world.world.api.state.context, temporal=client, answer_within=timedelta(seconds=1))
    headers = {"authorization": api.http.headers["authorization"]}
    transport = httpx.ASGITransport(create_app(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=60) as http:
        yield http


class TestWhileTemporalIsAway:
    async def test_verbs_are_unavailable_and_nothing_is_done(self, api):
        ada = await api.customer()
        key = await api.quote(ada)
        async with without_temporal(api) as http:
            for path, body in (
                ("/v1/quotes", {"customer": ada, "lines": [{"plan": "all-access"}]}),
                (f"/v1/quotes/{key}/accept", {}),
            ):
                answer = await http.post(path, json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
                assert "retry-after" in answer.headers
        assert (await api.http.get(f"/v1/quotes/{key}")).json()["state"] == "draft"

    async def test_reads_usage_and_checks_go_on(self, api):
        ada = await api.customer()
        async with without_temporal(api) as http:
            assert (await http.get(f"/v1/customers/{ada}")).status_code == 200
            assert (await http.get(f"/v1/entitlements/{ada}/weights")).status_code == 200
            event = {"specversion": "1.0", "id": "e1", "source": "s", "type": "pool.entered", "subject": ada}
            assert (await http.post("/v1/usage", json=[event])).json()["accepted"] == 1

    async def test_readiness_says_which_room_is_away(self, api):
        async with without_temporal(api) as http:
            answer = await http.get("/readyz")
            assert answer.status_code == 200
            assert answer.json() == {"status": "degraded", "database": "ok", "temporal": "unreachable"}
            assert (await http.get("/healthz")).status_code == 200

    async def test_readiness_does_not_wait_for_a_temporal_that_says_nothing(self, api):
        async def silent(_reader, _writer):
            await asyncio.Event().wait()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with without_temporal(api, port) as http, asyncio.timeout(2.5):
            assert (await http.get("/readyz")).json()["temporal"] == "unreachable"
        server.close()
