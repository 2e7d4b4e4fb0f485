"""docs/sandbox.md promises nothing that the sandbox does not do, and leaves none of its faults out."""

import re

from providers.sandbox.control import control_routes
from providers.sandbox.faults import KINDS
from providers.sandbox.methods import behaviour_of
from tests.workers.processes import ROOT

PAGE = (ROOT / "docs" / "sandbox.md").read_text()


def test_every_payment_method_on_the_page_is_one():
    names = re.findall(r"`(pm_\w+)`", PAGE)
    assert len(names) > 15
    assert [name for name in names if behaviour_of(name) is None] == []


def test_every_fault_of_the_provider_is_on_the_page_and_no_other():
    table = PAGE[PAGE.index("| `kind` |") : PAGE.index("The first two strike")]
    assert set(re.findall(r"`([a-z_0-9]+)`", table)) - {"kind"} == KINDS


def test_every_back_door_of_the_provider_is_on_the_page():
    paths = {route.path.replace("{ref}", "{id}") for route in control_routes(None)}  # type: ignore[arg-type]
    paths.discard("/_sandbox/tick")  # a server ticks by itself
    assert [
        path for path in paths if path not in PAGE.replace("…/dispute/decide", "/_sandbox/intents/{id}/dispute/decide")
    ] == []
