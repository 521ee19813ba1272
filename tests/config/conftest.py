from collections.abc import Callable
from pathlib import Path

import pytest

MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path) -> MakeModel:
    """Write a model folder in Triton's layout below `tmp_path / "repository"`; its files hold no model."""

    def make(name: str, config: str | None = None, *, versions: tuple[object, ...] = (1,)) -> Path:
        folder = tmp_path / "repository" / name
        folder.mkdir(parents=True)
        for version in versions:
            (folder / str(version)).mkdir()
            (folder / str(version) / "model.onnx").write_bytes(b"onnx")
        if config is not None:
            (folder / "config.pbtxt").write_text(config, encoding="utf-8")
        return folder

    return make
