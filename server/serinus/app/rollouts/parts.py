"""Rollouts on this server: what it counts and publishes, the controller that moves them, and what operators may do."""

import asyncio
import functools
import secrets
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from serinus.app.following import Following
from serinus.app.front import Front
from serinus.app.registry_store import RegistryStore
from serinus.app.rollouts.journal import RegistryJournal
from serinus.app.rollouts.versions import RolloutVersions
from serinus.app.traffic_control import new_salt
from serinus.config.sections import WebhookSettings
from serinus.config.settings import Settings
from serinus.lifecycle.models import Models
from serinus.registry.rollouts import RolloutStore
from serinus.rollout.control.controller import Controller
from serinus.rollout.judging.statistics.special import special
from serinus.rollout.operators.rollouts import Rollouts
from serinus.rollout.operators.watching import Watching
from serinus.rollout.reporting.metric_reports import MetricReports
from serinus.rollout.reporting.publishing import Reporting
from serinus.rollout.reporting.windows import Reports
from serinus.rollout.simulation.simulation import simulate
from serinus.rollout.simulation.values import Simulated
from serinus.serving.mirroring.disagreements import Disagreement
from serinus.serving.mirroring.mirror import Mirrors
from serinus.telemetry.metrics import Metrics
from serinus.threads import to_thread
from serinus.transport.rollouts.values import MetricReport, SimulationOrder

_ID_BYTES = 6  # twelve characters, which a person can read out; nobody has so many rollouts that two share one

Job = Coroutine[Any, Any, None]


class Webhooks(Protocol):
    """Tell others what happens to rollouts."""

    def wake(self) -> None:
        """There may be something to tell."""
        ...

    async def run(self) -> None:
        """Tell, until cancelled; returns where nobody is to be told."""
        ...


class RolloutParts:
    """Everything about rollouts that one server has; `jobs` must run for it.

    Attributes:
        server: Tells this server from others; another one after each start.
        operated: What operators may do.
        controller: Moves all rollouts, if this server has the lease.
        webhooks: Tell others what happens to them.

    Raises:
        ConfigError: nothing may be sent to a URL of the settings, or the secret cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: RegistryStore,
        models: Models,
        front: Front,
        following: Following,
        metrics: Metrics,
    ) -> None:
        self.server = secrets.token_hex(_ID_BYTES)
        said = settings.rollouts
        journal = RegistryJournal(store.rollouts)
        reports = MetricReports(journal, store.rollouts)
        self.controller = Controller(
            journal,
            front.routes,
            server=self.server,
            clock=time.time,
            monotonic=time.monotonic,
            metrics=metrics.rollouts,
            interval_s=said.interval_s,
            lost_after_s=said.lost_after_s,
            # Whoever controls tells the webhooks, also how the last rollout has ended.
            has_active=lambda: (
                bool(settings.webhooks.urls)
                or any(model.traffic.rollout for model in store.follower.snapshot.models.values())
            ),
            prepare=functools.partial(to_thread, special),
        )
        self.webhooks = self._webhooks(settings.webhooks, store, metrics)
        self._reporting = Reporting(
            Reports(self.server, routes=front.routes, mirrors=front.mirrors, models=models, metrics=reports),
            store.rollouts,
            models=following.records,
            interval_s=said.interval_s,
        )
        self.operated = OperatedRollouts(
            Rollouts(
                journal,
                versions=RolloutVersions(store.registry),
                metrics=metrics.rollouts,
                clock=time.time,
                new_id=lambda: secrets.token_hex(_ID_BYTES),
                new_salt=new_salt,
            ),
            Watching(
                journal,
                clock=time.time,
                monotonic=time.monotonic,
                interval_s=said.interval_s,
            ),
            journal=journal,
            store=store.rollouts,
            reports=reports,
            mirrors=front.mirrors,
        )

    def _webhooks(self, said: WebhookSettings, store: RegistryStore, metrics: Metrics) -> Webhooks:
        if not said.urls and said.secret_file is None:
            return _TellsNobody()
        # Here and not above: most servers tell nobody, and what speaks HTTP to others takes 5 MiB.
        from serinus.transport.webhooks import delivering, post  # noqa: PLC0415 - see the line above

        return delivering.Webhooks(
            said,
            entries=store.rollouts,
            is_mine=lambda: self.controller.is_controlling,
            sender=post.Post(secret=post.read_secret(said.secret_file), timeout_s=said.timeout_s, clock=time.time),
            metrics=metrics.rollouts,
        )

    def jobs(self) -> Sequence[Job]:
        """What is to run for as long as the server does; none of it ends by itself."""
        return (self._reporting.run(), self.controller.run(), self.webhooks.run())


class _TellsNobody:
    def wake(self) -> None:
        pass

    async def run(self) -> None:
        pass


class OperatedRollouts:
    """A `transport.rollouts.ports.Rollouts`: what several parts of the server do for operators, in one place."""

    def __init__(
        self,
        commands: Rollouts,
        watching: Watching,
        *,
        journal: RegistryJournal,
        store: RolloutStore,
        reports: MetricReports,
        mirrors: Mirrors,
    ) -> None:
        self._watching = watching
        self._journal = journal
        self._store = store
        self._reports = reports
        self._mirrors = mirrors
        self._simulating = asyncio.Lock()
        self.start = commands.start
        self.pause = commands.pause
        self.resume = commands.resume
        self.promote = commands.promote
        self.force_promote = commands.force_promote
        self.abort = commands.abort
        self.get = watching.get
        self.newest = watching.newest
        self.watch = watching.watch
        self.page = journal.page
        self.journal = store.journal

    async def disagreements(self, rollout: str) -> Sequence[Disagreement]:
        """Mirrored calls that the versions answered differently, as far as this server has kept them."""
        await self._store.rollout(rollout)
        return self._mirrors.disagreements(rollout)

    async def report_metric(self, report: MetricReport) -> bool:
        """Count what was measured outside; False for a report that was counted before."""
        return await self._reports.report(report.model, report.version, report.metric, report.values, report.report_id)

    async def simulate(self, order: SimulationOrder) -> Simulated:
        """Play a plan; cancelling it ends the work after the run that it is at."""
        given_up = threading.Event()

        def go_on(_done: int) -> None:
            if given_up.is_set():
                raise asyncio.CancelledError

        work = functools.partial(
            simulate,
            order.spec,
            order.baseline,
            order.candidate,
            rate=order.rate,
            runs=order.runs,
            seed=order.seed,
            progress=go_on,
        )
        try:
            async with self._simulating:  # one at a time: each takes a core for as long as it lasts
                return await to_thread(work)
        finally:
            given_up.set()
