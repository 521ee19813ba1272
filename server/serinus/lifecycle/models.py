"""The models of this server: finds the version that a call means, and follows what is wanted."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Self

from serinus.core.errors import ServerError
from serinus.core.predictor import Request, Response
from serinus.core.version import ModelVersion, Version
from serinus.lifecycle.loads import Surroundings
from serinus.lifecycle.memory import Memory, Resident
from serinus.lifecycle.one_model import OneModel
from serinus.lifecycle.plan import ModelPlan
from serinus.lifecycle.refusals import why_not
from serinus.lifecycle.servable import Loader, Servable
from serinus.lifecycle.states import ModelState, VersionStatus
from serinus.lifecycle.table import meant, names_of
from serinus.telemetry.load_metrics import LoadMetrics


class Models:
    """All models, and the one place where a name and a version become a servable.

    The table that calls read is replaced as a whole, never changed, so a call sees it before or after a swap.
    An async context manager; leaving it unloads everything. All methods belong to the event loop.

    Attributes:
        load: Makes servables.
        refused: Told the reason when a call means no version that serves.
        forget: Told about versions that are gone.
        metrics: Counts loads; None counts for nobody.
        max_bytes: Most memory that loaded versions may take together; None for no bound.
        clock: Seconds, the clock of `Servable.last_used_s`.
    """

    def __init__(
        self,
        load: Loader,
        *,
        refused: Callable[[str], None],
        forget: Callable[[ModelVersion], None],
        metrics: LoadMetrics | None = None,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refused = refused
        self._serving: Mapping[str, Mapping[str, Servable]] = MappingProxyType({})
        self._models: dict[str, OneModel] = {}
        self._tasks = asyncio.TaskGroup()
        self._around = Surroundings(
            load=load,
            tasks=self._tasks,
            memory=Memory(max_bytes),
            residents=self._residents,
            evict=lambda identity: self._models[identity.model].evict(identity),
            publish=self._publish,
            forget=forget,
            metrics=metrics or LoadMetrics(),
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for one in list(self._models.values()):
                await one.leave()
        finally:
            # Whatever ended the block, what was loaded is closed; the group would cancel that if it heard of an error.
            await self._tasks.__aexit__(None, None, None)

    # On the path of every call.

    def find(self, model: str, version: str) -> Servable:
        """The servable that a caller means. A version that was unloaded to make room is loaded because of it.

        Args:
            model: Its name.
            version: "" for the alias `stable` or else the highest, a semantic version, a version's number, an alias,
                `latest`, or a range such as "^1.2", of which the highest that serves is meant.

        Raises:
            InvalidInput: no model or version can have such a name.
            NotFound: there is none.
            NotLoaded: there is one, and it does not serve now.
            Loading: there is one, and it will serve soon.
        """
        by_name = self._serving.get(model)
        if by_name is not None and (servable := by_name.get(version)) is not None:
            return servable
        return self._find_slowly(model, version)

    async def predict(self, request: Request, /) -> Response:
        """Answer a call from the version that it means."""
        try:
            servable = self.find(request.model, request.version)
        except ServerError as error:
            self._refused(error.reason)
            raise
        return await servable.predict(request)

    def _find_slowly(self, model: str, version: str) -> Servable:
        one = self._models.get(model)
        if one is not None:
            identity = meant(version, one.ready, one.asleep.values(), one.names())
            if identity is not None and (servable := one.ready.get(identity.number)) is not None:
                return servable
            if identity is not None:
                one.wake(identity)
        raise why_not(model, version, one)

    def serves(self, identity: ModelVersion) -> bool:
        """Whether exactly this version serves now."""
        return (by_name := self._serving.get(identity.model)) is not None and identity.number_text in by_name

    def labels(self, identity: ModelVersion) -> Mapping[str, tuple[str, ...]]:
        """Class names by output of a version, in class order; none when it is gone."""
        servable = self._serving.get(identity.model, {}).get(identity.number_text)
        return {} if servable is None else servable.labels

    # What there is.

    def serving(self, model: str | None = None) -> Sequence[Servable]:
        """The versions that serve now, by name, then highest first."""
        names = sorted(self._serving) if model is None else [model]
        found: list[Servable] = []
        for name in names:
            unique = {id(servable): servable for servable in self._serving.get(name, {}).values()}
            found.extend(sorted(unique.values(), key=lambda servable: servable.identity.version, reverse=True))
        return found

    def aliases(self, model: str) -> Mapping[str, ModelVersion]:
        """Version by alias, as calls see it now."""
        one = self._models.get(model)
        return {} if one is None else dict(one.aliases)

    def index(self) -> Sequence[VersionStatus]:
        """Every version that the server knows of, by name, then highest first."""
        found: list[VersionStatus] = []
        for name, one in sorted(self._models.items()):
            found.extend(one.status(identity) for identity in one.versions())
            if one.rejected:
                found.append(VersionStatus(ModelVersion(name, Version(0), 0), ModelState.UNAVAILABLE, one.rejected))
        return found

    def failure(self, identity: ModelVersion) -> ServerError | None:
        """Why a version cannot be loaded; None if it serves, nobody has tried, or the next try may go better."""
        one = self._models.get(identity.model)
        return None if one is None else one.failure(identity)

    @property
    def used_bytes(self) -> int:
        """Memory that loaded versions take, those on their way in or out included."""
        return self._around.memory.used_bytes

    # How it changes.

    def apply(self, plan: ModelPlan) -> None:
        """Let `plan` be what is wanted of its model, in place of any earlier plan; returns at once.

        What is loaded from an equal `VersionSpec` stays; loads under way that the plan does not want are given up. What
        served before serves until its successor is ready. `settled` waits for the outcome, `index` has it.
        """
        self._one(plan.name).apply(plan)

    async def settled(self, model: str) -> None:
        """Wait until no load of a model is under way; a failure that is to be retried later is not waited for.

        Raises:
            ServerError: why a version that is wanted could not be loaded: of the one that most calls mean.
        """
        if (one := self._models.get(model)) is not None:
            await one.settled()

    async def closed(self, model: str) -> None:
        """Wait until everything of a model that closes now is closed, and the calls inside are answered."""
        if (one := self._models.get(model)) is not None:
            await one.closed()

    def retry(self, model: str) -> None:
        """Load what is wanted and could not be loaded, or was unloaded to make room; somebody asks for it."""
        if (one := self._models.get(model)) is not None:
            one.retry()

    def keep_out(self, identity: ModelVersion, error: ServerError) -> None:
        """Let a version go at once, if there is anything of it; calls inside are answered, later ones get the error.

        Other versions serve as before. It is tried again when somebody calls `retry`, or when what is wanted changes:
        whoever wants it kept out for longer has the loader refuse it.
        """
        one = self._models.get(identity.model)
        if one is not None and identity in one.versions():
            one.keep_out(identity, error)

    async def reload(self, plan: ModelPlan) -> None:
        """Load all versions of `plan` anew, and serve exactly these; they take over at once, when all are ready.

        What served before serves until then. A version that fails to load leaves the others alone, and keeps serving if
        it served before. A caller that stops waiting leaves everything as it was. A plan that is applied meanwhile
        counts from its end on.

        Raises:
            ServerError: why a version could not be loaded: of the one that most calls mean.
        """
        await self._one(plan.name).reload(plan)

    async def unload(self, model: str) -> None:
        """Stop serving all versions of a model, and wait until the calls inside are answered.

        A caller that stops waiting stops nothing.

        Raises:
            NotFound: the server has no such model.
        """
        one = self._models.get(model)
        if one is None or not (one.versions() or one.rejected):
            raise why_not(model, "", one)
        await one.unload()

    def reject(self, model: str, reason: str) -> None:
        """Remember a model that could not even be read, so that the index says why, until it is loaded."""
        self._one(model).rejected = reason

    def _one(self, model: str) -> OneModel:
        if (one := self._models.get(model)) is None:
            one = self._models[model] = OneModel(model, self._around)
        return one

    def _publish(self, model: str) -> None:
        one = self._models[model]
        table = dict(self._serving)
        if one.ready:
            table[model] = names_of(one.ready, one.asleep.values(), one.names())
        else:
            table.pop(model, None)
        self._serving = MappingProxyType(table)

    def _residents(self) -> list[Resident]:
        return [resident for one in self._models.values() for resident in one.residents()]
