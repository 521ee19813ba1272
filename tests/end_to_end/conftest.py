"""One server for all tests that only call it, and one nursery for those that need servers of their own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.clients.process import ChildServer, child_server
from tests.end_to_end.clients.repository import real_models, write_repository
from tests.end_to_end.registry.nursery import Nursery, nursery
from tests.support.invariants import SECRET


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildServer]:
    """A server in a process of its own, with every model of `clients/repository.py` and the installed real ones."""
    folder = tmp_path_factory.mktemp("server")
    repository = write_repository(folder / "models")
    with child_server(folder, f'model_repository = "{repository}"' + real_models()) as server:
        yield server


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
