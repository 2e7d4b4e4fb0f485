"""Problems: every error as RFC 9457 problem+json. The only place where a rule of the domain meets an HTTP status.

    InvalidInput ─> 422    NotFound ─> 404    Changed ─> 412    AlreadyExists, Refused ─> 409
    Problem, what only HTTP knows ─> its own

Never a 500 for anything that a caller sent; what is out of reach is a 503.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import AlreadyExists, Changed, DomainError, FieldError, InvalidInput, NotFound, PricingError, Refused

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger()


class Problem(Exception):
    """Something wrong that only HTTP knows of. `status` and `code` are the class's, `detail` says what would do."""

    status = 400
    code = "bad_request"
    title = "The request cannot be understood."

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail or self.title
        self.headers = dict(headers or {})


class InvalidJson(Problem):
    """The body is no JSON."""

    code = "invalid_json"
    title = "The body is not JSON."


class UnverifiedWebhook(Problem):
    """Nobody we know signed it."""

    code = "unverified_webhook"
    title = "The webhook's signature does not hold."


class Unauthorized(Problem):
    """Nobody we know calls."""

    status = 401
    code = "unauthorized"
    title = "An API key is needed: Authorization: Bearer <key>."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(Problem):
    """The caller's role does not include this."""

    status = 403
    code = "forbidden"
    title = "The role of this API key does not include this."


class IdempotencyConflict(Problem):
    """The key was used for something else."""

    status = 409
    code = "idempotency_conflict"
    title = "This Idempotency-Key was used with another body."


class InProgress(Problem):
    """The same request is being carried out by somebody else."""

    status = 409
    code = "in_progress"
    title = "The first request with this Idempotency-Key is still being carried out."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class TooLarge(Problem):
    """More than is read."""

    status = 413
    code = "too_large"
    title = "The body is too large."


class QueryTooLong(Problem):
    """More than is read."""

    status = 414
    code = "query_too_long"
    title = "The query is too long."


class HeadersTooLarge(Problem):
    """More than is read."""

    status = 431
    code = "headers_too_large"
    title = "The headers are too large."


class TooManyRequests(Problem):
    """The API key's budget is used up for now."""

    status = 429
    code = "too_many_requests"
    title = "This API key has sent too many requests; `Retry-After` says how many seconds to wait."


class Unavailable(Problem):
    """A room that we need does not answer."""

    status = 503
    code = "unavailable"
    title = "Something that this needs does not answer now."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "2"})


