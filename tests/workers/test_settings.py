import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from domain.errors import InvalidInput
from workers.logging import configure_logging
from workers.settings import Settings, described, unknown_variables

ROOT = Path(__file__).parents[2]
URL = "postgresql://user:hush@db:5432/books"


@pytest.fixture(autouse=True)
def a_bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in unknown_variables() + tuple(name for name, _, _ in described()):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def settings(**values: Any) -> Settings:
    return Settings(**{"database_url": URL, **values})


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", URL)
    monkeypatch.setenv("PERENNIAL_TEMPORAL_ADDRESS", "temporal:7233")
    monkeypatch.setenv("PERENNIAL_PROVISIONING_URL", "https://billing.example/")
    monkeypatch.setenv("PERENNIAL_STRIPE_API_BASE", "")
    read = Settings()  # pyright: ignore[reportCallIssue]
    assert read.database_url == "postgresql+asyncpg://user:hush@db:5432/books"
    assert read.temporal_address == "temporal:7233"
    assert read.provisioning_url == "https://billing.example"
    assert read.stripe_api_base is None


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    secret = tmp_path / "stripe"
    secret.write_text("sk_live_1\n")
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", URL)
    monkeypatch.setenv("PERENNIAL_STRIPE_API_KEY_FILE", str(secret))
    read = Settings()  # pyright: ignore[reportCallIssue]
    assert read.stripe_api_key.get_secret_value() == "sk_live_1"
    assert unknown_variables() == ()


def test_a_file_that_cannot_be_read_or_says_it_twice_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PERENNIAL_DATABASE_URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(InvalidInput, match=r"PERENNIAL_DATABASE_URL_FILE.*No such file"):
        Settings()  # pyright: ignore[reportCallIssue]
    (tmp_path / "missing").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match=r"PERENNIAL_DATABASE_URL_FILE.*UTF-8"):
        Settings()  # pyright: ignore[reportCallIssue]
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", URL)
    with pytest.raises(InvalidInput, match="both"):
        Settings()  # pyright: ignore[reportCallIssue]


def test_a_process_that_was_told_nothing_learns_what_it_needs():
    with pytest.raises(ValidationError, match="database_url"):
        Settings()  # pyright: ignore[reportCallIssue]
    assert settings().missing_for("migrate") == ()
    assert settings().missing_for("worker") == ("PERENNIAL_STRIPE_API_KEY",)
    told = settings(stripe_api_key="sk_test_1", stripe_webhook_secret="whsec_1")
    assert told.missing_for("api") == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database_url", "mysql://user:hush@db/books"),
        ("database_url", "hush"),
        ("temporal_address", "http://hush:7233"),
        ("temporal_address", "hush"),
        ("provisioning_url", "hush.example"),
        ("provisioning_url", "ftp://hush"),
        ("log_level", "hush"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_not_repeated(field: str, value: str):
    with pytest.raises(ValidationError) as refusal:
        settings(**{field: value})
    assert field in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_secrets_do_not_show():
    secretive = settings(stripe_api_key="sk_hush", stripe_webhook_secret="hush", admin_key="hush")
    assert "hush" not in repr(secretive)
    assert "hush" not in str(secretive)


def test_every_variable_is_described_and_a_misspelt_one_is_found():
    assert all(name.startswith("PERENNIAL_") and meaning for name, _, meaning in described())
    assert ("PERENNIAL_DATABASE_URL", "required") in {(name, default) for name, default, _ in described()}
    assert unknown_variables({"PERENNIAL_DATABSE_URL": "x", "PERENNIAL_TASK_QUEUE": "x", "HOME": "x"}) == (
        "PERENNIAL_DATABSE_URL",
    )


def test_the_readme_lists_every_variable_and_what_it_means():
    readme = (ROOT / "README.md").read_text()
    listed = re.findall(r"^\| `(PERENNIAL_\w+)` \| (.*?) \| (.*?) \|$", readme, re.MULTILINE)
    assert listed == [(name, f"`{default}`" if default else "", meaning) for name, default, meaning in described()]


def test_every_setting_is_used_by_a_process():
    tellers = {"settings.py", "doctor.py", "doctor_rooms.py"}  # they tell of every setting, and use none
    used = "".join(path.read_text() for path in (ROOT / "workers").glob("*.py") if path.name not in tellers)
    unused = [
        name
        for name in Settings.model_fields
        if f"settings.{name}" not in used and f"PERENNIAL_{name.upper()}" not in used
    ]
    assert unused == []


@pytest.mark.usefixtures("logging_as_before")
def test_off_a_terminal_each_event_is_one_json_line_on_standard_error(capsys: pytest.CaptureFixture[str]):
    configure_logging(level="INFO", as_json=True)
    with structlog.contextvars.bound_contextvars(workflow_id="subscription/sub_1"):
        structlog.get_logger().info("invoice_recorded", invoice_id="inv_1")
    logging.getLogger("temporalio").warning("slow %s", "task", extra={"attempt": 2})
    logging.getLogger("httpx").info("too much detail")
    said = capsys.readouterr()
    assert said.out == ""
    ours, theirs = (json.loads(line) for line in said.err.splitlines())
    assert ours["event"] == "invoice_recorded"
    assert (ours["invoice_id"], ours["workflow_id"]) == ("inv_1", "subscription/sub_1")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"], theirs["attempt"]) == ("slow task", "warning", 2)


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("log_json", [True, False])
def test_a_traceback_shows_no_local_variable(capsys: pytest.CaptureFixture[str], log_json: bool):
    configure_logging(level="INFO", as_json=log_json)
    password = "hush" + str(log_json)
    try:
        _ = {}[len(password)]
    except KeyError:
        structlog.get_logger().exception("it_failed")
    said = capsys.readouterr().err
    assert "KeyError" in said
    assert password not in said
    assert (len(said.splitlines()) == 1) is log_json


@pytest.mark.usefixtures("logging_as_before")
def test_the_level_is_heeded(capsys: pytest.CaptureFixture[str]):
    configure_logging(level="WARNING", as_json=True)
    structlog.get_logger().info("unheard")
    structlog.get_logger().warning("heard")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["heard"]
