"""Models of the tests, loaded."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serinus.core.version import ModelVersion, Version
from serinus.runtime.model import OnnxModel, load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool

IDENTITY = ModelVersion("example", Version(1, 2, 3), 7)

Load = Callable[..., OnnxModel]


@pytest.fixture(scope="session")
def compute_pool() -> Iterator[ComputePool]:
    """Two threads for all tests."""
    with ComputePool(2) as pool:
        yield pool


@pytest.fixture
def load(tmp_path: Path, compute_pool: ComputePool) -> Iterator[Load]:
    """Loads a model from its bytes or its file; options by keyword."""
    loaded: list[OnnxModel] = []

    def load(source: bytes | Path, *, pool: ComputePool = compute_pool, learned=None, **options) -> OnnxModel:
        if isinstance(source, bytes):
            path = tmp_path / "model.onnx"
            path.write_bytes(source)
        else:
            path = source
        loaded.append(load_model(IDENTITY, path, SessionOptions(**options), pool, learned=learned or {}))
        return loaded[-1]

    yield load
    for model in loaded:
        model.close()
