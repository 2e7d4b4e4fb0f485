import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.workers.processes import alive, all_gone, eventually
from workers import process
from workers.process import Child, DirectoryInUse, DirectoryLock, StartFailed, free_port, program, start_listening

pytestmark = pytest.mark.slow

PARENT_OF_ANOTHER = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""
LISTENS = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""


def python(source: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", source, *arguments]


def test_free_ports_differ_can_be_listened_on_and_lie_below_those_of_outgoing_connections():
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    for port in ports:
        assert port < 32_768
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_locked_folder_is_refused_until_it_is_released(tmp_path: Path):
    first, second = DirectoryLock(tmp_path / "data"), DirectoryLock(tmp_path / "data")
    first.acquire()
    first.acquire()
    with pytest.raises(DirectoryInUse, match="data is in use by another process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_program_that_is_not_installed_is_named():
    assert Path(program("temporal")).is_file()
    with pytest.raises(StartFailed, match="no-such-program is not installed"):
        program("no-such-program")


async def test_a_child_is_stopped_together_with_what_it_started(tmp_path: Path):
    log = tmp_path / "child.log"
    child = await Child.spawn("child", python(PARENT_OF_ANOTHER), log=log)
    await eventually(lambda: log.read_text().strip() != "", "the other one's pid")
    grandchild = int(log.read_text())
    await eventually(lambda: alive(grandchild), "the other one runs")
    await child.stop(signal.SIGTERM)
    assert child.returncode == -signal.SIGTERM
    await all_gone([child.pid, grandchild])


async def test_without_a_kernel_that_tells_children_the_next_spawn_ends_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process, "_setpriv_path", lambda: None)
    first = await Child.spawn("child", python("import time; time.sleep(600)"), log=tmp_path / "child.log")
    # For an instant between being spawned and running its program a process has no command line.
    await eventually(lambda: alive(first.pid), "the first one runs")
    second = await Child.spawn("child", python("import time; time.sleep(600)"), log=tmp_path / "child.log")
    assert await asyncio.wait_for(first.wait(), 10) == -signal.SIGKILL
    await eventually(lambda: alive(second.pid), "the second one runs")
    await second.stop()


async def test_a_pid_that_belongs_to_another_program_by_now_is_left_alone(tmp_path: Path):
    (tmp_path / "child.pid").write_text(f"{os.getpid()}\nsomething else")
    child = await Child.spawn("child", python("pass"), log=tmp_path / "child.log")
    assert await child.wait() == 0


async def test_giving_up_root_needs_setpriv_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_setpriv_path", lambda: None)
    with pytest.raises(StartFailed, match="setpriv"):
        await Child.spawn("child", python("pass"), log=tmp_path / "child.log", privileges=["--reuid", "65534"])


async def test_a_free_port_that_is_taken_in_between_is_exchanged_for_another(tmp_path: Path):
    thieves: list[socket.socket] = []

    async def spawn(port: int) -> Child:
        if not thieves:
            thieves.append(socket.create_server(("127.0.0.1", port)))
        return await Child.spawn("listener", python(LISTENS, str(port)), log=tmp_path / "listener.log")

    async def answers(port: int) -> bool:
        stolen = [thief.getsockname()[1] for thief in thieves]
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return port not in stolen

    child, port = await start_listening(spawn, answers, port=None, within=10)
    assert port != thieves[0].getsockname()[1]
    await child.stop()
    thieves[0].close()
