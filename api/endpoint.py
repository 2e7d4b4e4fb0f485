"""Endpoint: the way of every request under /v1, in this order.

    not too much (414, 431) ─> who calls (401) ─> not too often (429) ─> may they (403) ─> is the query known (422)
    ─> was it answered before ─> body, handler ─> answer

Errors travel as exceptions and become answers in `problems`; only what an Idempotency-Key keeps is told earlier.
"""

from collections.abc import Callable, Coroutine
from difflib import get_close_matches
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.access import Call, allow, identified, token_of
from api.answers import Answer, among_etags, etag_of
from api.bodies import unstorable
from api.context import context_of
from api.docs import WITHOUT_KEYS
from api.idempotency import key_of, once
from api.limits import require_fit
from api.reading import invalid
from domain.errors import FieldError, NotFound

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Endpoint(APIRoute):
    """A route whose handler sees only callers that may be there, with a query that it knows."""

    def get_route_handler(self) -> Handler:
        """The handler with all that comes before it."""
        inner, path = super().get_route_handler(), self.path
        known = sorted(_query(self.dependant))
        takes_keys = "POST" in (self.methods or ()) and path not in WITHOUT_KEYS

        async def handle(request: Request) -> Response:
            context = context_of(request)
            request.state.line.update(route=path)
            require_fit(request)
            key = await identified(request, context)
            request.state.line.update(api_key=key.id, role=str(key.role))
            left = context.rates.take(key.id, request.method, path)
            allow(key, request.method, path)
            _know(request, known)
            # What a preview answers must not stand for what is done later under the same key.
            idempotency_key = key_of(request) if takes_keys and not _is_preview(request) else None
            token = token_of(key, request.url.path, idempotency_key, context)
            call = Call(key=key, token=token, at=context.clock.now())
            request.state.call = call
            if idempotency_key is None:
                response = versioned(request, await inner(request))
            else:
                response = await once(request, call, context, idempotency_key, lambda: inner(request))
            response.headers.update(left)
            return response

        return handle


def versioned(request: Request, response: Response) -> Response:
    """What is read of one thing says its version; whoever has that is told so, without the body."""
    if request.method != "GET" or not request.path_params or not isinstance(response, Answer):
        return response
    etag = etag_of(bytes(response.body))
    known = request.headers.get("if-none-match")
    if known is not None and among_etags(known, etag):
        return Response(status_code=304, headers={"etag": etag})
    response.headers["etag"] = etag
    return response


def router(tag: str) -> APIRouter:
    """A router for one noun."""
    return APIRouter(route_class=Endpoint, tags=[tag])


def _query(dependant: Dependant) -> set[str]:
    """The query parameters that a handler and its dependencies read."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_query(inner) for inner in dependant.dependencies))


def _know(request: Request, known: list[str]) -> None:
    """Refuse what no handler would look at: a misspelt filter must not answer with everything."""
    if any(unstorable(value) for value in request.path_params.values()):
        raise NotFound("nothing has such a name")
    errors = [
        FieldError((name,), _unknown(name, known)) for name in dict.fromkeys(request.query_params) if name not in known
    ]
    errors += [
        FieldError((name,), "holds a character that cannot be stored")
        for name, value in request.query_params.multi_items()
        if unstorable(value) and name in known
    ]
    if errors:
        raise invalid(errors)


def _is_preview(request: Request) -> bool:
    return "preview" in request.query_params


def _unknown(name: str, known: list[str]) -> str:
    if name == "preview":
        return "is not there for this; nothing was done"
    near = get_close_matches(name, known, 1)
    if near:
        return f"is not known here; did you mean {near[0]}?"
    return "is not known here" + (f"; known are {', '.join(known)}" if known else "; no query is read")
