"""One server for all tests that only call it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.clients.process import ChildServer, child_server
from tests.end_to_end.clients.repository import real_models, write_repository


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildServer]:
    """A server in a process of its own, with every model of `clients/repository.py` and the installed real ones."""
    folder = tmp_path_factory.mktemp("server")
    repository = write_repository(folder / "models")
    with child_server(folder, f'model_repository = "{repository}"' + real_models()) as server:
        yield server
