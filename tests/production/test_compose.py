"""docker-compose.yml where no docker is: what it says of us is true, nothing floats, nothing secret stands in it."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from workers.settings import IN_FILE, Settings, unknown_variables, variable

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "api", "worker")
JOBS = ("temporal-schema", "namespace", "migrate")


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_one_version_and_every_service_comes_back(name: str):
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?", service["image"])
    assert service["restart"] == ("on-failure" if name in JOBS else "unless-stopped")


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_told_what_we_know_and_as_commands_that_we_have(name: str):
    service = SERVICES[name]
    assert service["command"] == [name]
    assert unknown_variables(service["environment"]) == ()
    assert "PERENNIAL_DATABASE_URL_FILE" in service["environment"]


@pytest.mark.parametrize("name", ["postgres", "temporal", "api", "worker"])
def test_what_stays_says_when_it_is_healthy(name: str):
    assert SERVICES[name]["healthcheck"]["test"]


def test_everything_waits_for_what_it_cannot_do_without():
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in JOBS else "service_healthy"
            assert how["condition"] == wanted, f"{name} needs {needed}"
            assert needed in JOBS or "healthcheck" in SERVICES[needed]
    assert set(SERVICES["worker"]["depends_on"]) == {"migrate", "namespace"}


def test_no_secret_stands_in_the_file_and_each_that_is_read_is_mounted():
    secret = {variable(field) for field, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation)}
    for name, service in SERVICES.items():
        told = service.get("environment", {})
        assert not (secret | {"PERENNIAL_DATABASE_URL", "POSTGRES_PASSWORD", "POSTGRES_PWD"}) & set(told)
        read = set(re.findall(r"/run/secrets/(\w+)", f"{told} {service.get('entrypoint')}"))
        assert read <= set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        assert all(variable_.endswith(IN_FILE) for variable_, value in told.items() if "/run/secrets" in str(value))


def test_the_image_holds_every_package_and_its_exact_dependencies():
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    copied = set(re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE))
    assert copied == {package.partition(".")[0] for package in packages}
    assert "--require-hashes -r requirements.lock" in dockerfile
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)


def test_the_secrets_that_can_be_made_are_made_once_and_fit_together(tmp_path: Path):
    script = shutil.copy(ROOT / "deploy" / "make-secrets.sh", tmp_path)

    def made() -> tuple[dict[str, str], str]:
        done = subprocess.run(["/bin/sh", script], capture_output=True, text=True, check=True)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}, done.stderr

    first, told = made()
    assert set(first) | set(re.findall(r"secrets/(\w+)", told)) == set(COMPOSE["secrets"])
    assert first["postgres_password"] in first["database_url"]
    assert Settings(database_url=first["database_url"].strip(), admin_key=first["admin_key"].strip()).admin_key
    assert made()[0] == first
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
