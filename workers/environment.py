"""Environment: what a process is told when it is started, read once, and its log set up by it."""

from pydantic import ValidationError

from domain.errors import InvalidInput
from workers.logging import configure_logging
from workers.settings import ProcessName, Settings, variable


def read_settings(process: ProcessName) -> Settings:
    """What the environment says. Raises InvalidInput with one line that names each variable that is wrong or missing."""
    try:
        settings = Settings()  # pyright: ignore[reportCallIssue]  (pydantic-settings reads what is required)
    except ValidationError as error:
        wrong = "; ".join(f"{variable(str(e['loc'][0]))}: {e['msg']}" for e in error.errors())
        raise InvalidInput(wrong) from error
    if missing := settings.missing_for(process):
        raise InvalidInput(f"{process} needs {', '.join(missing)}")
    configure_logging(
        level=settings.log_level,
        as_json=settings.log_json,
        core_metrics=process == "worker" and settings.metrics_port is not None,
    )
    return settings
