"""The sandbox's Stripe: the part of its v1 API that the adapter uses, over HTTP, and a way to make it misbehave.

    request ──> door: key of the account, rate limit, parameters            never stored
            ──> idempotency: replay, other parameters, in use, locked
            ──> carried out in a task of its own, whether or not the caller stays; its answer is stored with it
            ──> webhooks

Control, for tests and for the curious: /_sandbox/faults, /charges, /webhooks, /tick, /release, /intents/{id}/….
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from providers.sandbox import objects, problems
from providers.sandbox.account import Account, Call
from providers.sandbox.control import control_routes
from providers.sandbox.faults import Faults
from providers.sandbox.forms import Fields, read_form
from providers.sandbox.in_process import is_in_process, no_answer
from providers.sandbox.keys import Answer, Keys
from providers.sandbox.problems import Problem
from providers.sandbox.storage import Json, Storage, derived
from providers.sandbox.webhooks import Deliver, Webhooks


@dataclass(frozen=True, slots=True)
class _Operation:
    """One POST: its name, where it is, what it takes, what it does."""

    name: str
    path: str
    fields: Fields
    required: tuple[str, ...]
    run: Callable[[Account, Call], Json]


_OPERATIONS = (
    _Operation("create_customer", "/v1/customers", {"metadata": dict, "description": str}, (), Account.create_customer),
    _Operation(
        "attach_method",
        "/v1/payment_methods/{ref}/attach",
        {"customer": str},
        ("customer",),
        Account.attach_method,
    ),
    _Operation("detach_method", "/v1/payment_methods/{ref}/detach", {}, (), Account.detach_method),
    _Operation(
        "create_intent",
        "/v1/payment_intents",
        {
            "amount": int,
            "currency": str,
            "customer": str,
            "payment_method": str,
            "automatic_payment_methods": dict,
            "metadata": dict,
            "description": str,
        },
        ("amount", "currency"),
        Account.create_intent,
    ),
    _Operation(
        "confirm_intent",
        "/v1/payment_intents/{ref}/confirm",
        {"payment_method": str, "off_session": str},
        (),
        Account.confirm_intent,
    ),
    _Operation(
        "cancel_intent", "/v1/payment_intents/{ref}/cancel", {"cancellation_reason": str}, (), Account.cancel_intent
    ),
    _Operation(
        "refund",
        "/v1/refunds",
        {"payment_intent": str, "amount": int, "reason": str, "metadata": dict},
        ("payment_intent",),
        Account.refund,
    ),
)

_EVENTS_QUERY: Fields = {
    "type": str,
    "types": list,
    "delivery_success": bool,
    "ending_before": str,
    "starting_after": str,
    "limit": int,
}


class PaymentSandbox:
    """An ASGI application, and its controls in Python: `faults`, `webhooks`, `account`, `release`, `tick`, `idle`."""

    def __init__(self, storage: Storage, keys: Keys, account: Account, webhooks: Webhooks) -> None:
        """See `create_payment_sandbox`."""
        self.storage = storage
        self.account = account
        self.webhooks = webhooks
        self.faults = Faults()
        self._keys = keys
        self._running: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._held: set[asyncio.Task[Answer]] = set()
        self._gate = asyncio.Event()
        self.routes = [*self._routes(), *control_routes(self)]
        self._app = Starlette(routes=self.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._app(scope, receive, send)

    async def tick(self) -> None:
        """Let time have its effect: banks settle, webhooks that are due go out."""
        self._settle()
        await self.webhooks.flush()

    async def release(self) -> None:
        """Carry out what is `in_flight`."""
        self._gate.set()
        self._gate = asyncio.Event()
        await asyncio.gather(*self._held)

    async def idle(self) -> None:
        """Wait until nothing is going on: no request whose caller has gone, no webhook under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    # POST

    async def _post(self, operation: _Operation, request: Request) -> Response:
        body = await request.body()
        if self.faults.take("timeout_before_charge", operation.name):
            return await no_answer(request)
        params = read_form(body, operation.fields, operation.required)
        key = request.headers.get("idempotency-key", "")
        answer = self._keys.replay(key, request.url.path, params)
        if answer is None:
            task = self._start(operation, request, params, key)
            if task in self._held and is_in_process(request):
                return await no_answer(request)
            answer = await asyncio.shield(task)
        if self.faults.take("timeout_after_charge", operation.name):
            return await no_answer(request)
        return answer.response(key)

    def _start(self, operation: _Operation, request: Request, params: Json, key: str) -> asyncio.Task[Answer]:
        """Carry the request out in a task that outlives it. One at a time under a key, and on an intent."""
        ref = request.path_params.get("ref", "")
        if key and key in self._running:
            raise problems.key_in_use(key)
        if ref.startswith("pi_") and ref in self._running.values():
            raise problems.locked()
        cause = self._keys.cause(key)
        source = {"id": derived("req", cause), "idempotency_key": key or None}
        call = Call(ref=ref, params=params, cause=cause, request=source)
        held = self.faults.take("in_flight", operation.name)
        carried_out = self._carry_out(operation, call, request.url.path, self._gate if held else None)
        task = asyncio.create_task(carried_out)
        running, tasks = key or cause, self._held if held else self._tasks
        self._running[running] = ref
        tasks.add(task)

        def over(task: asyncio.Task[Answer]) -> None:
            tasks.discard(task)
            del self._running[running]

        task.add_done_callback(over)
        return task

    async def _carry_out(self, operation: _Operation, call: Call, path: str, gate: asyncio.Event | None) -> Answer:
        """The request to its end, with its answer under its key, in one transaction."""
        if gate is not None:
            await gate.wait()
        request_id: str = call.request["id"]
        with self.storage.transaction():
            self.account.settle_due()
            stored = True
            try:
                if self.faults.take("stored_500", operation.name):
                    raise problems.broken(500)
                answer = Answer(200, operation.run(self.account, call), request_id)
            except Problem as problem:
                answer, stored = Answer(problem.status, problem.body, request_id), problem.stored
            if self.faults.take("stored_500_after_charge", operation.name):
                answer, stored = Answer(500, problems.broken(500).body, request_id), True
            if stored:
                self._keys.keep(call.request["idempotency_key"] or "", path, call.params, call.cause, answer)
        self._flush_soon()
        return answer

    # GET

    async def _read(self, kind: str, request: Request) -> Response:
        self._settle()
        ref = request.path_params["ref"]
        found = self.account.method(ref) if kind == "payment_method" else self.account.get(kind, ref, "id")
        return JSONResponse(found)

    async def _list_charges(self, request: Request) -> Response:
        self._settle()
        query = read_form(request.url.query, {"payment_intent": str, "limit": int})
        charges = self.storage.all("charge", query.get("payment_intent"))[::-1]
        limit = query.get("limit", 10)
        return JSONResponse(objects.page(charges[:limit], "/v1/charges", has_more=len(charges) > limit))

    async def _list_events(self, request: Request) -> Response:
        """Newest first; `ending_before` walks towards now."""
        self._settle()
        query = read_form(request.url.query, _EVENTS_QUERY)
        wanted = {query["type"]} if "type" in query else set(query.get("types", []))
        undelivered = self.webhooks.undelivered()
        events = [
            event | {"pending_webhooks": int(event["id"] in undelivered)}
            for event in self.storage.all("event")[::-1]
            if not wanted or event["type"] in wanted
            if query.get("delivery_success") is None or query["delivery_success"] == (event["id"] not in undelivered)
        ]
        ids = [event["id"] for event in events]
        limit = query.get("limit", 10)
        if "ending_before" in query and query["ending_before"] in ids:
            events = events[: ids.index(query["ending_before"])]
            more, events = len(events) > limit, events[-limit:]
        else:
            after = query.get("starting_after")
            events = events[ids.index(after) + 1 if after in ids else 0 :]
            more, events = len(events) > limit, events[:limit]
        return JSONResponse(objects.page(events, "/v1/events", has_more=more))

    # Around both

    def _routes(self) -> list[Route]:
        posts = [
            Route(operation.path, self._guarded(operation.name, _bound(self._post, operation)), methods=["POST"])
            for operation in _OPERATIONS
        ]
        readable = ("customer", "payment_method", "payment_intent", "charge", "refund", "event")
        reads = [
            Route(f"/v1/{kind}s/{{ref}}", self._guarded("read", _bound(self._read, kind)), methods=["GET"])
            for kind in readable
        ]
        lists = [
            Route("/v1/events", self._guarded("read", self._list_events), methods=["GET"]),
            Route("/v1/charges", self._guarded("read", self._list_charges), methods=["GET"]),
        ]
        return [*posts, *reads, *lists]

    def _guarded(self, name: str, endpoint: "_Endpoint") -> "_Endpoint":
        """`endpoint` behind the door, its problems as answers."""

        async def guarded(request: Request) -> Response:
            try:
                _check_key(request.headers.get("authorization", ""))
                if self.faults.take("rate_limit", name):
                    raise problems.too_many()
                if self.faults.take("unavailable", name):
                    raise problems.broken(503)
                return await endpoint(request)
            except Problem as problem:
                headers = {"Request-Id": derived("req", name, str(problem))}
                return JSONResponse(problem.body, problem.status, headers)

        return guarded

    def _settle(self) -> None:
        if self.account.due():
            with self.storage.transaction():
                self.account.settle_due()
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self.webhooks.wanted:
            task = asyncio.create_task(self.webhooks.flush())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


