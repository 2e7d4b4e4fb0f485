"""Docs: what /docs and /openapi.json say besides paths: examples, error codes, and the appendix of every refusal."""

import re
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from api import previews, shown
from api.problems import MEDIA_TYPE, catalogue
from api.showing import Shown

Responses = dict[int | str, dict[str, Any]]
# Usage carries ids of its own: an event that comes twice is a duplicate, whoever sends it.
WITHOUT_KEYS = frozenset({"/v1/usage"})
_CODE = re.compile("`([a-z_]+)`")

PDF: Responses = {
    200: {
        "description": "A document.",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}, "example": "%PDF-1.7 …"}},
    }
}

_INTRODUCTION = """Quote to cash. Amounts, prices and quantities are decimal strings, instants RFC 3339 in UTC.

Send `Authorization: Bearer <api key>`. Every POST but `/v1/usage` takes `Idempotency-Key`: the same key and body get
the first answer again. Every resource is addressed by its id or by its owner's own `key`. Lists are newest first:
`?limit=&cursor=`, of a span of time: `?from=&to=`. Every verb takes `?preview=true`, which only says what would happen, and
`?wait=PT10S`, which waits for what follows. What is read of one thing has an `ETag`: `If-None-Match` answers 304 while it
is the same, and a verb with `If-Match` does nothing once it is another (412).

One request carries at most 4 MB of body, 40 levels of JSON, 16 kB of headers and 4,000 characters of query. Each API key
has a budget of requests a minute, and one apart for usage and entitlement checks; `RateLimit-Limit`,
`RateLimit-Remaining` and `RateLimit-Reset` (seconds) tell what is left of it.

Every error is `application/problem+json` with a stable `code`.

## Codes

| status | code | meaning |
| --- | --- | --- |
"""
_EVERYWHERE = (
    "unauthorized forbidden invalid_input query_too_long headers_too_large too_many_requests unavailable internal"
)
_WITH_A_BODY = "invalid_json too_large"
_WITH_A_NAME = "not_found"
_WITH_A_VERSION = "precondition_failed"
_WITH_A_KEY = "idempotency_conflict in_progress"
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name for this request: with the same one and the same body it is done once, and answered again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
# Query parameters that name something.
_FILTERS = {"customer", "subscription", "meter"}


def says(shape: object, example: object, *, status: int = 200, codes: str = "") -> Responses:
    """A route's answers: one that went well, in its shape, and the refusals that are its own (`codes`, by spaces)."""
    well = {"model": shape, "description": "As asked for.", "content": {"application/json": {"example": example}}}
    return {status: well, **refuses(codes)}


def refuses(codes: str) -> Responses:
    """The refusals that are a route's own (`codes`, by spaces)."""
    known = {code: (status, meaning) for status, code, meaning in catalogue()}
    told: dict[int | str, list[str]] = {}
    for code in sorted(set(codes.split())):
        told.setdefault(known[code][0], []).append(f"`{code}`: {known[code][1]}")
    return {status: _problem("\n".join(f"- {one}" for one in lines)) for status, lines in told.items()}


def document(app: FastAPI) -> None:
    """Let `app` describe itself, with the appendix of codes and the one way to authenticate."""

    def openapi() -> Shown:
        if app.openapi_schema is None:
            schema = get_openapi(title="Perennial", version="1", description=_description(), routes=app.routes)
            components = cast(Shown, schema.setdefault("components", {}))
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            components["schemas"] = {**cast(Shown, components.get("schemas", {})), **_preview(), "Problem": _PROBLEM}
            _refuse_as_we_do(schema)
            schema["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi


def _refuse_as_we_do(schema: Shown) -> None:
    """Every route refuses by problem+json; what FastAPI says of its own validation is not so."""
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            responses: Shown = operation["responses"]
            if MEDIA_TYPE not in responses.get("422", {}).get("content", {}):
                responses.pop("422", None)
            if any(parameter["name"] == "preview" for parameter in operation.get("parameters", ())):
                _foresee(responses)
            if path.startswith("/v1/"):
                _complete(path, method, operation)
    for own in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(own, None)


def _complete(path: str, method: str, operation: Shown) -> None:
    """Add what holds for every operation like it: its refusals, its Idempotency-Key, its version."""
    parameters: list[Shown] = operation.setdefault("parameters", [])
    names = {one["name"] for one in parameters}
    codes = [_EVERYWHERE]
    if "requestBody" in operation:
        codes.append(_WITH_A_BODY)
    if names & _FILTERS or any(one["in"] == "path" for one in parameters):
        codes.append(_WITH_A_NAME)
    if "If-Match" in names:
        codes.append(_WITH_A_VERSION)
    if method == "post" and path not in WITHOUT_KEYS:
        codes.append(_WITH_A_KEY)
        parameters.append(_KEY)
    responses: Shown = operation["responses"]
    own = [code for status, said in responses.items() if status >= "400" for code in _CODE.findall(said["description"])]
    refusals = refuses(" ".join([*codes, *own]))
    kept = {status: said for status, said in responses.items() if status < "400"}
    if method == "get" and any(one["in"] == "path" for one in parameters):
        kept["304"] = {"description": "`If-None-Match` names the `ETag` of what would be read."}
    operation["responses"] = kept | {str(status): refusals[status] for status in sorted(refusals, key=str)}


def _foresee(responses: Shown) -> None:
    """A verb answers 200 with what it would do, where it is asked for no more, or with what a `key` had made before."""
    shape = {"$ref": "#/components/schemas/Preview"}
    if "200" in responses:
        done = responses["200"]["content"]["application/json"]
        done["schema"] = {"anyOf": [done["schema"], shape]}
    else:
        made = responses.get("201", {}).get("content", {}).get("application/json")
        schema = {"anyOf": [made["schema"], shape]} if made else shape
        content = {"application/json": {"schema": schema, "example": previews.EXAMPLE}}
        responses["200"] = {"description": "With `preview=true`: what would happen.", "content": content}


def _preview() -> Shown:
    schema = TypeAdapter(shown.Preview).json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    return {**schema.pop("$defs"), "Preview": schema}


def _description() -> str:
    rows = [f"| {status} | `{code}` | {meaning} |" for status, code, meaning in catalogue()]
    return _INTRODUCTION + "\n".join(rows)


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/quote_expired"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["quote_expired"]},
        "errors": {
            "type": "array",
            "description": "What is malformed, where.",
            "items": {
                "type": "object",
                "required": ["loc", "msg"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                },
            },
        },
    },
}
