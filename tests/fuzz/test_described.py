"""Whatever the API's own description lets one send, and what it does not: schemathesis asks every operation, as every role.

    answer  ours, as described: a status and a shape that /openapi.json names, and never our fault
    books   after a refusal as they were before it

`PERENNIAL_FUZZ` is how many cases of each operation are tried besides those at the edges of its description.
"""

import os
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from tests.fuzz.conftest import Served

pytestmark = pytest.mark.slow

ROLES = ("admin", "sales", "provisioning", "finance", "usage", "customer")
CASES = int(os.environ.get("PERENNIAL_FUZZ", "5"))
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# Names in paths under which there is something.
NAMES = {"step": "account", "feature": "pool", "key": "all-access", "code": "not_found", "invoice": "IW-2026-0001"}
nobody: Any = None
described = schemathesis.openapi.from_dict(create_app(nobody).openapi())


@described.parametrize()
@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_every_operation_answers_as_it_says_and_a_refusal_changes_nothing(case: schemathesis.Case[Any], served: Served):
    # Who asks, and of what, follows from what is asked: a failure is found again.
    chance = crc32(repr((case.path, case.path_parameters, case.query, case.body)).encode("utf-8", "replace"))
    role = ROLES[chance % 12] if chance % 12 < len(ROLES) else "admin"
    if chance % 5:
        case.path_parameters = {name: NAMES.get(name, "ada") for name in case.path_parameters}
    answer = case.call(base_url=served.url, headers=served.headers(role))
    case.validate_response(answer, checks=CHECKS)
    served.judge(answer.status_code)
