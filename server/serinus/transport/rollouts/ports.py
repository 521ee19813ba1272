"""What the RPCs about rollouts and splits need from the rest of the server; `app` plugs it in.

All of it raises `core.errors` alone. `expected_revision` is what the caller has read: Conflict if that has changed
since; None expects nothing.
"""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.traffic import FallbackPolicy
from serinus.core.version import ModelVersion
from serinus.registry.records import ModelRecord, Page
from serinus.registry.rollout_records import JournalEntry
from serinus.rollout.ports import Stored
from serinus.rollout.simulation.values import Simulated
from serinus.rollout.view import RolloutView
from serinus.serving.mirroring.disagreements import Disagreement
from serinus.serving.routing.gates import BreakerView
from serinus.transport.rollouts.values import MetricReport, SimulationOrder, SplitOrder, Worker


class Rollouts(Protocol):
    """Rollouts and an operator's word about them. Every change is journalled and audited.

    Those that take an id raise NotFound if there is no such rollout, changes Refused where it does not stand so that
    they could be made.
    """

    async def start(self, spec: RolloutSpec, *, actor: str, expected_revision: int | None) -> RolloutView:
        """Let a version earn its calls; the revision is the model's. Refused (ROLLOUT_ACTIVE) if there is one."""
        ...

    async def get(self, rollout: str) -> RolloutView:
        """One."""
        ...

    async def newest(self, model: str) -> RolloutView:
        """The last one of a model; NotFound if it never had one."""
        ...

    async def page(self, model: str, *, active: bool, page_token: str, limit: int) -> Page[Stored]:
        """The first `limit` rollouts, newest first.

        Args:
            model: Whose; "" for all.
            active: Whether only those are wanted that have not ended.
            page_token: Of the page before; InvalidInput for a token of no page.
            limit: Of the page.
        """
        ...

    def watch(self, rollout: str) -> AsyncIterator[RolloutView]:
        """As it is now, then again whenever it has moved, and each second while it is judged; ends with its end."""
        ...

    async def journal(self, rollout: str) -> Sequence[JournalEntry]:
        """What has happened to it, oldest first."""
        ...

    async def pause(self, rollout: str, *, actor: str, expected_revision: int | None) -> RolloutView:
        """Stop the clock."""
        ...

    async def resume(self, rollout: str, *, actor: str, expected_revision: int | None) -> RolloutView:
        """Let it go on."""
        ...

    async def promote(
        self, rollout: str, *, actor: str, expected_revision: int | None, version: str = ""
    ) -> RolloutView:
        """Move it on: past an approval, or to the next stage if the judge says pass.

        Args:
            rollout: Its id.
            actor: Who.
            expected_revision: Of the rollout.
            version: Selector of an A/B test's winner; "" where there is one candidate.
        """
        ...

    async def force_promote(
        self, rollout: str, *, actor: str, expected_revision: int | None, version: str = ""
    ) -> RolloutView:
        """Make a version stable at once, whatever the judge says; `version` as for `promote`."""
        ...

    async def abort(self, rollout: str, *, actor: str, expected_revision: int | None, reason: str = "") -> RolloutView:
        """Take the candidate out at once; `reason` is for the journal."""
        ...

    async def disagreements(self, rollout: str) -> Sequence[Disagreement]:
        """Mirrored calls that the versions answered differently, as far as this server has kept them."""
        ...

    async def report_metric(self, report: MetricReport) -> bool:
        """Count what was measured outside; False for a report that was counted before.

        InvalidInput for a metric that no guardrail names, or a value out of its range; NotFound without a rollout of
        the model, or for a version that takes no part in it.
        """
        ...

    async def simulate(self, order: SimulationOrder) -> Simulated:
        """Play a plan; cancelling it ends the work soon."""
        ...


class TrafficControl(Protocol):
    """How calls are shared out, by hand; the registry keeps it, and what is set is audited."""

    async def get(self, model: str) -> ModelRecord:
        """One model with what was decided about its calls; NotFound if there is none."""
        ...

    async def set_split(
        self, model: str, order: SplitOrder | None, *, actor: str, expected_revision: int | None
    ) -> ModelRecord:
        """Share the calls out so, or not at all for None. Refused (ROLLOUT_ACTIVE) while a rollout does."""
        ...

    async def set_fallback(
        self, model: str, policy: FallbackPolicy | None, *, actor: str, expected_revision: int | None
    ) -> ModelRecord:
        """Let others answer what the chosen version cannot; nobody for None. InvalidInput where they could not."""
        ...

    async def reset_breakers(self, model: str, *, actor: str) -> ModelRecord:
        """Let every server forget what its circuit breakers remember."""
        ...

    def breakers(self, model: str) -> Mapping[ModelVersion, BreakerView]:
        """Of this server."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutPorts:
    """What the RPCs about rollouts are made from.

    Attributes:
        rollouts: Keeps and moves them.
        traffic: Shares calls out.
        drain: Lets this server go away, as SIGTERM does; told who asked. Returns before it goes.
        workers: The processes that serve, as far as this one knows; at least this one.
    """

    rollouts: Rollouts
    traffic: TrafficControl
    drain: Callable[[str], Awaitable[None]]
    workers: Callable[[], Sequence[Worker]]
