"""The sandbox without a network, and what "no answer" means with one and without."""

from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_EXTENSION = "perennial.in_process"


def in_process(app: ASGIApp) -> httpx.AsyncBaseTransport:
    """A transport straight into `app`, for simulations.

    Where the sandbox is told not to answer, the client's timeout is not waited for but raised at once.
    """

    async def called_here(scope: Scope, receive: Receive, send: Send) -> None:
        extensions: dict[str, Any] = scope.get("extensions") or {}
        await app({**scope, "extensions": {**extensions, _EXTENSION: {}}}, receive, send)

    return httpx.ASGITransport(called_here)


def is_in_process(request: Request) -> bool:
    """Whether the request came through `in_process`."""
    return _EXTENSION in (request.scope.get("extensions") or {})


async def no_answer(request: Request) -> Response:
    """Keep the caller waiting until it has gone."""
    if is_in_process(request):
        raise httpx.ReadTimeout("the sandbox was told not to answer")
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=499)  # nobody reads it
