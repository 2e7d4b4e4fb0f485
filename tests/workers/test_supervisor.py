import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.workers.processes import Script, all_gone, eventually
from workers.postgres import EmbeddedPostgres
from workers.process import DirectoryInUse, StartFailed, free_port
from workers.supervisor import ProcessSpec, Step, Supervisor

pytestmark = pytest.mark.slow

# Notes down its beginning and its end; argv: its name, the diary, and a file without which it will not start.
DIARIST = """
import os, signal, sys, time
name, diary, needed = sys.argv[1:]
def note(what):
    with open(diary, "a") as file:
        file.write(f"{name} {what}\\n")
def leave(*_):
    note("ends")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
if not os.path.exists(needed):
    sys.exit("what I need is not there")
note("begins")
while True:
    time.sleep(60)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
WEB_SERVER = """
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""

SUPERVISES = """
import asyncio, sys
from pathlib import Path
import structlog
from tests.workers.test_supervisor import diarist
from workers.supervisor import Supervisor

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
folder = Path(sys.argv[1])
stack = Supervisor([diarist("one", folder), diarist("two", folder)], data_dir=folder)
asyncio.run(stack.run(lambda: print("ready", flush=True)))
print("stopped", flush=True)
"""


def python(source: str, *arguments: str) -> Sequence[str]:
    return [sys.executable, "-I", "-S", "-c", source, *arguments]


def diarist(name: str, folder: Path, needed: Path | None = None) -> ProcessSpec:
    earlier = 0

    def count_earlier_lives() -> dict[str, str]:
        nonlocal earlier
        earlier = entries(folder).count(f"{name} begins")
        return {}

    async def has_begun() -> bool:
        return entries(folder).count(f"{name} begins") > earlier

    argv = python(DIARIST, name, str(folder / "diary"), str(needed or folder))
    return ProcessSpec(name=name, argv=argv, env=count_earlier_lives, ready=has_begun)


def entries(folder: Path) -> list[str]:
    return (folder / "diary").read_text().splitlines() if (folder / "diary").exists() else []


def stack_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "stack.json").read_text())["services"]


def pids_of(stack: Supervisor) -> list[int]:
    return [service.pid for service in stack.services if service.pid is not None]


async def test_services_start_in_order_and_stop_in_reverse(tmp_path: Path):
    names = ("one", "two", "three")
    async with Supervisor([diarist(name, tmp_path) for name in names], data_dir=tmp_path) as stack:
        pids = pids_of(stack)
        assert len(pids) == 3
        assert entries(tmp_path) == ["one begins", "two begins", "three begins"]
    assert entries(tmp_path)[3:] == ["three ends", "two ends", "one ends"]
    await all_gone(pids)


async def test_while_it_is_up_a_file_says_what_runs_where(tmp_path: Path):
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    web = ProcessSpec(name="web", argv=python(WEB_SERVER, str(port)), ready=url, port=port)
    async with Supervisor([web], data_dir=tmp_path) as stack:
        assert json.loads(stack.stack_file.read_text())["pid"] == os.getpid()
        assert stack_of(tmp_path) == {"web": {"pid": pids_of(stack)[0], "ports": {"http": port}, "restarts": 0}}
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).is_success
    assert not stack.stack_file.exists()


async def test_a_killed_service_is_started_again_and_the_others_go_on(tmp_path: Path):
    async with Supervisor([diarist("one", tmp_path), diarist("two", tmp_path)], data_dir=tmp_path) as stack:
        one, two = pids_of(stack)
        for restarts in (1, 2):
            os.kill(stack_of(tmp_path)["one"]["pid"], signal.SIGKILL)
            await eventually(lambda: stack.restarts["one"] == restarts, "the restart")  # noqa: B023
        assert stack_of(tmp_path)["one"]["restarts"] == 2
        assert stack_of(tmp_path)["one"]["pid"] != one
        assert stack_of(tmp_path)["two"] == {"pid": two, "ports": {}, "restarts": 0}
        assert entries(tmp_path).count("one begins") == 3


