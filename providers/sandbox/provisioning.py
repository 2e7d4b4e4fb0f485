"""The sandbox's provisioning target: a system that makes what was sold usable, one step of an order at a time.

    POST   /orders/{order}/steps/{step}      do it, once per Idempotency-Key: 200 done · 202 waiting · 422 failed
    DELETE /orders/{order}/steps/{step}      take it back; fine when there is nothing to take back
    GET    /_sandbox/provisioned             every step: done, waiting, failed or undone
    POST   /_sandbox/provisioning/faults     {"fail": 503, "times": 3}          503, 202, 422 or "timeout"
                                             {"fail": 202, "waits_seconds": 3600}    how long until it calls back
    POST   /_sandbox/provisioning/call-back  {"order", "step", "outcome": "complete"}

A step that waits is finished by a call to our API: POST /v1/orders/{order}/steps/{step}/complete or /fail.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Literal

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from providers.sandbox.in_process import no_answer
from providers.sandbox.storage import Json, Storage

Outcome = Literal["complete", "fail"]
CallBack = Callable[[str, str, Outcome], Awaitable[None]]
"""Takes order, step and what became of it."""

Failure = Literal[503, 202, 422, "timeout"]
_FAILURES: tuple[Failure, ...] = (503, 202, 422, "timeout")

logger = logging.getLogger(__name__)


class ProvisioningSandbox:
    """An ASGI application, and the same controls in Python: `fail`, `call_back`, `tick`, `steps`."""

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Callable[[], datetime],
        call_back: CallBack | None = None,
        waits: timedelta = timedelta(0),
    ) -> None:
        """`call_back` hears of steps that were waiting, `waits` after they were asked for; see `http_call_back`."""
        self._storage = storage
        self._clock = clock
        self._call_back = call_back
        self._waits = waits
        self._failures: list[tuple[Failure, timedelta]] = []
        self.routes = [
            Route("/orders/{order}/steps/{step}", self._step, methods=["POST", "DELETE"]),
            Route("/_sandbox/provisioned", self._provisioned, methods=["GET"]),
            Route("/_sandbox/provisioning/faults", self._fault, methods=["POST"]),
            Route("/_sandbox/provisioning/call-back", self._call, methods=["POST"]),
        ]
        self._app = Starlette(routes=self.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._app(scope, receive, send)

    def fail(self, failure: Failure, times: int = 1, waits: timedelta | None = None) -> None:
        """Answer the next `times` steps so: 503 and "timeout" do nothing; 202 `waits`; 422 will never do it."""
        if failure not in _FAILURES:
            raise ValueError(f"{failure!r} is none of 503, 202, 422, 'timeout'")
        self._failures.extend((failure, self._waits if waits is None else waits) for _ in range(times))

    def steps(self) -> list[Json]:
        """Every step, as first asked for: order, step, payload, state, at, asked (how often it was carried out)."""
        return self._storage.all("step")

    async def call_back(self, order: str, step: str, outcome: Outcome = "complete") -> None:
        """Finish a waiting step now."""
        found = self._storage.get("step", f"{order}/{step}")
        if found is None:
            raise KeyError(f"{order}/{step}")
        if self._call_back is not None:
            await self._call_back(order, step, outcome)
        self._put(found | {"state": "done" if outcome == "complete" else "failed"})

    async def tick(self) -> None:
        """Finish the steps that have waited long enough."""
        if self._call_back is None:
            return
        for found in self._storage.all("step", "waiting"):
            if found["until"] <= self._clock().timestamp():
                try:
                    await self.call_back(found["order"], found["step"])
                except httpx.HTTPError:
                    logger.warning("the call back of %s/%s was not taken", found["order"], found["step"])

    async def _step(self, request: Request) -> Response:
        payload = json.loads(await request.body() or b"{}")
        order, step = request.path_params["order"], request.path_params["step"]
        key = request.headers.get("idempotency-key", "")
        if not key:
            return JSONResponse({"detail": "Idempotency-Key is missing"}, 400)
        # A key belongs to one request: doing and undoing may share it.
        asked = f"{request.method} {order}/{step} {key}"
        known = self._storage.get("provisioning_key", asked)
        if known is not None:
            return JSONResponse(known["body"], known["status"])
        failure, waits = self._failures.pop(0) if self._failures else (None, self._waits)
        if failure == "timeout":
            return await no_answer(request)
        if failure == 503:
            return JSONResponse({"detail": "not now (the sandbox was told so)"}, 503)
        with self._storage.transaction():
            undoes = request.method == "DELETE"
            status, body = self._undo(order, step) if undoes else self._do(order, step, payload, failure, waits)
            self._storage.put("provisioning_key", asked, {"status": status, "body": body})
        return JSONResponse(body, status)

    def _do(self, order: str, step: str, payload: Json, failure: Failure | None, waits: timedelta) -> tuple[int, Json]:
        state = {202: "waiting", 422: "failed"}.get(failure, "done") if isinstance(failure, int) else "done"
        before = self._storage.get("step", f"{order}/{step}") or {"asked": 0}
        at = int(self._clock().timestamp())
        until = int(at + waits.total_seconds())
        found = {"order": order, "step": step, "payload": payload, "state": state, "at": at, "until": until}
        self._put(found | {"asked": before["asked"] + 1})
        detail = {"waiting": "it takes its time", "failed": "it cannot be done", "done": ""}[state]
        return {"waiting": 202, "failed": 422, "done": 200}[state], {"state": state, "detail": detail}

    def _undo(self, order: str, step: str) -> tuple[int, Json]:
        found = self._storage.get("step", f"{order}/{step}")
        if found is not None:
            self._put(found | {"state": "undone"})
        return 200, {"state": "done", "detail": "" if found else "there was nothing to undo"}

    def _put(self, found: Json) -> None:
        self._storage.put("step", f"{found['order']}/{found['step']}", found, parent=found["state"])

    async def _provisioned(self, _: Request) -> Response:
        return JSONResponse({"data": self.steps()})

    async def _fault(self, request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
            waits = timedelta(seconds=asked["waits_seconds"]) if "waits_seconds" in asked else None
            self.fail(asked["fail"], int(asked.get("times", 1)), waits)
        except (KeyError, ValueError, TypeError) as error:
            return JSONResponse({"detail": f"no fault: {error}"}, 400)
        return JSONResponse({"failures": [failure for failure, _ in self._failures]})

    async def _call(self, request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
            await self.call_back(asked["order"], asked["step"], asked.get("outcome", "complete"))
        except (KeyError, ValueError, TypeError) as error:
            return JSONResponse({"detail": f"no step: {error}"}, 404)
        except httpx.HTTPError as error:
            return JSONResponse({"detail": f"the call back was not taken: {error}"}, 502)
        return JSONResponse({})


def http_call_back(api_address: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> CallBack:
    """Calls our API back as a provisioning system would, with a key of the role `provisioning`."""

    async def call_back(order: str, step: str, outcome: Outcome) -> None:
        async with httpx.AsyncClient(timeout=10, trust_env=False, transport=transport) as client:
            url = f"{api_address.rstrip('/')}/v1/orders/{order}/steps/{step}/{outcome}"
            response = await client.post(url, json={}, headers={"Authorization": f"Bearer {api_key}"})
            response.raise_for_status()

    return call_back
