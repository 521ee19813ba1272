"""Everything that this server may serve, from wherever it comes, and the jobs that keep it in step."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from serinus.app.cost_keeping import CostKeeper
from serinus.app.following import Following
from serinus.app.front import Front
from serinus.app.placing import Placing, nothing_kept_out
from serinus.app.quantizing import Quantizing
from serinus.app.registry_store import RegistryStore, tidy
from serinus.app.rollouts.parts import RolloutParts
from serinus.app.sources import ModelSources
from serinus.app.stack import ServedVersion
from serinus.app.traffic_control import TrafficControl
from serinus.app.workers.colleagues import Colleagues
from serinus.app.workers.collecting import Collecting
from serinus.app.workers.in_step import InStep, nobody_else
from serinus.app.workers.kept_out import KeptOut
from serinus.config.settings import Settings
from serinus.core.errors import ServerError
from serinus.core.predictor import Tensors
from serinus.core.version import ModelVersion
from serinus.lifecycle.models import Models
from serinus.registry.wanted import FollowMode
from serinus.runtime.quantization.quantizer import QuantizationLimits, Quantizer
from serinus.telemetry.logs import Logs, get_logger
from serinus.telemetry.metrics import Metrics
from serinus.transport.admin.status_merging import Places, no_places
from serinus.transport.registry.ports import RegistryParts
from serinus.transport.rollouts.ports import RolloutPorts
from serinus.transport.rollouts.values import Worker
from serinus.workers.control import Handler
from serinus.workers.others import COLLECT, FOLLOW
from serinus.workers.seat import Seat

log = get_logger("serinus.catalog")

_RELAYED_LOADS = 16  # as many times what one load may take: all workers load, some of them several versions
_PATIENCE_S = 5.0  # with a database at the start: after that the server starts without it
_PATIENCE_WITH_SNAPSHOT_S = 1.0  # the same where there is something to serve meanwhile

Job = Coroutine[Any, Any, None]


class Catalog:
    """The models of the operator and of the registry.

    Attributes:
        models: What serves of them.
        front: What calls reach before them.
        costs: Of their runs.
        placing: Loads and unloads on somebody's word.
        following: Keeps both in step with the registry.
        rollouts: Move versions in and out.
        colleagues: The other workers of this machine; None without a supervisor.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        models: Models,
        front: Front,
        store: RegistryStore,
        metrics: Metrics,
        costs: CostKeeper,
        taken: set[str],
        kept_out: KeptOut,
        seat: Seat | None,
        logs: Logs,
    ) -> None:
        mode = FollowMode(settings.registry.mode)
        self._settings = settings
        self.models = models
        self.front = front
        self.costs = costs
        self._store = store
        self._sources = ModelSources(
            models,
            named={spec.name: spec for spec in settings.model_specs},
            repository=settings.model_repository,
            scratch=store.area.scratch,
            examine=store.intake.examine,
            taken=taken,
        )
        self.following = Following(models, route=front.routes.apply, mode=mode, is_taken=taken.__contains__)
        self.colleagues = (
            None
            if seat is None
            else Colleagues(
                seat.channel,
                models=models,
                sources=self._sources,
                kept_out=kept_out,
                logs=logs,
                relay_s=_RELAYED_LOADS * settings.loading.timeout_s,
            )
        )
        self.placing = Placing(
            models=models,
            sources=self._sources if self.colleagues is None else self.colleagues.sources,
            registry=store.registry,
            following=self.following,
            mode=mode,
            lift=nothing_kept_out if self.colleagues is None else self.colleagues.lift,
            others_follow=nobody_else if self.colleagues is None else self.colleagues.others_follow,
        )
        self._collecting = (
            None
            if seat is None or seat.count == 1 or self.colleagues is None
            else Collecting(self._served, self.colleagues.ask_others)
        )
        self.rollouts = RolloutParts(
            settings, store=store, models=models, front=front, following=self.following, metrics=metrics
        )

    async def load(self) -> None:
        """Load what the operator named, which must work, and what the model repository holds, as far as it works.

        Raises:
            ModelRejected: a named model cannot be served.
            ConfigError: there is no such repository.
            Draining: the supervisor of this worker is gone.
        """
        if self.colleagues is not None:
            await self.colleagues.hear_standing()
        await self._sources.load_named()
        await self._sources.load_repository()

    def jobs(self) -> Sequence[Job]:
        """What is to run for as long as the server does; none of it ends by itself."""
        orphan_age_s = self._settings.registry.orphan_age_s
        return (
            self._store.follower.run(),
            self._follow(),
            tidy(self._store, orphan_age_s=orphan_age_s),
            self.costs.run(),
            *self.rollouts.jobs(),
        )

    async def follow(self) -> None:
        """Load what the registry wants, as it is now or was when it was last seen; `jobs` run already."""
        follower = self._store.follower
        try:
            async with asyncio.timeout(_PATIENCE_WITH_SNAPSHOT_S if follower.snapshot.revision else _PATIENCE_S):
                await follower.wait_until_read()
        except TimeoutError:
            log.warning("registry not read", trouble=follower.trouble, revision=follower.snapshot.revision)
        self.following.apply(follower.snapshot)
        for model in follower.snapshot.models:
            try:
                await self.models.settled(model)
            except ServerError:
                continue  # the log and the index have it; the others serve
        if self.colleagues is not None:
            await self.colleagues.catch_up()

    async def _follow(self) -> None:
        async for snapshot in self._store.follower.changes():
            try:
                self.following.apply(snapshot)
                self.rollouts.webhooks.wake()
            except Exception:
                log.exception("registry not followed: a bug")  # the task's outermost frame

    def detail(self) -> Mapping[str, object]:
        """What a probe is told beside yes and no."""
        follower = self._store.follower
        registry = "behind" if follower.is_behind else "followed"
        return {"serving": len(self.models.serving()), "registry": registry, "revision": follower.snapshot.revision}

    def parts(self) -> RegistryParts:
        """What the RPCs of the registry are made from."""
        store = self._store
        quantizing = Quantizing(
            registry=store.registry,
            artifacts=store.artifacts,
            registrations=store.registrations,
            quantizer=Quantizer(QuantizationLimits(), providers=self._settings.compute.providers),
            collect=self._collect if self._collecting is None else self._collecting.collect,
            scratch=store.area.scratch,
        )
        return RegistryParts(
            reads=store.registry,
            writes=store.registry,
            audit=store.registry,
            uploads=store.registrations,
            artifacts=store.artifacts,
            changes=store.follower,
            placements=self.placing,
            quantizations=quantizing,
        )

    def rollout_ports(
        self, *, started_unix_s: float, is_ready: Callable[[], bool], leave: Callable[[], None]
    ) -> RolloutPorts:
        """What the RPCs about rollouts and splits are made from.

        Args:
            started_unix_s: When the server started.
            is_ready: Whether calls should be sent to it.
            leave: Lets it go away.
        """

        def worker() -> Worker:
            revision, controls = self._store.follower.snapshot.revision, self.rollouts.controller.is_controlling
            return Worker(self.rollouts.server, started_unix_s, is_ready(), revision, controls, pid=os.getpid())

        async def drain(actor: str) -> None:
            log.info("told to leave", actor=actor)
            try:
                after = {"server": self.rollouts.server}
                await self._store.registry.note("server.drain", "", before={}, after=after, actor=actor)
            except ServerError as error:  # a server whose database is away can be told to leave all the same
                log.warning("not in the audit", action="server.drain", actor=actor, trouble=error.message)
            leave()

        return RolloutPorts(
            rollouts=self.rollouts.operated,
            traffic=TrafficControl(self._store.registry, self.following, breakers=self.front.routes.breakers),
            drain=drain,
            workers=lambda: (worker(),),
        )

    def asked_by_others(self) -> Mapping[str, Handler]:
        """What other workers may ask this one, by kind."""
        in_step = InStep(self._store.follower, self.following, self.models)
        collecting = {} if self._collecting is None else {COLLECT: self._collecting.answer}
        return {FOLLOW: in_step.follow, **collecting}

    @property
    def places(self) -> Places:
        """All workers of this machine."""
        return no_places if self.colleagues is None else self.colleagues.places

    async def _collect(self, version: ModelVersion, rows: int, timeout_s: float) -> Tensors:
        return await self._served(version.model, version.number_text).collect(rows, timeout_s=timeout_s)

    def _served(self, model: str, version: str) -> ServedVersion:
        servable = self.models.find(model, version)
        assert isinstance(servable, ServedVersion), "this server's loader makes nothing else: this is a bug"
        return servable
