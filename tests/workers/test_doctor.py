"""The doctor finds each thing that is planted, says how to mend it, shows no secret, and is content with what is well."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from store.migrate import newest_revision
from tests.production.installation import ADMIN_KEY, Installation, running
from workers.doctor import of_settings
from workers.doctor_rooms import State, clock_finding, disk_finding
from workers.process import free_port
from workers.settings import Settings

pytestmark = pytest.mark.slow
AT = datetime(2026, 11, 24, tzinfo=UTC)
URL = "postgresql://user:hush@db:5432/books"
WELL: dict[str, Any] = {"database_url": URL, "stripe_api_key": "sk_live_1", "stripe_webhook_secret": "whsec_1"}

UNSAFE = [
    ("STRIPE_API_KEY", {"stripe_api_key": ""}, "does not start without it"),
    ("STRIPE_WEBHOOK_SECRET", {"stripe_webhook_secret": ""}, "does not start without it"),
    ("STRIPE_API_KEY", {"stripe_api_key": "sk_test_sandbox"}, "is the sandbox's"),
    ("STRIPE_API_KEY", {"stripe_api_key": "pk_live_1"}, "publishable"),
    ("STRIPE_WEBHOOK_SECRET", {"stripe_webhook_secret": "whsec_sandbox", "api_host": "0.0.0.0"}, "everybody knows"),
    ("STRIPE_API_BASE", {"stripe_api_base": "http://stripe.example"}, "in the clear"),
    ("PROVISIONING_URL", {"provisioning_url": "http://x.example", "provisioning_api_key": "k"}, "in the clear"),
    ("ADMIN_KEY", {"admin_key": "secret"}, "guessed"),
    ("MAIL_SENDER", {"smtp_host": "mail.example"}, "delivers"),
]


@pytest.mark.parametrize(("name", "values", "why"), UNSAFE)
def test_a_setting_that_is_missing_or_unsafe_is_found_with_its_remedy(name: str, values: dict[str, Any], why: str):
    wrong = [one for one in of_settings(Settings(**{**WELL, **values})) if one.state is State.WRONG]
    assert [one.check for one in wrong] == [f"PERENNIAL_{name}"]
    assert why in wrong[0].detail
    assert wrong[0].mend


def test_safe_settings_are_listed_one_by_one_and_no_secret_is_shown():
    settings = Settings(**WELL, admin_key=SecretStr("a-key-that-nobody-guesses"))
    findings = of_settings(settings)
    assert len(findings) == len(Settings.model_fields)
    assert {one.state for one in findings} == {State.OK}
    for secret in ("hush", "sk_live_1", "whsec_1", "a-key-that-nobody-guesses"):
        assert secret not in repr(findings)


def test_a_clock_that_is_read_outside_the_moment_of_asking_is_off():
    moment = (AT, AT + timedelta(seconds=1))
    assert clock_finding("x", AT + timedelta(seconds=2), *moment).state is State.OK
    assert clock_finding("x", AT + timedelta(seconds=4), *moment).state is State.WRONG
    assert clock_finding("x", AT - timedelta(seconds=3), *moment).state is State.WRONG


def test_a_full_disk_is_found():
    assert disk_finding(Path("/"), 1 << 20).state is State.WRONG
    assert disk_finding(Path("/"), 1 << 40).state is State.OK


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with running(tmp_path_factory.mktemp("doctor")) as installation:
        yield installation


async def wrong(stack: Installation, **changed: str | None) -> dict[str, str]:
    """What the doctor finds wrong, and says of it; it ends with 1 exactly if there is anything."""
    status, answer = await stack.json("doctor", **changed)
    found = {one["check"]: f"{one['detail']}; {one['mend']}" for one in answer["checks"] if one["state"] == "WRONG"}
    assert (status, answer["healthy"]) == ((1, False) if found else (0, True))
    assert ADMIN_KEY not in str(answer)
    return found


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stack_that_runs_is_well_and_every_room_has_its_line(stack: Installation):
    status, out, err = await stack.run("doctor")
    assert (status, err) == (0, ""), out
    for room in ("postgresql", "clock of postgresql", "schema", "permissions", "overdue work", "temporal", "namespace"):
        assert f"\nok     {room} " in out, out
    for room in ("search attributes", "worker", "clock of temporal", "provisioning", "disk", "python"):
        assert f"\nok     {room} " in out, out
    assert "test mode" in out
    password = stack.database_url().split(":")[2].partition("@")[0]
    assert password not in out and ADMIN_KEY not in out


@pytest.mark.asyncio(loop_scope="module")
async def test_each_room_that_is_not_there_is_named_with_its_remedy(stack: Installation):
    nowhere = f"127.0.0.1:{free_port()}"
    found = await wrong(
        stack,
        PERENNIAL_TEMPORAL_ADDRESS=nowhere,
        PERENNIAL_PROVISIONING_URL=f"http://{nowhere}",
        PERENNIAL_STRIPE_API_BASE=f"http://{nowhere}",
        PERENNIAL_SMTP_HOST="127.0.0.1",
        PERENNIAL_SMTP_PORT=nowhere.partition(":")[2],
        PERENNIAL_MAIL_SENDER="billing@example.com",
        PERENNIAL_DATABASE_URL_FILE=None,
        PERENNIAL_DATABASE_URL=f"postgresql://perennial:hush@{nowhere}/perennial",
    )
    assert set(found) == {"postgresql", "temporal", "stripe", "provisioning", "mail"}
    assert "hush" not in str(found)
    for check, name in (("postgresql", "DATABASE_URL"), ("temporal", "TEMPORAL_ADDRESS"), ("mail", "SMTP_HOST")):
        assert f"PERENNIAL_{name}" in found[check]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_misspelt_malformed_or_missing_is_named(stack: Installation):
    found = await wrong(stack, PERENNIAL_STRIPE_KEY="x", PERENNIAL_API_PORT="many", PERENNIAL_DATABASE_URL_FILE=None)
    assert set(found) == {"PERENNIAL_STRIPE_KEY", "PERENNIAL_API_PORT", "PERENNIAL_DATABASE_URL"}
    assert "PERENNIAL_DATABASE_URL_FILE" in found["PERENNIAL_DATABASE_URL"]
    assert set(await wrong(stack, PERENNIAL_STRIPE_API_KEY_FILE="/nowhere")) == {"settings"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_namespace_or_a_task_queue_that_nobody_serves_is_found(stack: Installation):
    assert "temporal operator namespace create" in (await wrong(stack, PERENNIAL_TEMPORAL_NAMESPACE="x"))["namespace"]
    found = await wrong(stack, PERENNIAL_TASK_QUEUE="nobodys")
    assert set(found) == {"worker"}
    assert "perennial worker" in found["worker"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_schema_that_is_missing_or_newer_is_found_and_nothing_is_changed(stack: Installation):
    await stack.postgres.create_database("empty")
    url = {"PERENNIAL_DATABASE_URL": stack.database_url("empty"), "PERENNIAL_DATABASE_URL_FILE": None}
    for _ in range(2):
        assert "perennial migrate" in (await wrong(stack, **url))["schema"]
    await stack.sql("UPDATE alembic_version SET version_num = '9999'")
    assert "run the newer version" in (await wrong(stack))["schema"]
    await stack.sql("UPDATE alembic_version SET version_num = :newest", newest=newest_revision())


@pytest.mark.asyncio(loop_scope="module")
async def test_a_role_that_may_not_write_is_found(stack: Installation):
    await stack.sql("CREATE ROLE reader LOGIN PASSWORD 'readers'")
    await stack.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    url = stack.database_url()
    password = url.split("://")[1].partition("@")[0]
    told = {"PERENNIAL_DATABASE_URL": url.replace(password, "reader:readers"), "PERENNIAL_DATABASE_URL_FILE": None}
    assert "payments" in (await wrong(stack, **told))["permissions"]


@pytest.mark.asyncio(loop_scope="module")
async def test_work_that_is_due_and_not_done_is_found(stack: Installation):
    customer = {"key": "late", "name": "Late", "currency": "EUR", "timezone": "Europe/Berlin", "country": "DE"}
    await stack.ask("POST", "customers", customer)
    quote = await stack.ask("POST", "quotes", {"key": "late", "customer": "late", "lines": [{"plan": "all-access"}]})
    await stack.sql("UPDATE quotes SET next_action_at = now() - interval '1 hour'")
    found = await wrong(stack)
    assert set(found) == {"overdue work"}
    assert quote["id"] in found["overdue work"]
