"""Edge: what holds for every request before any route sees it: a limit to its body, and one canonical line when it ends."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import TooLarge, problem_of, unexpected
from domain.errors import NotFound

log = structlog.get_logger()

MOST_BYTES = 4_000_000
LONGEST_PATH = 2_000
# By this header a problem tells the log its code; it does not leave the house.
CODE = b"x-problem"


class Edge:
    """Outermost: counts what comes in, notes what goes out."""

    def __init__(self, app: ASGIApp, *, most_bytes: int = MOST_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        line: dict[str, object] = {"method": scope["method"]}
        scope.setdefault("state", {})["line"] = line
        began = time.monotonic_ns()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                if code := dict(headers).get(CODE):
                    line["code"] = code.decode()
                message["headers"] = [header for header in headers if header[0] != CODE]
            await send(message)

        try:
            await self._limited(scope, receive, noted)
        except Exception as error:  # noqa: BLE001  (what nobody expected must still be answered, and in our form)
            await unexpected(error)(scope, receive, noted)
        finally:
            # The route's template and the key's id say enough: paths and bodies hold names.
            log.info("request", status=status, ms=(time.monotonic_ns() - began) // 1_000_000, **line)

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
