"""One server with two workers for all tests that leave it serving."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.workers.supervised import Supervised, supervised
from tests.support import models

PASSWORD = "hidden-word"


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model files."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "tab.onnx").write_bytes(models.tabular())
    (folder / "loop.onnx").write_bytes(models.counted_loop())
    (folder / "bad.onnx").write_bytes(b"junk")
    return folder


@pytest.fixture(scope="session")
def pair(models_folder: Path) -> Iterator[Supervised]:
    """Two workers; the name of their database is a secret."""
    config = models_folder / "serinus.toml"
    config.write_text(f'[registry]\ndatabase = "sqlite:///{models_folder}/{PASSWORD}.db"\n')
    with supervised(models_folder, 2, "--model=tab=tab.onnx", f"--config={config}") as server:
        yield server
