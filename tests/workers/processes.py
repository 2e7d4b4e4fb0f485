"""Looking at processes from outside: polls with a deadline, never a sleep for luck."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from workers.process import command_line

ROOT = Path(__file__).parents[2]
ROOT_USER = os.geteuid() == 0
AS_NOBODY = [
    "setpriv",
    *("--reuid", "65534", "--regid", "65534", "--clear-groups"),
    # This checkout may lie in a folder that nobody may enter.
    *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--securebits", "+no_setuid_fixup"),
    "--",
]


def alive(pid: int) -> bool:
    """It runs. One that is dead and not yet reaped by its parent has no command line any more."""
    return command_line(pid) != ""


async def eventually(holds: Callable[[], bool], what: str, *, within: float = 15) -> None:
    deadline = monotonic() + within
    while not holds():
        assert monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.02)


async def all_gone(pids: Sequence[int]) -> None:
    await eventually(lambda: not any(alive(pid) for pid in pids), f"the end of {pids}")


class Script:
    """Python source in a process of its own, which prints a line when it is where the test wants it."""

    def __init__(self, source: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", source, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    async def line(self) -> str:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), 60)
        assert line, f"the script ended with {self.process.wait()}"
        return line.strip()

    async def ended_by(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), 60)

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
