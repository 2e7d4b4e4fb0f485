"""The rules that a reviewer would otherwise have to remember."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ["domain", "activities", "workflows", "store", "providers", "api", "workers"]
MODULES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if path.stat().st_size]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
class TestEveryModule:
    def test_opens_with_a_sentence(self, path: Path):
        assert ast.get_docstring(tree(path))

    def test_fits_in_400_lines(self, path: Path):
        assert len(path.read_text().splitlines()) <= 400

    def test_has_no_function_over_70_lines(self, path: Path):
        assert not [f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno >= 70]


@pytest.mark.parametrize("path", sorted((ROOT / "domain").glob("*.py")), ids=lambda path: path.stem)
def test_the_domain_has_no_float(path: Path):
    floats = [
        node.lineno
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
    ]
    assert not floats


@pytest.mark.parametrize("path", sorted((ROOT / "domain").glob("*.py")), ids=lambda path: path.stem)
def test_the_domain_knows_no_clock_and_no_chance(path: Path):
    forbidden = {"now", "utcnow", "today", "uuid4", "uuid1", "urandom", "token_hex"}
    called = {
        node.func.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & forbidden


def activities() -> list[ast.AsyncFunctionDef]:
    return [
        node
        for path in (ROOT / "activities").glob("*.py")
        for node in functions(path)
        if isinstance(node, ast.AsyncFunctionDef)
        and any("activity.defn" in ast.unparse(d) for d in node.decorator_list)
    ]


def test_there_are_activities_to_judge():
    assert len(activities()) >= 16


def test_every_activity_says_why_a_retry_is_harmless():
    assert not [node.name for node in activities() if "Idempotent:" not in (ast.get_docstring(node) or "")]


def test_every_activity_takes_one_annotated_message_and_answers_one():
    for node in activities():
        arguments = [argument for argument in node.args.args if argument.arg != "self"]
        assert len(arguments) == 1, node.name
        assert arguments[0].annotation is not None, node.name
        assert node.returns is not None, node.name


def test_every_workflow_says_its_id_and_how_it_ends():
    from workers.worker import WORKFLOWS

    for workflow in WORKFLOWS:
        doc = inspect.getdoc(workflow) or ""
        assert "Id: `" in doc and "Ends" in doc, workflow.__name__


def test_every_workflow_boundary_takes_one_message():
    for path in (ROOT / "workflows").glob("*.py"):
        for node in functions(path):
            if any("workflow." in ast.unparse(d) and "query" not in ast.unparse(d) for d in node.decorator_list):
                arguments = [argument for argument in node.args.args if argument.arg != "self"]
                assert len(arguments) == 1, f"{path.stem}.{node.name}"


def test_sql_has_no_clock_of_its_own():
    guilty = [
        name_of(path)
        for path in (ROOT / "store").rglob("*.py")
        if any(word in path.read_text().lower() for word in ("now()", "current_timestamp", "func.now"))
    ]
    assert not guilty


def test_no_file_names_a_machine_or_a_registry():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    needles = ("index" + "-url", "pypi" + ".org", "files.python" + "hosted")
    guilty = [
        path
        for path in tracked
        if (ROOT / path).is_file() and any(needle in (ROOT / path).read_text(errors="ignore") for needle in needles)
    ]
    assert not [path for path in guilty if path not in {"Makefile"}]


@pytest.mark.slow
def test_a_breach_of_the_import_contracts_turns_them_red(tmp_path: Path):
    for room in ROOMS:
        source = ROOT / room
        for path in source.rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    breach = tmp_path / "domain" / "money.py"
    breach.write_text(breach.read_text() + "\nimport sqlmodel  # the deliberate breach\n")
    lint = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([lint], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "The domain knows no framework BROKEN" in result.stdout
