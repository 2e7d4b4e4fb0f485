"""The API's docs are whole: every operation, every refusal, and one list of codes."""

import json
import re
from pathlib import Path

import pytest

from api.problems import catalogue

pytestmark = pytest.mark.asyncio(loop_scope="module")
APPENDIX = Path(__file__).parents[2] / "docs" / "refusals.md"
ROW = re.compile(r"\| (\d{3}) \| `([a-z_]+)` \| (.+) \|")


@pytest.fixture
def operations(api):
    schema = json.loads(json.dumps(api.world.world.api.openapi()))
    return {
        (method, path): operation
        for path, found in schema["paths"].items()
        for method, operation in found.items()
        if path.startswith("/v1/")
    }


def codes(operation):
    told = [said["description"] for status, said in operation["responses"].items() if status >= "400"]
    return {code for text in told for code in re.findall("`([a-z_]+)`:", text)}


async def test_every_operation_says_what_it_does_and_shows_an_answer(operations):
    for name, operation in operations.items():
        assert operation["summary"] and operation["description"], name
        well = {status: said for status, said in operation["responses"].items() if status.startswith("2")}
        for status, said in well.items():
            assert status == "204" or all("example" in one for one in said["content"].values()), (name, status)
        if "requestBody" in operation and name != ("put", "/v1/catalog"):
            assert all("example" in one for one in operation["requestBody"]["content"].values()), name


async def test_every_operation_names_its_refusals_each_under_its_status(operations):
    known = {code: str(status) for status, code, _ in catalogue()}
    for name, operation in operations.items():
        assert {"unauthorized", "forbidden", "invalid_input", "too_many_requests", "unavailable"} <= codes(operation), (
            name
        )
        for status, said in operation["responses"].items():
            if status >= "400":
                told = re.findall("`([a-z_]+)`:", said["description"])
                assert told and {known[code] for code in told} == {status}, name


async def test_what_a_kind_of_operation_can_answer_is_told_of_each(operations):
    for (method, path), operation in operations.items():
        parameters = {one["name"] for one in operation.get("parameters", ())}
        if method == "post" and path != "/v1/usage":
            assert "Idempotency-Key" in parameters, path
            assert {"idempotency_conflict", "in_progress"} <= codes(operation), path
        assert ("If-Match" in parameters) == ("precondition_failed" in codes(operation)), path
        assert "cursor" not in parameters or {"limit", "from", "to"} <= parameters, path


async def test_every_verb_can_be_waited_for_foreseen_and_bound_to_a_version(operations):
    verbs = {path for method, path in operations if method == "post" and re.search(r"\}/[a-z-]+$", path)}
    assert len(verbs) >= 10
    for path in verbs - {"/v1/api-keys/{id}/rotate"}:
        assert {"wait", "preview", "If-Match"} <= {one["name"] for one in operations["post", path]["parameters"]}, path


async def test_the_appendix_of_refusals_is_the_one_list():
    written = [(int(status), code, meaning) for status, code, meaning in ROW.findall(APPENDIX.read_text())]
    assert written == catalogue()


async def test_what_may_be_left_out_of_a_change_is_not_required(operations):
    body = operations["patch", "/v1/customers/{id}"]["requestBody"]["content"]["application/json"]
    assert "required" not in body["schema"]