PROBLEMS: tuple[type[Problem], ...] = (
    InvalidJson,
    UnverifiedWebhook,
    Unauthorized,
    Forbidden,
    IdempotencyConflict,
    InProgress,
    TooLarge,
    QueryTooLong,
    HeadersTooLarge,
    TooManyRequests,
    Unavailable,
)
_STATUS: tuple[tuple[type[DomainError], int], ...] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (Changed, 412),
    (AlreadyExists, 409),
    (Refused, 409),
)
_UNREACHABLE = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
_HTTP_DETAILS = {
    404: "nothing is under this path, or nothing yet; /openapi.json lists all paths",
    405: "the path exists, but not for this method; /openapi.json lists both",
}


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: Sequence[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem as a response; `errors` is given for what was malformed."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors is not None:
        body["errors"] = [{"loc": list(error.loc), "msg": error.msg} for error in errors]
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    response = Response(content, status, dict(headers or {}), MEDIA_TYPE)
    response.headers["x-problem"] = code
    return response


def problem_of(error: Exception) -> Response | None:
    """The response to `error`; None for what nobody expected."""
    match error:
        case Problem():
            return problem(error.status, error.code, error.title, error.detail, headers=error.headers)
        case DomainError():
            return _refusal(error)
        case RequestValidationError():
            return _refusal(_malformed(error))
        case HTTPException():
            title = HTTPStatus(error.status_code).phrase
            code = _HTTP_CODES.get(error.status_code, "bad_request")
            detail = _HTTP_DETAILS.get(error.status_code, str(error.detail))
            return problem(error.status_code, code, title, detail, headers=error.headers)
        case _ if _is_bad_data(error):
            return _refusal(InvalidInput("a value is outside of what can be stored"))
        case _ if _is_unreachable(error):
            if _sqlstate(error).startswith(_IN_TROUBLE):
                log.error("database_in_trouble", sqlstate=_sqlstate(error), error=type(error).__name__)
            return problem_of(Unavailable())
        case _:
            return None


def install(app: FastAPI) -> None:
    """Answer what routes raise and what FastAPI itself refuses as problems; `edge` sees to all that is left."""

    async def told(_: Request, error: Exception) -> Response:
        return unexpected(error)

    for kind in (Problem, DomainError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, told)


def unexpected(error: Exception) -> Response:
    """The response to any error; one that nobody expected is logged, and told without its inside."""
    answer = problem_of(error)
    if answer is not None:
        return answer
    log.error("unexpected", error=type(error).__name__, exc_info=error)
    return problem(500, "internal", "Something went wrong on our side.", "It is logged; trying again may help.")


def catalogue() -> list[tuple[int, str, str]]:
    """Every code that a caller may meet: status, code and what it means; the appendix of the API's docs."""
    found = [(kind.status, kind.code, kind.title) for kind in PROBLEMS]
    found += [(405, "method_not_allowed", "The path exists, but not for this method.")]
    found += [(500, "internal", "Something went wrong on our side; it is logged, and trying again may help.")]
    todo: list[type[DomainError]] = [DomainError]
    while todo:
        kind = todo.pop(0)
        todo += kind.__subclasses__()
        if kind not in {DomainError, Refused, PricingError}:
            found.append((_status(kind), kind.code, (kind.__doc__ or "").strip()))
    codes = ("unknown_model", "invalid_charge", "invalid_quantity", "unmatched_dimension", "invalid_events")
    found += [(409, code, "A charge cannot be priced.") for code in codes]
    return sorted(set(found))


def _refusal(error: DomainError) -> Response:
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    errors = None
    if isinstance(error, InvalidInput):
        errors = error.errors or (FieldError((), error.detail),)
    return problem(_status(type(error)), error.code, title, error.detail, errors)


def _status(kind: type[DomainError]) -> int:
    return next((status for base, status in _STATUS if issubclass(kind, base)), 409)


def _malformed(error: RequestValidationError) -> InvalidInput:
    """FastAPI's own findings, which are about query parameters alone: bodies are read in `bodies`."""
    errors = [
        FieldError(tuple(cast("tuple[str | int, ...]", one["loc"])[1:]), str(one["msg"])) for one in error.errors()
    ]
    first = errors[0]
    return InvalidInput(f"{'.'.join(str(step) for step in first.loc)}: {first.msg}", tuple(errors))


def _is_bad_data(error: Exception) -> bool:
    """Whether the database says that a value cannot be: too large a number, a text it cannot hold."""
    return _sqlstate(error).startswith("22")


# PostgreSQL is there, but has no room or no memory left, cannot read or write its files, or is at odds with itself.
_IN_TROUBLE = ("53", "58", "XX")


def _is_unreachable(error: Exception) -> bool:
    """Whether a room could not be asked: its database, its Temporal, or the network between."""
    if isinstance(error, RPCError):
        return error.status in _UNREACHABLE
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # So says Temporal's client that was made without connecting.
    if isinstance(error, RuntimeError) and str(error).startswith("Failed client connect"):
        return True
    lost = _sqlstate(error).startswith((*_IN_TROUBLE, "08", "57P"))
    return lost or isinstance(error, OSError | TimeoutError) or _is_lost_connection(error)


def _sqlstate(error: Exception) -> str:
    """PostgreSQL's own code for what went wrong; empty when it was something else."""
    inner = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(inner, "sqlstate", None) or "")


def _is_lost_connection(error: Exception) -> bool:
    kind = type(error)
    return kind.__module__.startswith("asyncpg") and kind.__name__ in {"InterfaceError", "InternalClientError"}
