from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workflows.worlds import Line, line_of


@pytest.fixture
async def line(database_url: str, tmp_path: Path) -> AsyncIterator[Line]:
    """A world of this test's own."""
    async with line_of(database_url, tmp_path) as line:
        yield line
