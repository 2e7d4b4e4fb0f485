"""Edge: what holds for every request before any route sees it: a limit to its body, an id, a span, and one line at its end.

The id is the caller's own `X-Request-Id`, else its trace's, else a new one. It is answered, stands on every line that is
logged on the way, and goes with what the request sets going.
"""

import re
import secrets
import time

import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import IN_FLIGHT, answered
from api.problems import TooLarge, problem_of, unexpected
from domain.errors import NotFound

log = structlog.get_logger()

MOST_BYTES = 4_000_000
LONGEST_PATH = 2_000
# By this header a problem tells the log its code; it does not leave the house.
CODE = b"x-problem"
REQUEST_ID = b"x-request-id"
_FIT_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TRACE = TraceContextTextMapPropagator()


class Edge:
    """Outermost: counts what comes in, notes what goes out."""

    def __init__(self, app: ASGIApp, *, most_bytes: int = MOST_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes
        # Without a collector, no span is even begun.
        self._traced = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        self._tracer = trace.get_tracer("perennial")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        within = None
        if self._traced or b"traceparent" in headers:
            within = _TRACE.extract({name: headers.get(name.encode(), b"").decode("latin-1") for name in _TRACE.fields})
        request_id = _id(headers, trace.get_current_span(within).get_span_context())
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if not self._traced:
                await self._noted(scope, receive, send, request_id)
                return
            with self._tracer.start_as_current_span(scope["method"], within, trace.SpanKind.SERVER) as span:
                status = await self._noted(scope, receive, send, request_id)
                # The template: a path holds names.
                span.update_name(f"{scope['method']} {_route(scope)}")
                span.set_attribute("http.response.status_code", status)

    async def _noted(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
        """Answer, whatever happens, and leave a line and a count. Answers the status."""
        line: dict[str, object] = {"method": scope["method"]}
        scope.setdefault("state", {})["line"] = line
        began = time.monotonic_ns()
        status = 500
        IN_FLIGHT.inc()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                if code := dict(headers).get(CODE):
                    line["code"] = code.decode()
                kept = [header for header in headers if header[0] != CODE]
                message["headers"] = [*kept, (REQUEST_ID, request_id.encode())]
            await send(message)

        try:
            await self._limited(scope, receive, noted)
        except Exception as error:  # noqa: BLE001  (what nobody expected must still be answered, and in our form)
            await unexpected(error)(scope, receive, noted)
        finally:
            IN_FLIGHT.dec()
            took = time.monotonic_ns() - began
            answered(scope["method"], _route(scope), status, took / 1_000_000_000)
            # The route's template and the key's id say enough: paths and bodies hold names.
            log.info("request", status=status, ms=took // 1_000_000, **line)
        return status

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = problem_of(NotFound("nothing has such a path")) if len(scope["path"]) > LONGEST_PATH else None
        body: list[bytes] = []
        size = 0
        more = scope["method"] in {"POST", "PUT", "PATCH", "DELETE"}
        while refusal is None and more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            body.append(message.get("body", b""))
            more = message.get("more_body", False)
            if size > self._most_bytes:
                refusal = problem_of(TooLarge(f"at most {self._most_bytes} bytes are read"))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        read = b"".join(body)
        given = False

        async def replay() -> Message:
            nonlocal given
            if given or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
                return await receive()
            given = True
            return {"type": "http.request", "body": read, "more_body": False}

        await self._app(scope, replay, send)


def _id(headers: dict[bytes, bytes], caller: trace.SpanContext) -> str:
    named = headers.get(REQUEST_ID, b"")
    if _FIT_ID.fullmatch(named):
        return named.decode()
    return trace.format_trace_id(caller.trace_id) if caller.is_valid else secrets.token_hex(16)


def _route(scope: Scope) -> str:
    """The template of the route that was met; none when none was."""
    return getattr(scope.get("route"), "path", "none")
