"""Models that are not registered: of the command line, of a model repository, and those whose files a client sends."""

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from open_inference.model_config_pb2 import ModelConfig
from serinus.config.models import ModelOptions, ModelSpec
from serinus.config.triton_repository import read_model, read_repository
from serinus.config.triton_text import parse_config_json
from serinus.core.errors import InvalidInput, ModelRejected, NotFound, ServerError
from serinus.core.version import check_model_name
from serinus.lifecycle.models import Models
from serinus.lifecycle.plan import ModelPlan
from serinus.lifecycle.policy import QUARANTINED
from serinus.registry.files.disk import disk_errors
from serinus.registry.files.staging import Scratch
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

log = get_logger("serinus.sources")

Examine = Callable[[Path, str, ModelOptions], Awaitable[object]]
"""Loads the ONNX file of that name in a folder that holds nothing else; raises ModelRejected if it cannot be served."""

# The only files that a client may name; anything else would let it choose a place on our disk.
_MODEL_FILE = re.compile(r"([1-9]\d{0,8})/model\.onnx", re.ASCII)


class ModelSources:
    """Finds the models that the operator named, and those that a client wants loaded.

    Attributes:
        models: Serves what is found.
        named: Models of the command line and the configuration file, by name.
        repository: A folder in Triton's layout, or None.
        scratch: Files that clients send along are kept there while they are loaded.
        examine: Loads such files where they can do no harm.
        taken: Names that belong to these models; added to.
    """

    def __init__(
        self,
        models: Models,
        *,
        named: Mapping[str, ModelSpec],
        repository: Path | None,
        scratch: Scratch,
        examine: Examine,
        taken: set[str],
    ) -> None:
        self._models = models
        self._named = named
        self._repository = repository
        self._scratch = scratch
        self._examine = examine
        self._taken = taken
        self._taken.update(named)

    def __contains__(self, model: str) -> bool:
        return model in self._taken

    async def load_named(self) -> None:
        """Load what the operator named.

        Raises:
            ModelRejected: one of them cannot be served; the message names it. One that is quarantined is left out.
        """
        for name, spec in self._named.items():
            try:
                await self._models.reload(ModelPlan.of(spec))
            except ServerError as error:
                if error.reason == QUARANTINED:
                    continue  # the others are not to suffer from it; the log and the index have it
                raise ModelRejected(f"model {name!r}: {error.message}", reason=error.reason) from error

    async def load_repository(self) -> None:
        """Load what the model repository holds, as far as it works; what is wrong is in the log and in the index.

        Raises:
            ConfigError: there is no such folder.
        """
        if self._repository is None:
            return
        found = await to_thread(read_repository, self._repository)
        for warning in found.warnings:
            log.warning("model configuration", warning=warning)
        for name, reason in found.rejected.items():
            if name not in self._named:  # it would not have been served either
                log.warning("model rejected", model=name, reason=reason)
                self._taken.add(name)
                self._models.reject(name, reason)
        for spec in found.models:
            if spec.name in self._named:
                log.warning("model ignored", model=spec.name, reason="one of that name was named at the start")
                continue
            self._taken.add(spec.name)
            try:
                await self._models.reload(ModelPlan.of(spec))
            except ServerError:
                continue  # the log has it
            except Exception:
                log.exception("unexpected error", model=spec.name)

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
            StoreFull, StoreUnavailable: there is no place for the files.
        """
        check_model_name(model)
        if files:
            _check_sent(config_json, files)  # before anything touches the disk
            async with self._scratch() as root:
                await to_thread(_write, root / model, files)
                await self.load_from(root, model, config_json)
            return
        override = None if config_json is None else parse_config_json(config_json)
        if model in self._named and override is None:
            await self._models.reload(ModelPlan.of(self._named[model]))
        elif self._repository is not None:
            plan = await _found(self._repository, model, override)
            self._taken.add(model)
            await self._models.reload(plan)
        elif model in self._named:
            raise InvalidInput(
                f"model {model!r} was named at the start: expected no 'config' for it", reason="WRONG_PARAMETER"
            )
        else:
            raise NotFound(
                f"model {model!r}: expected one that is registered, or that the server was started with; "
                "'serinus models list' shows them",
                field="model",
            )

    async def stage(self, folder: Path, model: str, config_json: str | None, files: Mapping[str, bytes]) -> None:
        """Write what a client sent of a model into a new folder, where `load_from` finds it.

        Raises:
            InvalidInput: a name or a configuration that cannot be meant; nothing was written.
            StoreFull, StoreUnavailable: there is no place for the files.
        """
        check_model_name(model)
        _check_sent(config_json, files)
        await to_thread(_write, folder / model, files)

    async def load_from(self, folder: Path, model: str, config_json: str | None) -> None:
        """Look at what was staged in a folder, and serve it; the folder is not needed afterwards.

        Raises:
            InvalidInput, ModelRejected: as `load`.
        """
        plan = await self._staged(folder, model, config_json)
        for spec in plan.versions:
            assert isinstance(spec.source, Path), "a repository holds files: this is a bug"
            await self._examine(spec.source.parent, spec.source.name, spec.options)
        await self._serve_staged(plan)

    async def load_known_from(self, folder: Path, model: str, config_json: str | None) -> None:
        """The same of files that `load_from` has served in another process."""
        await self._serve_staged(await self._staged(folder, model, config_json))

    async def _staged(self, folder: Path, model: str, config_json: str | None) -> ModelPlan:
        assert config_json is not None, "it was looked at before anything was written: this is a bug"
        return await _found(folder, model, parse_config_json(config_json))

    async def _serve_staged(self, plan: ModelPlan) -> None:
        self._taken.add(plan.name)
        await self._models.reload(dataclasses.replace(plan, is_lasting=False))

    async def unload(self, model: str) -> None:
        """Stop serving a model; returns when the calls inside are answered.

        Raises:
            NotFound: there is no such model.
        """
        await self._models.unload(model)


def _check_sent(config_json: str | None, files: Iterable[str]) -> None:
    if config_json is None:
        raise InvalidInput("expected 'config' beside 'file:' parameters", reason="MISSING_CONFIG")
    parse_config_json(config_json)
    for path in files:
        if _MODEL_FILE.fullmatch(path) is None:
            raise InvalidInput(
                f"file {path[:64]!r}: expected '<version number>/model.onnx'", reason="WRONG_FILE", field="file"
            )


async def _found(root: Path, model: str, override: ModelConfig | None) -> ModelPlan:
    found = await to_thread(read_model, root, model, override)
    for warning in found.warnings:
        log.warning("model configuration", model=model, warning=warning)
    return ModelPlan.of(found.spec)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    with disk_errors():
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True)
            target.write_bytes(content)