async def test_a_service_that_cannot_start_again_is_tried_until_it_can(tmp_path: Path):
    needed = tmp_path / "needed"
    needed.touch()
    async with Supervisor([diarist("one", tmp_path, needed)], data_dir=tmp_path) as stack:
        (pid,) = pids_of(stack)
        needed.unlink()
        os.kill(pid, signal.SIGKILL)
        log = tmp_path / "logs" / "one.log"
        await eventually(lambda: log.read_text().count("what I need") >= 2, "two vain tries")
        needed.touch()
        await eventually(lambda: entries(tmp_path).count("one begins") == 2, "the return")
        await eventually(lambda: stack.restarts["one"] >= 1, "the restart is counted")


async def test_what_runs_once_is_over_before_the_next_begins_and_is_not_repeated(tmp_path: Path):
    note = "import sys, time; time.sleep(0.2); open(sys.argv[1], 'a').write('migrated\\n')"
    once = ProcessSpec(name="migrate", argv=python(note, str(tmp_path / "diary")), once=True)
    async with Supervisor([once, diarist("one", tmp_path)], data_dir=tmp_path) as stack:
        assert entries(tmp_path) == ["migrated", "one begins"]
        os.kill(pids_of(stack)[0], signal.SIGKILL)
        await eventually(lambda: stack.restarts["one"] == 1, "the restart")
        assert entries(tmp_path).count("migrated") == 1
        assert list(stack_of(tmp_path)) == ["one"]


async def test_a_service_that_ends_before_it_is_ready_stops_the_start_and_says_what_it_said(tmp_path: Path):
    broken = diarist("two", tmp_path, tmp_path / "missing")
    stack = Supervisor([diarist("one", tmp_path), broken, diarist("three", tmp_path)], data_dir=tmp_path)
    with pytest.raises(StartFailed, match=r"two ended with 1 before it was ready[^$]*what I need is not there"):
        await stack.start()
    assert entries(tmp_path) == ["one begins", "one ends"]
    assert pids_of(stack) == []
    assert not stack.stack_file.exists()


async def test_a_step_that_fails_stops_the_start(tmp_path: Path):
    failing = ProcessSpec(name="migrate", argv=python("import sys; sys.exit('no such table')"), once=True)
    with pytest.raises(StartFailed, match=r"migrate ended with 1[^$]*no such table"):
        await Supervisor([diarist("one", tmp_path), failing], data_dir=tmp_path).start()
    assert entries(tmp_path) == ["one begins", "one ends"]


async def test_a_program_that_is_not_there_is_named(tmp_path: Path):
    missing = ProcessSpec(name="ghost", argv=[str(tmp_path / "ghost")], ready="http://127.0.0.1:1/")
    with pytest.raises((StartFailed, FileNotFoundError), match="ghost"):
        await Supervisor([missing], data_dir=tmp_path).start()


async def test_a_stranger_on_its_port_does_not_pass_for_a_service(tmp_path: Path):
    port = free_port()
    web = ProcessSpec(name="web", argv=python(WEB_SERVER, str(port)), ready=f"http://127.0.0.1:{port}/", port=port)
    async with Supervisor([web], data_dir=tmp_path / "one"):
        with pytest.raises(StartFailed, match=f"port {port} .*already in use"):
            await Supervisor([web], data_dir=tmp_path / "two").start()


async def test_a_service_that_never_gets_ready_is_given_up_in_time(tmp_path: Path):
    deaf = ProcessSpec(
        name="deaf",
        argv=python(STUBBORN),
        ready=f"http://127.0.0.1:{free_port()}/",
        ready_within_seconds=1,
        patience_seconds=0.2,
    )
    stack = Supervisor([deaf], data_dir=tmp_path)
    with pytest.raises(StartFailed, match="deaf was not ready within 1 s"):
        await stack.start()
    assert pids_of(stack) == []


