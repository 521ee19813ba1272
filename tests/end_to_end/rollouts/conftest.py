"""One nursery for all servers of these tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.end_to_end.registry.nursery import Nursery, nursery
from tests.support.invariants import SECRET


@pytest.fixture(scope="session")
async def forks() -> AsyncIterator[Nursery]:
    """Starts servers."""
    async with nursery() as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose name nobody may read."""
    folder = tmp_path / SECRET
    folder.mkdir()
    return folder
