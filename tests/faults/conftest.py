from pathlib import Path

import pytest

from tests.faults.theatre import Theatre
from tests.postgres import Databases


@pytest.fixture(scope="module")
def theatre(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    """One for all tests of a module: what a story is undisturbed is told once."""
    folder: Path = tmp_path_factory.mktemp("stories")
    return Theatre(databases, folder)