async def test_a_service_that_will_not_go_is_killed(tmp_path: Path):
    log = tmp_path / "logs" / "stubborn.log"
    stubborn = ProcessSpec(name="stubborn", argv=python(STUBBORN), patience_seconds=0.2)
    async with Supervisor([stubborn], data_dir=tmp_path) as stack:
        pids = pids_of(stack)
        await eventually(lambda: "up" in log.read_text(), "it ignores SIGTERM")
    await all_gone(pids)


async def test_an_environment_may_name_what_an_earlier_service_chose(tmp_path: Path):
    chosen: dict[str, str] = {}

    async def choose() -> None:
        chosen["CHOICE"] = "blue"

    source = "import os; print(os.environ['CHOICE'], 'PATH' in os.environ)"
    reader = ProcessSpec(name="reader", argv=python(source), env=lambda: chosen, once=True)
    async with Supervisor([Step("choose", choose), reader], data_dir=tmp_path):
        assert (tmp_path / "logs" / "reader.log").read_text() == "blue True\n"


async def test_one_folder_has_one_supervisor(tmp_path: Path):
    async with Supervisor([diarist("one", tmp_path)], data_dir=tmp_path):
        with pytest.raises(DirectoryInUse):
            await Supervisor([diarist("one", tmp_path)], data_dir=tmp_path).start()
        assert entries(tmp_path) == ["one begins"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_all_in_reverse_order(tmp_path: Path, number: signal.Signals):
    with Script(SUPERVISES, str(tmp_path)) as script:
        assert await script.line() == "ready"
        pids = [service["pid"] for service in stack_of(tmp_path).values()]
        assert await script.ended_by(number) == 0
        assert await script.line() == "stopped"
        assert entries(tmp_path)[2:] == ["two ends", "one ends"]
        await all_gone(pids)


async def test_a_stop_asked_for_during_the_start_is_heard(tmp_path: Path):
    deaf = ProcessSpec(
        name="deaf", argv=python(STUBBORN), ready=f"http://127.0.0.1:{free_port()}/", patience_seconds=0.1
    )
    stack = Supervisor([diarist("one", tmp_path), deaf], data_dir=tmp_path)
    running = asyncio.create_task(stack.run(lambda: pytest.fail("it cannot be ready")))
    await eventually(lambda: entries(tmp_path) == ["one begins"] and len(pids_of(stack)) == 2, "the second starts")
    pids = pids_of(stack)
    stack.request_stop()
    await asyncio.wait_for(running, 10)
    assert entries(tmp_path) == ["one begins", "one ends"]
    await all_gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell children; the next start does")
async def test_a_killed_supervisor_takes_its_services_along_and_the_next_one_starts(tmp_path: Path):
    with Script(SUPERVISES, str(tmp_path)) as script:
        assert await script.line() == "ready"
        pids = [service["pid"] for service in stack_of(tmp_path).values()]
        await script.ended_by(signal.SIGKILL)
        await all_gone(pids)
    with Script(SUPERVISES, str(tmp_path)) as successor:
        assert await successor.line() == "ready"
        assert not set(pids) & {service["pid"] for service in stack_of(tmp_path).values()}
        assert await successor.ended_by(signal.SIGTERM) == 0


async def test_a_real_database_that_is_killed_comes_back_with_its_data(tmp_path: Path):
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    services = [postgres, Step("database", lambda: postgres.create_database("books")), diarist("one", tmp_path)]
    async with Supervisor(services, data_dir=tmp_path) as stack:
        url = postgres.url("books").replace("+asyncpg", "")
        connection = await asyncpg.connect(url)
        await connection.execute("create table lines as select 'kept' as text")
        connection.terminate()
        assert stack_of(tmp_path)["postgres"] == {
            "pid": postgres.pid,
            "ports": {"postgres": postgres.port},
            "restarts": 0,
        }
        os.kill(stack_of(tmp_path)["postgres"]["pid"], signal.SIGKILL)
        await eventually(lambda: stack.restarts["postgres"] == 1, "the restart")
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("select text from lines") == "kept"
        await connection.close()
