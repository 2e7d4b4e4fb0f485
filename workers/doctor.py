"""`perennial doctor`: is every setting right, is every room within reach, and does time's work get done?

    settings ──► PostgreSQL, its schema, what is overdue ──► Temporal, its workers ──► Stripe, provisioning, mail, disk

One line per check, each with what is wrong and how to mend it. It changes nothing, and no secret is shown.
"""

import json
import os
import sys
from collections.abc import Iterable
from typing import TextIO
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from domain.errors import InvalidInput
from workers.doctor_rooms import Finding, State, rooms
from workers.printing import console_on
from workers.sandbox import SANDBOX_KEY, SANDBOX_SECRET
from workers.settings import IN_FILE, Settings, described, unknown_variables, variable

_LOOPBACK = ("127.", "localhost", "::1", "[::1]")
_SHORTEST_KEY = 24


async def run_doctor(*, as_json: bool, out: TextIO = sys.stdout) -> int:
    """Look at everything and print it. Answers 0 when all is well, 1 when something is not."""
    findings = await examined()
    healthy = all(finding.state is not State.WRONG for finding in findings)
    if as_json:
        checks = [
            {"check": one.check, "state": str(one.state), "detail": one.detail, "mend": one.mend} for one in findings
        ]
        out.write(json.dumps({"healthy": healthy, "checks": checks}, indent=2) + "\n")
    else:
        console = console_on(out)
        width = max(len(one.check) for one in findings)
        for one in findings:
            mend = f"; to mend: {one.mend}" if one.mend else ""
            console.print(f"{one.state:<5}  {one.check:<{width}}  {one.detail}{mend}", markup=False)
    return 0 if healthy else 1


async def examined() -> list[Finding]:
    """Every check, in the order of the picture; the rooms only when the settings can be read."""
    misspelt = [
        Finding(State.WRONG, name, "is no setting", "mend its name, or unset it") for name in unknown_variables()
    ]
    try:
        settings = Settings()  # pyright: ignore[reportCallIssue]  (pydantic-settings reads what is required)
    except ValidationError as error:
        return misspelt + [_unreadable(str(one["loc"][0]), one["msg"]) for one in error.errors()]
    except InvalidInput as error:
        return [*misspelt, Finding(State.WRONG, "settings", error.detail, "mend the file, or which one is named")]
    return [*misspelt, *of_settings(settings), *await rooms(settings)]


def of_settings(settings: Settings) -> list[Finding]:
    """One line per setting: what it is, and whether it can stay so. Of a secret only whether there is one."""
    wrong = dict(_wrong(settings))
    meanings = {name: meaning for name, _, meaning in described()}
    findings: list[Finding] = []
    for field in Settings.model_fields:
        name = variable(field)
        shown = _shown(field, getattr(settings, field))
        if name in wrong:
            why, mend = wrong[name]
            findings.append(Finding(State.WRONG, name, f"{shown}: {why}", mend))
        else:
            findings.append(Finding(State.OK, name, f"{shown}   ({meanings[name]})"))
    return findings


def _wrong(settings: Settings) -> Iterable[tuple[str, tuple[str, str]]]:
    """What is missing or unsafe, by variable: why, and how to mend it."""
    for name in settings.missing_for("api"):
        yield name, ("the API does not start without it", f"set {name}, or {name}{IN_FILE}")
    key, secret = settings.stripe_api_key.get_secret_value(), settings.stripe_webhook_secret.get_secret_value()
    base, target = settings.stripe_api_base, settings.provisioning_url
    if key == SANDBOX_KEY and base is None:
        yield (
            variable("stripe_api_key"),
            ("is the sandbox's, and Stripe does not know it", "set the key of your account"),
        )
    if key.startswith("pk_"):
        yield (
            variable("stripe_api_key"),
            ("is a publishable key", "set the secret key, sk_…, or a restricted one, rk_…"),
        )
    if secret == SANDBOX_SECRET and not _is_near(settings.api_host):
        why = "is the sandbox's, which everybody knows: anybody could report a payment"
        yield variable("stripe_webhook_secret"), (why, "set the signing secret of your webhook endpoint, whsec_…")
    if base is not None and _in_the_clear(base):
        yield variable("stripe_api_base"), ("sends the secret key in the clear", "unset it, or use https")
    if settings.provisioning_api_key and target and _in_the_clear(target):
        yield variable("provisioning_url"), ("the bearer token goes there in the clear", "use https")
    if settings.admin_key is not None and len(settings.admin_key.get_secret_value()) < _SHORTEST_KEY:
        why = f"has fewer than {_SHORTEST_KEY} characters: it can be guessed"
        yield variable("admin_key"), (why, "unset it, and use `perennial keys create --role admin`")
    if settings.smtp_host and settings.mail_sender.endswith(".invalid"):
        yield variable("mail_sender"), ("no mail server delivers from it", "set an address of your own domain")


def _unreadable(field: str, why: str) -> Finding:
    name = variable(field)
    missing = name not in os.environ and name + IN_FILE not in os.environ
    return Finding(State.WRONG, name, "is not set" if missing else why, f"set {name}, or {name}{IN_FILE}")


def _shown(field: str, value: object) -> str:
    if value is None or value == SecretStr(""):
        return "not set"
    # A database's address holds its password.
    return "set" if isinstance(value, SecretStr) or field == "database_url" else str(value)


def _in_the_clear(url: str) -> bool:
    return not url.startswith("https:") and not _is_near(urlsplit(url).hostname or "")


def _is_near(host: str) -> bool:
    return host.startswith(_LOOPBACK)
