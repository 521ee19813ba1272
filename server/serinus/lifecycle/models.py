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
    """UNAVAILABLE → LOADING → READY → UNLOADING → UNAVAILABLE; a failed load goes back to UNAVAILABLE.

    What serves is READY, also while it is loaded again or an older load of it is still closing.
    """

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
        self._known: dict[str, dict[int, ModelVersion]] = {}
        self._reasons: dict[ModelVersion, str] = {}
        self._rejected: dict[str, str] = {}
        self._loading: set[ModelVersion] = set()
        self._closing: dict[asyncio.Task[None], ModelVersion] = {}
        self._made: set[ModelVersion] = set()
        self._changing: dict[str, asyncio.Lock] = {}
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for model in list(self._changing):
                async with self._lock(model):
                    self._swap(model, [])
        finally:
            # Whatever ended the block, what was loaded is closed; the group would cancel that if it heard of an error.
            await self._tasks.__aexit__(None, None, None)

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
        if impossible := _impossible_name(model, version):
            return impossible
        known = self._known.get(model, {}).values()
        if not known and model not in self._rejected:
            return NotFound(f"model {model[:64]!r}: expected one that this server has", field="model")
        if not version or not known:
            return NotLoaded(f"model {model!r} is known but no version of it serves now", field="model")
        for identity in known:
            if version in (identity.version_text, identity.number_text):
                return NotLoaded(f"{identity} is {self._state(identity)}", field="version")
        return NotFound(
            f"model {model!r} has no version {version[:64]!r}: "
            f"expected one of {sorted(identity.version_text for identity in known)}",
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
        found: list[VersionStatus] = []
        for model in sorted(self._known.keys() | self._rejected.keys()):
            for _, identity in sorted(self._known.get(model, {}).items(), reverse=True):
                found.append(VersionStatus(identity, self._state(identity), self._reason(identity)))
            if (reason := self._rejected.get(model)) is not None:
                found.append(VersionStatus(ModelVersion(model, Version(0), 0), ModelState.UNAVAILABLE, reason))
        return found

    def _state(self, identity: ModelVersion) -> ModelState:
        if self._serves(identity):
            return ModelState.READY
        if identity in self._loading:
            return ModelState.LOADING
        return ModelState.UNLOADING if identity in self._closing.values() else ModelState.UNAVAILABLE

    def _reason(self, identity: ModelVersion) -> str:
        return self._reasons.get(identity, "") if self._state(identity) is ModelState.UNAVAILABLE else ""

    # How it changes.

    async def load(self, spec: ModelSpec) -> None:
        """Serve exactly the versions of `spec`; what served before serves until its successor is ready.

        A version that fails to load leaves the others alone, and keeps serving if it served before. A caller that stops
        waiting leaves everything as it was.

        Raises:
            ModelRejected: of the newest version that failed.
        """
        async with self._lock(spec.name):
            old = {servable.identity.number: servable for servable in self.serving(spec.name)}
            coming = {number: spec.model_version(number) for number in sorted(spec.versions, reverse=True)}
            self._expect(spec.name, coming)
            failure: ServerError | None = None
            fresh: list[Servable] = []
            kept: list[Servable] = []
            try:
                for number in coming:
                    try:
                        fresh.append(await self._load_version(spec, number))
                    except ServerError as error:
                        failure = failure or error
                        if number in old:
                            kept.append(old[number])
                if fresh or kept:
                    self._swap(spec.name, [*fresh, *kept])
            except BaseException:
                for servable in fresh:
                    self._retire(servable)
                raise
            finally:
                for identity in coming.values():
                    self._loading.discard(identity)
                    self._forget_if_gone(identity)
            if failure is not None:
                raise failure

    def _expect(self, model: str, coming: Mapping[int, ModelVersion]) -> None:
        self._rejected.pop(model, None)
        self._known.setdefault(model, {}).update(coming)
        self._loading.update(coming.values())
        self._reasons.update(dict.fromkeys(coming.values(), "the load was interrupted"))  # unless it ends otherwise

    async def _load_version(self, spec: ModelSpec, number: int) -> Servable:
        identity = spec.model_version(number)
        try:
            servable = await self._load(spec, number)
        except ServerError as error:
            log.warning("version rejected", model=spec.name, version=identity.version_text, reason=error.message)
            self._loading.discard(identity)
            self._reasons[identity] = error.message
            raise
        self._made.add(identity)
        return servable

    async def unload(self, model: str) -> None:
        """Stop serving all versions of a model, and wait until the calls inside are answered.

        A caller that stops waiting stops nothing.

        Raises:
            NotFound: the server has no such model.
        """
        if model not in self._known and model not in self._rejected:
            raise self._why_not(model, "")
        async with self._lock(model):
            self._swap(model, [])
            # Those of earlier loads as well: their calls are inside the model too.
            if closing := [task for task, identity in self._closing.items() if identity.model == model]:
                await asyncio.wait(closing)

    def reject(self, model: str, reason: str) -> None:
        """Remember a model that could not even be read, so that the index says why, until it is loaded."""
        self._rejected[model] = reason

    def _swap(self, model: str, loaded: Sequence[Servable]) -> None:
        """Let `loaded` serve in place of what serves, and close what no longer does."""
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
        for servable in old:
            self._reasons[servable.identity] = "unloaded"
            self._retire(servable)

    def _retire(self, servable: Servable) -> None:
        """Begin to close a servable that no call can find any more; its calls' deadlines bound how long it takes."""
        task = self._tasks.create_task(_close(servable))
        self._closing[task] = servable.identity
        task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._forget_if_gone(self._closing.pop(task))

    def _forget_if_gone(self, identity: ModelVersion) -> None:
        """Tell that a version is gone, once nothing is left of any load of it."""
        if identity in self._made and self._state(identity) is ModelState.UNAVAILABLE:
            self._made.discard(identity)
            self._forget(identity)

    def _serves(self, identity: ModelVersion) -> bool:
        return identity.number_text in self._serving.get(identity.model, {})

    def _lock(self, model: str) -> asyncio.Lock:
        return self._changing.setdefault(model, asyncio.Lock())


async def _close(servable: Servable) -> None:
    identity = servable.identity
    try:
        await servable.close()
    except Exception:  # a task's outermost frame: one model must not take the others down
        log.exception("version did not close", model=identity.model, version=identity.version_text)
    else:
        log.info("version unloaded", model=identity.model, version=identity.version_text)


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
