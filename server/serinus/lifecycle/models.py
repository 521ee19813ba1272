"""The models of this server: finds the version that a call means, loads and unloads on demand."""

import asyncio
import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Self

from serinus.config.models import ModelSpec
from serinus.core.errors import InvalidInput, NotFound, NotLoaded, ServerError
from serinus.core.predictor import Request, Response
from serinus.core.version import ModelVersion, Version, check_model_name
from serinus.lifecycle.servable import Loader, Servable
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.lifecycle")


class ModelState(enum.StrEnum):
    """UNAVAILABLE → LOADING → READY → UNLOADING → UNAVAILABLE; a failed load goes back to UNAVAILABLE."""

    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"


@dataclasses.dataclass(frozen=True, slots=True)
class VersionStatus:
    """What a version is doing.

    Attributes:
        identity: Which version.
        state: Now.
        reason: Why, when that needs saying: the error of a load that failed, "unloaded".
    """

    identity: ModelVersion
    state: ModelState
    reason: str = ""


class Models:
    """All models, and the one place where a name and a version become a servable.

    The table that calls read is replaced as a whole, never changed, so a call sees it before or after a swap.
    An async context manager; leaving it unloads everything.

    Attributes:
        load: Makes servables.
        refused: Told the reason when a call means no version that serves.
        forget: Told about versions that are gone.
    """

    def __init__(self, load: Loader, *, refused: Callable[[str], None], forget: Callable[[ModelVersion], None]) -> None:
        self._load = load
        self._refused = refused
        self._forget = forget
        self._serving: Mapping[str, Mapping[str, Servable]] = MappingProxyType({})
        self._statuses: dict[str, dict[int, VersionStatus]] = {}
        self._changing: dict[str, asyncio.Lock] = {}
        self._closing = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._closing.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for model in list(self._serving):
            self._swap(model, [])
        await self._closing.__aexit__(kind, error, trace)

    # On the path of every call.

    def find(self, model: str, version: str) -> Servable:
        """The servable that a caller means.

        Args:
            model: Its name.
            version: "" for the newest that serves, a semantic version, or a version's number.

        Raises:
            InvalidInput: no model or version can have such a name.
            NotFound: there is none.
            NotLoaded: there is one, and it does not serve now.
        """
        by_version = self._serving.get(model)
        if by_version is not None and (servable := by_version.get(version)) is not None:
            return servable
        raise self._why_not(model, version)

    async def predict(self, request: Request, /) -> Response:
        """Answer a call from the version that it means."""
        try:
            servable = self.find(request.model, request.version)
        except ServerError as error:
            self._refused(error.reason)
            raise
        return await servable.predict(request)

    def _why_not(self, model: str, version: str) -> ServerError:
        known = self._statuses.get(model)
        if impossible := _impossible_name(model, version):
            return impossible
        if not known:
            return NotFound(f"model {model[:64]!r}: expected one that this server has", field="model")
        if not version:
            return NotLoaded(f"model {model!r} is known but no version of it serves now", field="model")
        for status in known.values():
            if version in (status.identity.version_text, status.identity.number_text):
                return NotLoaded(f"{status.identity} is {status.state}", field="version")
        return NotFound(
            f"model {model!r} has no version {version[:64]!r}: "
            f"expected one of {sorted(str(status.identity.version) for status in known.values())}",
            field="version",
        )

    def labels(self, identity: ModelVersion) -> Mapping[str, tuple[str, ...]]:
        """Class names by output of a version, in class order; none when it is gone."""
        servable = self._serving.get(identity.model, {}).get(identity.number_text)
        return {} if servable is None else servable.labels

    # What there is.

    def serving(self, model: str | None = None) -> Sequence[Servable]:
        """The versions that serve now, by name, then newest first."""
        names = sorted(self._serving) if model is None else [model]
        found: list[Servable] = []
        for name in names:
            unique = {id(servable): servable for servable in self._serving.get(name, {}).values()}
            found.extend(sorted(unique.values(), key=lambda servable: -servable.identity.number))
        return found

    def index(self) -> Sequence[VersionStatus]:
        """Every version that the server knows of, by name, then newest first."""
        return [
            status
            for name in sorted(self._statuses)
            for _, status in sorted(self._statuses[name].items(), key=lambda item: -item[0])
        ]

    # How it changes.

    async def load(self, spec: ModelSpec) -> None:
        """Serve exactly the versions of `spec`; what served before serves until its successor is ready.

        A version that fails to load leaves the others alone, and keeps serving if it served before.

        Raises:
            ModelRejected: of the newest version that failed.
        """
        async with self._lock(spec.name):
            old = {servable.identity.number: servable for servable in self.serving(spec.name)}
            failure: ServerError | None = None
            loaded: list[Servable] = []
            for number in sorted(spec.versions, reverse=True):
                try:
                    loaded.append(await self._load_version(spec, number))
                except ServerError as error:
                    failure = failure or error
                    if number in old:
                        loaded.append(old[number])
            if loaded:
                self._swap(spec.name, loaded)
            for servable in self.serving(spec.name):
                self._note(servable.identity, ModelState.READY)
            if failure is not None:
                raise failure

    async def _load_version(self, spec: ModelSpec, number: int) -> Servable:
        identity = spec.model_version(number)
        self._note(identity, ModelState.LOADING)
        try:
            return await self._load(spec, number)
        except ServerError as error:
            log.warning("version rejected", model=spec.name, version=str(identity.version), reason=error.message)
            self._note(identity, ModelState.UNAVAILABLE, error.message)
            raise
        except BaseException:
            self._note(identity, ModelState.UNAVAILABLE, "the load was interrupted")
            raise

    async def unload(self, model: str) -> None:
        """Stop serving all versions of a model, and wait until the calls inside are answered.

        A caller that stops waiting stops nothing.

        Raises:
            NotFound: the server has no such model.
        """
        if model not in self._statuses:
            raise self._why_not(model, "")
        async with self._lock(model):
            if closing := self._swap(model, []):
                await asyncio.wait(closing)

    def reject(self, model: str, reason: str) -> None:
        """Remember a model that could not even be read, so that the index says why."""
        self._statuses[model] = {0: VersionStatus(ModelVersion(model, Version(0), 0), ModelState.UNAVAILABLE, reason)}

    def _swap(self, model: str, loaded: Sequence[Servable]) -> list[asyncio.Task[None]]:
        """Let `loaded` serve in place of what serves; return the tasks that close what no longer does."""
        old = [servable for servable in self.serving(model) if servable not in loaded]
        table = dict(self._serving)
        table.pop(model, None)
        if loaded:
            newest = max(loaded, key=lambda servable: servable.identity.number)
            by_version: dict[str, Servable] = {"": newest}
            for servable in loaded:
                by_version[servable.identity.version_text] = servable
                by_version[servable.identity.number_text] = servable
                log.info("version serves", model=model, version=servable.identity.version_text)
            table[model] = MappingProxyType(by_version)
        self._serving = MappingProxyType(table)
        return [self._closing.create_task(self._close(servable)) for servable in old]

    async def _close(self, servable: Servable) -> None:
        """Close a servable that no call can find any more; its calls' deadlines bound the wait."""
        identity = servable.identity
        if not self._serves(identity):
            self._note(identity, ModelState.UNLOADING)
        await servable.close()
        if not self._serves(identity):
            self._note(identity, ModelState.UNAVAILABLE, "unloaded")
            self._forget(identity)
        log.info("version unloaded", model=identity.model, version=identity.version_text)

    def _serves(self, identity: ModelVersion) -> bool:
        return identity.number_text in self._serving.get(identity.model, {})

    def _lock(self, model: str) -> asyncio.Lock:
        return self._changing.setdefault(model, asyncio.Lock())

    def _note(self, identity: ModelVersion, state: ModelState, reason: str = "") -> None:
        self._statuses.setdefault(identity.model, {})[identity.number] = VersionStatus(identity, state, reason)


def _impossible_name(model: str, version: str) -> InvalidInput | None:
    """Why nothing can have these names, so that a caller with a mistaken or hostile one hears that it is no name."""
    try:
        check_model_name(model)
    except InvalidInput as error:
        return error
    try:
        check_model_name(version or "1")  # aliases stand beside versions, and are named as models are
    except InvalidInput:
        return InvalidInput(
            f"invalid version {version[:64]!r}: expected MAJOR.MINOR.PATCH, a number or an alias",
            reason="INVALID_VERSION",
            field="version",
        )
    return None
