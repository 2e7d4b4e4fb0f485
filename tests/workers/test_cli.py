"""The command line as its user meets it: exit status, one line on standard error, nothing left behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import Databases
from tests.workers.processes import ROOT, all_gone, eventually
from workers.dev import DevStack
from workers.process import command_line, free_port

GYM = ROOT / "examples" / "gym"
ARGUMENT_ERRORS = [
    ("rate", "Missing argument"),
    ("frobnicate", "No such command 'frobnicate'"),
    ("catalog frobnicate", "No such command 'frobnicate'"),
    ("rate FILE --jsn", "No such option: --jsn"),
    ("keys create", "--role"),
    ("keys create --role king", "--role king"),
    ("dev --port 0", "--port"),
    ("dev --port 99999", "--port"),
    ("dev --port x", "--port"),
    ("rate /nonexistent", "/nonexistent: cannot be read: No such file"),
    ("simulate /nonexistent", "/nonexistent: cannot be read: No such file"),
    ("catalog check /nonexistent", "/nonexistent: cannot be read: No such file"),
    ("catalog apply /nonexistent", "/nonexistent: cannot be read: No such file"),
    ("migrate", "PERENNIAL_DATABASE_URL"),
    ("dev --data-dir Makefile", "Makefile: File exists"),
    ("demo --data-dir Makefile", "Makefile is not a folder"),
    ("demo --data-dir domain", "was not made by a demo"),
]


def environment(**ours: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")} | ours


def perennial(*arguments: str, folder: Path | None = None, **ours: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "workers.cli", *arguments]
    env = environment(PYTHONPATH=str(ROOT), **ours)
    return subprocess.run(argv, cwd=folder or ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def said(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line on standard error of a command that ended with `status`."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "words"), ARGUMENT_ERRORS, ids=[arguments for arguments, _ in ARGUMENT_ERRORS])
def test_what_cannot_be_understood_is_told_in_one_line_and_exit_status_2(arguments: str, words: str):
    assert words in said(perennial(*arguments.split()), 2)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["", "catalog", "keys", "--help"])
def test_a_command_alone_shows_what_there_is(arguments: str):
    done = perennial(*arguments.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: perennial" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", ["migrate", "api", "worker", "keys create --role admin", "catalog apply CATALOG"])
def test_a_database_that_is_not_there_is_named_without_its_password(command: str):
    arguments = command.replace("CATALOG", str(GYM / "catalog.yaml")).split()
    told = {"PERENNIAL_STRIPE_API_KEY": "sk_test_x", "PERENNIAL_STRIPE_WEBHOOK_SECRET": "whsec_x"}
    url = f"postgresql://u:hush@127.0.0.1:{free_port()}/books"
    line = said(perennial(*arguments, PERENNIAL_DATABASE_URL=url, **told), 1)
    assert "PostgreSQL at postgresql://u:***@127.0.0.1:" in line
    assert "connection refused" in line
    assert "mend PERENNIAL_DATABASE_URL" in line
    assert "hush" not in line


@pytest.mark.slow
async def test_a_database_without_our_tables_says_what_makes_them(databases: Databases):
    async with databases.fresh(migrated=False) as url:
        done = await asyncio.to_thread(perennial, "keys", "create", "--role", "admin", PERENNIAL_DATABASE_URL=url)
    assert "run `perennial migrate`" in said(done, 1)


@pytest.mark.slow
async def test_a_temporal_that_is_not_there_is_named(database_url: str):
    told = {"PERENNIAL_DATABASE_URL": database_url, "PERENNIAL_STRIPE_API_KEY": "sk_test_x"}
    address = f"127.0.0.1:{free_port()}"
    done = await asyncio.to_thread(perennial, "worker", PERENNIAL_TEMPORAL_ADDRESS=address, **told)
    line = said(done, 1)
    assert f"Temporal at {address} cannot be reached" in line
    assert "mend PERENNIAL_TEMPORAL_ADDRESS" in line


@pytest.mark.slow
async def test_the_api_asked_to_stop_ends_well_and_a_second_one_on_its_port_says_so(database_url: str):
    port = str(free_port())
    told = {
        "PERENNIAL_DATABASE_URL": database_url,
        "PERENNIAL_STRIPE_API_KEY": "sk_test_x",
        "PERENNIAL_STRIPE_WEBHOOK_SECRET": "whsec_x",
        "PERENNIAL_API_PORT": port,
    }
    argv = [sys.executable, "-m", "workers.cli", "api"]
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environment(**told))
    await eventually(lambda: listens(port), "the API listens", within=60)
    line = said(await asyncio.to_thread(perennial, "api", **told), 1)
    assert line == f"perennial: port {port} of 127.0.0.1: Address already in use\n"
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 60) == 0


def listens(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


@pytest.mark.slow
class TestDev:
    def test_refuses_a_port_that_is_taken_before_anything_is_made(self, tmp_path: Path):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            line = said(perennial("dev", "--port", port, "--data-dir", str(tmp_path)), 1)
        assert line.startswith(f"perennial: port {port} of 127.0.0.1: Address already in use")
        assert "--port" in line
        assert not (tmp_path / "postgres").exists()

    async def test_a_second_one_on_the_same_folder_is_refused_and_changes_nothing(self, tmp_path: Path):
        first = await Stack.up(tmp_path, str(free_port()))
        try:
            before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in {".json", ".key"}}
            assert set(before) == {"stack.json", "ports.json", "admin.key"}
            more = ("dev", "--port", str(free_port()), "--data-dir", str(tmp_path), "--admin-key", "another")
            line = said(await asyncio.to_thread(perennial, *more), 1)
            assert f"{tmp_path} is in use by another process" in line
            assert {name: (tmp_path / name).read_bytes() for name in before} == before
        finally:
            pids = first.pids()
            assert await first.ended_by(signal.SIGTERM) == 0
        await all_gone(pids)
        remembered = json.loads((tmp_path / "ports.json").read_text())
        stack = DevStack(tmp_path, port=free_port())
        assert (stack.sandbox_url, stack.temporal.ui_url) == tuple(
            f"http://127.0.0.1:{remembered[name]}" for name in ("sandbox", "temporal_ui")
        )

    def test_takes_another_port_for_its_pages_when_the_one_of_last_time_is_taken(self, tmp_path: Path):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            (tmp_path / "ports.json").write_text(json.dumps({"temporal_ui": port}))
            assert DevStack(tmp_path, port=free_port()).temporal.ports["ui"] != port


class Stack:
    """`perennial dev` in a process of its own."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process

    @classmethod
    async def up(cls, folder: Path, port: str) -> "Stack":
        argv = (sys.executable, "-m", "workers.cli", "dev", "--port", port, "--data-dir", str(folder))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=ROOT, env=environment(), stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        assert process.stdout is not None
        async with asyncio.timeout(90):
            while "Ctrl-C" not in (line := (await process.stdout.readline()).decode()):
                assert line, f"dev ended with {await process.wait()}"
        return cls(folder, process)

    def pids(self) -> list[int]:
        services = json.loads((self.folder / "stack.json").read_text())["services"]
        return [service["pid"] for service in services.values()]

    async def ended_by(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_simulation_asked_to_stop_leaves_nothing_behind(number: signal.Signals, tmp_path: Path):
    argv = [sys.executable, "-m", "workers.cli", "simulate", str(GYM / "story.yaml")]
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environment(TMPDIR=str(tmp_path)))
    await eventually(lambda: children(tmp_path) != [], "its PostgreSQL", within=60)
    pids = children(tmp_path)
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), 60) == 128 + number
    await all_gone(pids)
    assert list(tmp_path.iterdir()) == []


