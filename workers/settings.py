"""Settings: everything a process can be told, each by one environment variable that begins with PERENNIAL_.

Each can stand in a file instead, which the variable with _FILE after its name names: for secrets that an orchestrator
mounts. Secrets show in no repr and in no error.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from domain.errors import InvalidInput

PREFIX = "PERENNIAL_"
IN_FILE = "_FILE"

ProcessName = Literal["api", "worker", "migrate", "reconcile"]

_NEEDS: Mapping[ProcessName, tuple[str, ...]] = {
    "api": ("stripe_api_key", "stripe_webhook_secret"),
    "worker": ("stripe_api_key",),
    "migrate": (),
    "reconcile": ("stripe_api_key",),
}


def _database(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if separator == "" or scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    return f"postgresql+asyncpg://{rest}"


def _address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ValueError("must look like host:7233")
    return address


def _web(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must look like https://host or http://host:port")
    return url.rstrip("/")


WebUrl = Annotated[str, AfterValidator(_web)]


class _Files(PydanticBaseSettingsSource):
    """The settings whose _FILE variable names a file: its text without white space around it."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = variable(field_name)
        path = os.environ.get(name + IN_FILE)
        if not path:
            return None, field_name, False
        if os.environ.get(name):
            raise InvalidInput(f"{name} and {name}{IN_FILE} are both set: which one is meant?")
        try:
            return Path(path).read_text().strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is not UTF-8 text"
            raise InvalidInput(f"{name}{IN_FILE}: {path} cannot be read ({why})") from error

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value}


class Settings(BaseSettings):
    """What this process was told. Reading the environment, and the files it names, is all that `Settings()` does."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database_url: Annotated[str, AfterValidator(_database)] = Field(
        repr=False, description="PostgreSQL, with the password: postgresql://user:password@host:5432/database."
    )
    temporal_address: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:7233", description="Temporal's frontend, host:port."
    )
    temporal_namespace: str = Field(default="perennial", description="Temporal namespace; it must exist.")
    task_queue: str = Field(default="perennial", description="Task queue that API and worker share.")

    stripe_api_key: SecretStr = Field(
        default=SecretStr(""), description="Stripe's secret key, sk_…; API and worker need it."
    )
    stripe_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="Signing secret of the Stripe webhook endpoint, whsec_…; the API needs it."
    )
    stripe_api_base: WebUrl | None = Field(
        default=None, description="Where Stripe's API is, if not at Stripe: the sandbox, for one."
    )

    provisioning_url: WebUrl | None = Field(
        default=None, description="The system that provisions what was sold; left out, nothing external is asked."
    )
    provisioning_api_key: SecretStr | None = Field(
        default=None, description="Bearer token that the provisioning system is asked with."
    )

    smtp_host: str | None = Field(default=None, description="Mail server; left out, mails are written to files.")
    smtp_port: int = Field(default=25, ge=1, le=65535, description="The mail server's port.")
    mail_sender: str = Field(default="billing@perennial.invalid", description="Address that mails come from.")

    api_host: str = Field(default="127.0.0.1", description="Address that the API, and a worker's /metrics, listen on.")
    api_port: int = Field(default=8080, ge=1, le=65535, description="Port that the API listens on.")
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port, on that address, of a worker's /metrics; left out, there are none.",
    )
    rate_limit: int = Field(
        default=6000, ge=0, description="Requests a minute of one API key to one API process; 0: as many as it likes."
    )
    usage_rate_limit: int = Field(
        default=120000, ge=0, description="The same for usage and entitlement checks, which count by themselves."
    )
    admin_key: SecretStr | None = Field(
        default=None, description="An API key with the role admin, besides those in the database."
    )

    documents_dir: Path = Field(
        default=Path(".perennial/documents"), description="Where mails are written when there is no mail server."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least that is logged."
    )
    log_json: bool = Field(
        default_factory=lambda: not sys.stderr.isatty(),
        description="Log JSON lines instead of coloured text; left out, whenever standard error is not a terminal.",
    )
    debug: bool = Field(default=False, description="Commands that fail print a traceback too.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values given in code, then variables, then files. Raises InvalidInput for a file that cannot be read."""
        return init_settings, env_settings, _Files(settings_cls)

    def missing_for(self, process: ProcessName) -> tuple[str, ...]:
        """The variables without which `process` cannot do its work, though they have a default."""
        values = {name: getattr(self, name) for name in _NEEDS[process]}
        return tuple(variable(name) for name, value in values.items() if not value.get_secret_value())


def variable(field: str) -> str:
    """The environment variable behind a field of Settings."""
    return f"{PREFIX}{field.upper()}"


def described() -> tuple[tuple[str, str, str], ...]:
    """Every variable, its default as text ("required" if it has none), and what it means. In the order of the class."""
    return tuple(
        (variable(name), _default(field.default, required=field.is_required()), field.description or "")
        for name, field in Settings.model_fields.items()
    )


def unknown_variables(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Variables that look like ours and are not: misspelt, most likely."""
    known = {variable(name) + suffix for name in Settings.model_fields for suffix in ("", IN_FILE)}
    return tuple(sorted(name for name in environment if name.startswith(PREFIX) and name not in known))


def _default(value: object, *, required: bool) -> str:
    if required:
        return "required"
    if isinstance(value, SecretStr):
        return ""
    return "" if value is None or value is PydanticUndefined else str(value)
