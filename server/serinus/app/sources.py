"""Where models come from when a client asks for one by name: the command line, or a model repository."""

import asyncio
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from open_inference.model_config_pb2 import ModelConfig
from serinus.config.models import ModelSpec
from serinus.config.triton_repository import read_model
from serinus.config.triton_text import parse_config_json
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.version import check_model_name
from serinus.lifecycle.models import Models
from serinus.lifecycle.plan import ModelPlan
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.sources")

# The only files that a client may name; anything else would let it choose a place on our disk.
_MODEL_FILE = re.compile(r"([1-9]\d{0,8})/model\.onnx", re.ASCII)


class ModelSources:
    """Finds the model that a client wants loaded.

    Attributes:
        models: Serves what is found.
        named: Models of the command line and the configuration file, by name.
        repository: A folder in Triton's layout, or None.
        uploads: Files that clients send along are kept below it while the server runs.
    """

    def __init__(
        self, models: Models, *, named: Mapping[str, ModelSpec], repository: Path | None, uploads: Path
    ) -> None:
        self._models = models
        self._named = named
        self._repository = repository
        self._uploads = uploads

    async def load(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        """Read a model again and serve it.

        Args:
            model: Its name.
            config_json: Counts in place of its configuration file, or None.
            files: Content by `<version number>/model.onnx`; counts in place of all its files. Needs `config_json`.

        Raises:
            InvalidInput: a name or a configuration that cannot be meant.
            NotFound: no source has such a model.
            ModelRejected: it cannot be served; what served before goes on.
        """
        check_model_name(model)
        override = None if config_json is None else parse_config_json(config_json)
        if files:
            if override is None:
                raise InvalidInput("expected 'config' beside 'file:' parameters", reason="MISSING_CONFIG")
            await self._load_staged(model, override, files)
        elif model in self._named and override is None:
            await self._models.reload(ModelPlan.of(self._named[model]))
        elif self._repository is not None:
            await self._models.reload(await _found(self._repository, model, override))
        elif model in self._named:
            raise InvalidInput(
                f"model {model!r} was named at the start: expected no 'config' for it", reason="WRONG_PARAMETER"
            )
        else:
            raise NotFound(f"model {model!r}: expected a model of the command line, there is no repository")

    async def _load_staged(self, model: str, override: ModelConfig, files: Mapping[str, bytes]) -> None:
        """Serve `files` from a repository of one model that is gone when they are loaded."""
        for path in files:
            if _MODEL_FILE.fullmatch(path) is None:
                raise InvalidInput(
                    f"file {path[:64]!r}: expected '<version number>/model.onnx'", reason="WRONG_FILE", field="file"
                )
        await asyncio.to_thread(self._uploads.mkdir, parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._uploads, ignore_cleanup_errors=True) as root:
            await asyncio.to_thread(_write, Path(root) / model, files)
            plan = await _found(Path(root), model, override)
            await self._models.reload(dataclasses.replace(plan, is_lasting=False))


async def _found(root: Path, model: str, override: ModelConfig | None) -> ModelPlan:
    found = await asyncio.to_thread(read_model, root, model, override)
    for warning in found.warnings:
        log.warning("model configuration", model=model, warning=warning)
    return ModelPlan.of(found.spec)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True)
        target.write_bytes(content)
