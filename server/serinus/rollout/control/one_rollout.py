"""One rollout as its controller knows it from one look to the next."""

import math
from collections.abc import Mapping
from typing import Final, Protocol

from serinus.rollout.control.census import Census
from serinus.rollout.control.events import events_of
from serinus.rollout.control.heartbeats import Heartbeats
from serinus.rollout.journal_entries import entry_of
from serinus.rollout.judging.judge import slow_limit
from serinus.rollout.judging.judgement import Judge, Judgement, judged, judgement_document, judgement_of
from serinus.rollout.machine.effects import effects
from serinus.rollout.machine.machine import advance
from serinus.rollout.ports import Halts, Journal, Lease, Stored
from serinus.rollout.rollout import Event, Judged, Outcome, Status, Verdict
from serinus.rollout.view import numbers_of
from serinus.telemetry.logs import get_logger

ACTOR: Final = "rollout-controller"
"""Who moves rollouts when no person does."""

_log = get_logger(__name__)


class Metrics(Protocol):
    """Counts what is decided; `telemetry.rollout_metrics` does."""

    def decided(self, model: str, event: str, status: str) -> None:
        """Something happened to a rollout of that model, which stands there since; in the journal's words."""
        ...

    def judged(self, model: str, e_values: Mapping[str, float]) -> None:
        """The judge has looked, and found this evidence against the candidate, by check."""
        ...


class OneRollout:
    """What a controller remembers of a rollout, and how it moves it.

    Each look writes at most one step, and no look does what a look before has done: what was counted is folded once,
    and a write names the revision that it goes on from. So it may end anywhere, and another look, here or on another
    server, goes on.

    Attributes:
        stored: As it was seen or written last.
        judgement: What is known; None before it was read.
        failures: Looks in a row that raised; kept by whoever calls `look`.
        looked_at: Monotonic seconds at which the last look began; likewise.
    """

    def __init__(
        self,
        stored: Stored,
        *,
        journal: Journal,
        halts: Halts,
        metrics: Metrics,
        judge: Judge,
        lost_after_s: float,
    ) -> None:
        self.stored = stored
        self.judgement: Judgement | None = None
        self.failures = 0
        self.looked_at = -math.inf
        self._journal = journal
        self._halts = halts
        self._metrics = metrics
        self._judge = judge
        self._heartbeats = Heartbeats(lost_after_s)
        self._saved: Mapping[str, object] | None = None

    def __repr__(self) -> str:
        rollout = self.stored.rollout
        return f"<OneRollout {rollout.id} of {rollout.model} [{rollout.status.value}, stage {rollout.stage}]>"

    async def look(self, stored: Stored, lease: Lease, *, at: float, now: float) -> None:
        """Learn what servers have counted, and write down what follows.

        Args:
            stored: As the journal has it now.
            lease: Under which to write.
            at: Seconds since 1970.
            now: Monotonic seconds.

        Raises:
            Conflict: somebody else has written meanwhile; LEASE_LOST if another server controls rollouts by now.
            StoreUnavailable: nothing can be done now.
        """
        if stored.revision != self.stored.revision:
            # Somebody else moved it, and maybe judged it too.
            self.judgement = None
        self.stored = stored
        rollout = stored.rollout
        windows = await self._journal.windows(rollout.id)
        judgement = self.judgement or await self._read()
        silent = self._heartbeats.silent({window.server: window.beat for window in windows}, now)
        judgement = self.judgement = judged(judgement, rollout, windows, at, self._judge)
        if judgement.verdict is not None:
            self._metrics.judged(rollout.model, _e_values(judgement.verdict))
        census = Census.of(windows, silent)
        slow_s = slow_limit(judgement.evidence, rollout.spec.guardrails.latency)
        for event in events_of(stored, census, judgement.verdict, slow_s, at):
            if await self._happened(event, judgement, lease):
                break
        await self._save(judgement, lease)

    async def _happened(self, event: Event, judgement: Judgement, lease: Lease) -> bool:
        """Write what follows from `event`; False if nothing does."""
        before = self.stored.rollout
        has_failed = isinstance(event, Judged) and event.verdict.outcome is Outcome.FAIL
        if has_failed:
            # Before anything that could fail or wait.
            self._halts.halt(before.model, before.candidates)
        after = advance(before, event)
        if after is before:
            return False
        if after.status is Status.FAILING:
            if not has_failed:
                self._halts.halt(after.model, after.candidates)
        else:
            # Servers begin to count anew: what they counted before must not be lost with this process.
            await self._save(judgement, lease)
        entry = entry_of(before, event, after, numbers_of(before, judgement, event.at))
        self.stored = await self._journal.write(
            after, effects(after), entry, actor=ACTOR, expected_revision=self.stored.revision, lease=lease
        )
        self._metrics.decided(after.model, entry.event, entry.status)
        _log.info(
            "rollout moved",
            rollout=after.id,
            model=after.model,
            happening=entry.event,
            status=entry.status,
            stage=after.stage,
            reason=entry.reason,
        )
        return True

    async def _read(self) -> Judgement:
        self._saved = await self._journal.evidence(self.stored.rollout.id)
        return judgement_of(self._saved)

    async def _save(self, judgement: Judgement, lease: Lease) -> None:
        document = judgement_document(judgement)
        if document != self._saved:
            await self._journal.save_evidence(self.stored.rollout.id, document, lease=lease)
            self._saved = document


def _e_values(verdict: Verdict) -> Mapping[str, float]:
    """The most evidence against any candidate, by check."""
    found: dict[str, float] = {}
    for check in verdict.checks:
        found[check.name] = max(check.e_value, found.get(check.name, check.e_value))
    return found
