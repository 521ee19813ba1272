"""Loads and unloads on somebody's word, wherever the model comes from."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

from serinus.app.following import Following
from serinus.app.workers.in_step import Wait, nobody_else
from serinus.core.errors import InvalidInput, NotFound, NotLoaded, ServerError, StoreUnavailable
from serinus.core.selector import LATEST
from serinus.core.version import ModelVersion, check_model_name
from serinus.lifecycle.models import Models
from serinus.registry.records import ModelRecord, Placement, VersionRecord
from serinus.registry.wanted import FollowMode, wanted
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.placing")

OIP_ACTOR = "inference.GRPCInferenceService"
"""Who the audit says it was when a client of the Open Inference Protocol loads or unloads."""


class Sources(Protocol):
    """Models that do not come from the registry."""

    def __contains__(self, model: str) -> bool:
        """Whether the command line, the repository or a client's files have a model of that name."""
        ...

    async def load(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        """Read a model again and serve it; NotFound if there is none."""
        ...

    async def unload(self, model: str) -> None:
        """Stop serving a model, and wait until the calls inside are answered; NotFound if there is none."""
        ...


Lift = Callable[[str, str], Awaitable[None]]
"""Has a version of a model tried again that was kept out because workers died of it, or all of them for ""."""


async def nothing_kept_out(_model: str, _version: str) -> None:
    """There is nobody who keeps anything out."""


class Registry(Protocol):
    """Where it is written down what is to be served."""

    async def model(self, name: str) -> ModelRecord:
        """The model of that name; NotFound if there is none."""
        ...

    async def place(self, model: str, selector: str | None, placement: Placement, *, actor: str) -> ModelRecord:
        """Decide about serving the version that `selector` means; None stands for all versions."""
        ...

    async def note(
        self, action: str, model: str, *, before: Mapping[str, object], after: Mapping[str, object], actor: str
    ) -> None:
        """Write down what was done to a model that is not registered."""
        ...


class Placing:
    """Loads and unloads models; what it decides about registered ones holds for all servers of the registry."""

    def __init__(
        self,
        *,
        models: Models,
        sources: Sources,
        registry: Registry,
        following: Following,
        mode: FollowMode,
        lift: Lift = nothing_kept_out,
        others_follow: Wait = nobody_else,
    ) -> None:
        self._models = models
        self._sources = sources
        self._registry = registry
        self._following = following
        self._mode = mode
        self._lift = lift
        self._others_follow = others_follow

    # For the Open Inference Protocol.

    async def load_as_told(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        """Load all that is to be served of a model, or what the caller sends of it.

        Raises:
            InvalidInput: a registered model is served as it was registered.
        """
        if config_json is None and not files:
            await self.load(model, "", OIP_ACTOR)
        elif model in self._following and model not in self._sources:
            raise InvalidInput(
                f"model {model!r} is registered: expected no 'config' and no files for it", reason="WRONG_PARAMETER"
            )
        else:
            await self._lift(model, "")
            async with self._noted("model.load", model, OIP_ACTOR):
                await self._sources.load(model, config_json, files)

    async def unload_all(self, model: str) -> None:
        """Stop serving a model."""
        await self.unload(model, "", OIP_ACTOR)

    # For AdminService.

    async def load(self, model: str, selector: str, actor: str) -> None:
        """Serve a version, or for "" what aliases name, or else the highest; returns when all workers do.

        Raises:
            NotFound: there is no such model or version.
            ModelRejected: it cannot be served; what served before goes on.
            StoreUnavailable: the registry is away.
        """
        if not await self._is_registered(model):
            _refuse_selector(model, selector)
            await self._lift(model, "")
            async with self._noted("model.load", model, actor):
                await self._sources.load(model, None, {})
            return
        if selector:
            record = await self._registry.place(model, selector, Placement.LOADED, actor=actor)
            target = record.select(selector)
        else:
            record, target = await self._place_what_is_named(model, actor), None
        await self._lift(model, "" if target is None else target.identity.version_text)
        await self._serve(record, None if target is None else target.identity)

    async def unload(self, model: str, selector: str, actor: str) -> None:
        """Stop serving a version, or all of a model for ""; returns when all workers have answered the calls inside."""
        if not await self._is_registered(model):
            _refuse_selector(model, selector)
            async with self._noted("model.unload", model, actor):
                await self._sources.unload(model)
            return
        began = time.monotonic()
        record = await self._registry.place(model, selector or None, Placement.UNLOADED, actor=actor)
        self._following.apply_model(record)
        await self._models.closed(model)
        await self._others_follow(record, began)

    @contextlib.asynccontextmanager
    async def _noted(self, action: str, model: str, actor: str) -> AsyncIterator[None]:
        """Write down what the block does to a model that is not registered; it is done even if nobody can write."""
        before = self._serving_versions(model)
        yield
        after = self._serving_versions(model)
        try:
            await self._registry.note(action, model, before={"serving": before}, after={"serving": after}, actor=actor)
        except ServerError as error:
            log.warning("not in the audit", action=action, model=model, actor=actor, trouble=error.message)

    def _serving_versions(self, model: str) -> list[str]:
        return [servable.identity.version_text for servable in self._models.serving(model)]

    async def _is_registered(self, model: str) -> bool:
        check_model_name(model)
        if model in self._sources:
            return False
        if model in self._following:
            return True
        try:
            await self._registry.model(model)
        except (NotFound, StoreUnavailable):
            return False  # the model repository may have it all the same
        return True

    async def _place_what_is_named(self, model: str, actor: str) -> ModelRecord:
        record = await self._registry.model(model)
        for version, placement in _without_selector(record, self._mode).items():
            record = await self._registry.place(model, version.version_text, placement, actor=actor)
        return record

    async def _serve(self, record: ModelRecord, target: ModelVersion | None) -> None:
        began = time.monotonic()
        self._following.apply_model(record)
        self._models.retry(record.name)
        try:
            await self._models.settled(record.name)
        except ServerError:
            if target is None or not self._serves(target):
                raise
        if target is not None and not self._serves(target):
            raise NotLoaded(f"{target} is not loaded: somebody decided otherwise meanwhile", field="version")
        await self._others_follow(record, began)

    def _serves(self, version: ModelVersion) -> bool:
        return any(servable.identity == version for servable in self._models.serving(version.model))


def _without_selector(record: ModelRecord, mode: FollowMode) -> Mapping[ModelVersion, Placement]:
    """What to write down so that what aliases name is served, or else the highest version."""
    named = {version.number for version in record.aliases.values()}
    ordinary = Placement.FOLLOW if mode is FollowMode.FOLLOW else Placement.LOADED
    chosen: list[VersionRecord] = [version for version in record.versions if version.identity.number in named]
    if not chosen and not wanted(record, mode):
        highest = record.select(LATEST)
        return {} if highest is None else {highest.identity: Placement.LOADED}
    return {version.identity: ordinary for version in chosen if version.placement is not Placement.LOADED}


def _refuse_selector(model: str, selector: str) -> None:
    if selector:
        raise InvalidInput(
            f"model {model!r} is not registered, and its versions come and go together: expected no version",
            reason="WRONG_PARAMETER",
            field="selector",
        )
