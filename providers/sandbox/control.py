"""The sandbox's back door, over HTTP: what a person does in Stripe's dashboard, a bank in its back office, or bad luck.

    POST   /_sandbox/faults                       {"kind", "times": 1, "on": null}     see faults.py
    GET    /_sandbox/faults                       what is still to go wrong
    DELETE /_sandbox/faults                       nothing more goes wrong
    GET    /_sandbox/charges?payment_intent=…     every executed charge and refund
    POST   /_sandbox/release                      carry out what is in flight
    POST   /_sandbox/tick                         banks settle, due webhooks go out
    POST   /_sandbox/webhooks                     {"do": "hold"} | {"do": "release", "times": 1, "newest_first": false}
                                                  | {"do": "resend", "event": "evt_…"}
    POST   /_sandbox/intents/{id}/authenticate    {"succeeds": true}
    POST   /_sandbox/intents/{id}/dispute         {"reason": "fraudulent"}
    POST   /_sandbox/intents/{id}/dispute/decide  {"won": true}

Without a key: a sandbox is not for the internet.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.sandbox.problems import Problem
from providers.sandbox.storage import Json

if TYPE_CHECKING:
    from providers.sandbox.payments import PaymentSandbox


def control_routes(sandbox: "PaymentSandbox") -> list[Route]:
    """The back door of `sandbox`."""

    async def faults(request: Request) -> object:
        if request.method == "POST":
            asked = await _body(request)
            sandbox.faults.add(str(asked["kind"]), int(asked.get("times", 1)), asked.get("on"))
        elif request.method == "DELETE":
            sandbox.faults.clear()
        return {"faults": [asdict(fault) for fault in sandbox.faults.left]}

    async def charges(request: Request) -> object:
        movements = sandbox.account.movements(request.query_params.get("payment_intent"))
        return {"data": [asdict(movement) for movement in movements]}

    async def release(_: Request) -> object:
        await sandbox.release()
        return {}

    async def tick(_: Request) -> object:
        await sandbox.tick()
        return {}

    async def webhooks(request: Request) -> object:
        asked = await _body(request)
        if asked["do"] == "hold":
            sandbox.webhooks.hold()
        elif asked["do"] == "release":
            newest_first = bool(asked.get("newest_first", False))
            await sandbox.webhooks.release(times=int(asked.get("times", 1)), newest_first=newest_first)
        elif asked["do"] == "resend":
            return {"status": await sandbox.webhooks.resend(str(asked["event"]))}
        else:
            raise ValueError(f"{asked['do']!r} is none of hold, release, resend")
        return {}

    async def authenticate(request: Request) -> object:
        asked = await _body(request)
        with sandbox.storage.transaction():
            answer = sandbox.account.authenticate(request.path_params["ref"], succeeds=asked.get("succeeds", True))
        await sandbox.tick()
        return answer

    async def dispute(request: Request) -> object:
        asked = await _body(request)
        with sandbox.storage.transaction():
            answer = sandbox.account.dispute(request.path_params["ref"], asked.get("reason", "fraudulent"))
        await sandbox.tick()
        return answer

    async def decide(request: Request) -> object:
        asked = await _body(request)
        with sandbox.storage.transaction():
            answer = sandbox.account.decide_dispute(request.path_params["ref"], won=bool(asked["won"]))
        await sandbox.tick()
        return answer

    return [
        Route("/_sandbox/faults", _answering(faults), methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/charges", _answering(charges), methods=["GET"]),
        Route("/_sandbox/release", _answering(release), methods=["POST"]),
        Route("/_sandbox/tick", _answering(tick), methods=["POST"]),
        Route("/_sandbox/webhooks", _answering(webhooks), methods=["POST"]),
        Route("/_sandbox/intents/{ref}/authenticate", _answering(authenticate), methods=["POST"]),
        Route("/_sandbox/intents/{ref}/dispute", _answering(dispute), methods=["POST"]),
        Route("/_sandbox/intents/{ref}/dispute/decide", _answering(decide), methods=["POST"]),
    ]


async def _body(request: Request) -> Json:
    return json.loads(await request.body() or b"{}")


def _answering(control: Callable[[Request], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await control(request))
        except Problem as problem:
            return JSONResponse(problem.body, problem.status)
        except (KeyError, ValueError, TypeError) as error:
            return JSONResponse({"error": {"message": str(error)}}, 400)

    return endpoint
