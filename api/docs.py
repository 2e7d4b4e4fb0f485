"""Docs: what /docs and /openapi.json say besides paths: examples, error codes, and the appendix of every refusal."""

from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from api import previews, shown
from api.problems import MEDIA_TYPE, catalogue
from api.showing import Shown

Responses = dict[int | str, dict[str, Any]]

_INTRODUCTION = """Quote to cash. Amounts, prices and quantities are decimal strings, instants RFC 3339 in UTC.

Send `Authorization: Bearer <api key>`. Every POST but `/v1/usage` takes `Idempotency-Key`: the same key and body get
the first answer again. Every resource is addressed by its id or by its owner's own `key`. Lists are newest first:
`?limit=&cursor=`. Every error is `application/problem+json` with a stable `code`.

## Codes

| status | code | meaning |
| --- | --- | --- |
"""
_EVERYWHERE = {
    "401": "No API key, or a bad one.",
    "403": "The role does not include this.",
    "422": "Malformed: `invalid_input` names each field.",
}

_WITH_A_BODY = {"400": "`invalid_json`: not UTF-8, not JSON, or one key twice."}
_WITH_A_NAME = {"404": "`not_found`: nothing has such a name, or nothing of yours."}
# Query parameters that name something.
_FILTERS = {"customer", "subscription", "meter"}


def says(shape: object, example: object, *, status: int = 200, codes: str = "") -> Responses:
    """A route's answers: one that went well, in its shape, and the refusals that are its own (`codes`, by spaces)."""
    well = {"model": shape, "description": "As asked for.", "content": {"application/json": {"example": example}}}
    return {status: well, **refuses(codes)}


def refuses(codes: str) -> Responses:
    """The refusals that are a route's own (`codes`, by spaces)."""
    by_status: dict[int, list[str]] = {}
    known = {code: number for number, code, _ in catalogue()}
    for code in codes.split():
        by_status.setdefault(known[code], []).append(code)
    return {number: _problem(", ".join(f"`{code}`" for code in names)) for number, names in by_status.items()}


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
        for operation in operations.values():
            responses: Shown = operation["responses"]
            if MEDIA_TYPE not in responses.get("422", {}).get("content", {}):
                responses.pop("422", None)
            if any(parameter["name"] == "preview" for parameter in operation.get("parameters", ())):
                _foresee(responses)
            if path.startswith("/v1/"):
                everywhere = _EVERYWHERE | (_WITH_A_BODY if "requestBody" in operation else {})
                if any(one["in"] == "path" or one["name"] in _FILTERS for one in operation.get("parameters", ())):
                    everywhere |= _WITH_A_NAME
                operation["responses"] = {code: _problem(text) for code, text in everywhere.items()} | responses
    for own in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(own, None)


def _foresee(responses: Shown) -> None:
    """A verb answers 200 with what it would do, where it is asked for no more."""
    shape = {"$ref": "#/components/schemas/Preview"}
    if "200" in responses:
        done = responses["200"]["content"]["application/json"]
        done["schema"] = {"anyOf": [done["schema"], shape]}
    else:
        content = {"application/json": {"schema": shape, "example": previews.EXAMPLE}}
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