def children(folder: Path) -> list[int]:
    """Processes whose command names the folder."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if f"{folder}/perennial-" in command_line(pid)]


@pytest.mark.slow
class TestSimulate:
    STORY = """scenario: odd
starts: 2026-01-31T09:00:00+01:00
until: 2026-02-02T00:00:00+01:00
catalog:
  entity: {key: gym, legal_name: Iron, country: DE}
  plans:
    - {key: p, name: P, currency: EUR, charges: [{key: b, model: flat, timing: advance, amount: "10.00"}]}
customers:
  - {key: ada, name: Ada, currency: EUR, timezone: Europe/Berlin, country: DE, payment_method: pm_card_visa}
steps:
  - {at: 2026-01-31T09:00:00+01:00, quote: {key: q1, customer: ada, lines: [{plan: p}]}}
  - {at: 2026-01-31T09:01:00+01:00, payment_method: {customer: ada, use: pm_card_nobody_has}}
  - {at: 2026-01-31T09:05:00+01:00, accept: q1}
"""

    def test_a_method_the_provider_does_not_know_is_refused_and_the_run_goes_on(self, tmp_path: Path):
        (tmp_path / "story.yaml").write_text(self.STORY)
        done = perennial("simulate", str(tmp_path / "story.yaml"), "--json")
        assert (done.returncode, done.stderr) == (0, "")
        result = json.loads(done.stdout)
        (refused,) = [entry for entry in result["timeline"] if entry["type"] == "refused"]
        assert (refused["step"], refused["code"], refused["customer"]) == ("payment_method", "invalid_input", "ada")
        assert [invoice["state"] for invoice in result["invoices"]] == ["paid"]

    def test_people_read_names_and_whole_lines_and_customers(self, tmp_path: Path):
        long = "a word of thanks to everybody who made it possible to sell to Ada " * 3
        story = self.STORY.replace("name: P,", f"name: {long.strip()},").replace("scenario: odd", f"scenario: {long}")
        (tmp_path / "story.yaml").write_text(story)
        done = perennial("simulate", str(tmp_path / "story.yaml"))
        assert done.returncode == 0
        assert "inv_" not in done.stdout
        (paid,) = [line for line in done.stdout.splitlines() if "payment.succeeded" in line]
        assert "ada" in paid
        assert "invoice q1#1, amount 10.00" in paid
        assert long.strip() in done.stdout

    @pytest.mark.parametrize(
        ("was", "now", "words"),
        [
            ("accept: q1", "accept: q9", "step accept (line 13): not_found: no quote q9"),
            ("pm_card_visa}", "pm_card_nobody_has}", "customers[0] (ada): invalid_input: the payment provider"),
        ],
    )
    def test_what_only_the_api_can_know_to_be_wrong_is_placed_too(self, was: str, now: str, words: str, tmp_path: Path):
        story = tmp_path / "story.yaml"
        story.write_text(self.STORY.replace(was, now))
        assert f"{story}: {words}" in said(perennial("simulate", str(story)), 2)