_Endpoint = Callable[[Request], Awaitable[Response]]


def _bound(method: Callable[[Any, Request], Coroutine[Any, Any, Response]], first: object) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        return await method(first, request)

    return endpoint


def _check_key(authorization: str) -> None:
    token = authorization.removeprefix("Bearer ")
    if not token.startswith(("sk_test_", "rk_test_")):
        raise problems.unauthorized("The sandbox takes test keys: sk_test_… (never send it a live one).")


def create_payment_sandbox(
    storage: Storage,
    *,
    clock: Callable[[], datetime],
    webhook_secret: str = "",
    webhook_target: str | Deliver | None = None,
    wall_clock: Callable[[], datetime] | None = None,
    checks_on_attach: bool = False,
) -> PaymentSandbox:
    """A Stripe of one's own over `storage`, living by `clock`.

    Webhooks go to `webhook_target` (a URL, or a callback that takes body and Stripe-Signature and answers a status),
    signed with `webhook_secret` at `wall_clock`. `checks_on_attach`: what declines does not even attach, as at Stripe.
    """
    webhooks = Webhooks(storage, clock=clock, secret=webhook_secret, target=webhook_target, wall_clock=wall_clock)
    account = Account(storage, clock=clock, on_event=webhooks.enqueue, checks_on_attach=checks_on_attach)
    return PaymentSandbox(storage, Keys(storage, clock), account, webhooks)
