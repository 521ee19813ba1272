"""Remembers what the judge needs to know of a rollout, and takes each server's counts in exactly once."""

import dataclasses
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from serinus.core.errors import DataLost
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow, ServerWindow
from serinus.rollout.judging.statistics import ratio
from serinus.rollout.judging.tallies import (
    LATENCY,
    NO_CALLS,
    NO_PAIRS,
    RATES,
    ArmTotals,
    Block,
    Consumed,
    Late,
    failures_of,
    grown,
    highest,
    latencies,
    pairs,
    rate_guardrails,
    trials_of,
)
from serinus.rollout.rollout import Rollout, Status

_FORGOTTEN_AFTER_S: Final = 3600.0
"""What a server said that is gone for so long is never read again."""
_MOST_SERVERS: Final = 1024  # more never share one database
_BEFORE: Final = -1
"""Stands for the stage while the candidate is loaded."""
_FORMAT: Final = 1
"""Of documents; raised when what is kept changes its meaning."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All that was counted in a rollout, and what it says for and against each candidate.

    Attributes:
        baseline: Number of stable; 0 before the first look.
        stage: Whose totals `stage_arms` and `stage_pairs` are; -1 while the candidates are loaded.
        stage_segment: First segment of the stage.
        slow_segment: First segment in which it was known what slow means; None while it is not.
        servers: What was taken in, by server.
        arms: By number, since the rollout began.
        stage_arms: By number, since the stage began.
        latency: Calls by time, by number, since the rollout began; buckets of `telemetry.histogram.BOUNDS_S`.
        log_likelihoods: Of the ratios in `statistics.ratio.ratios`, by name of the rate and number of the candidate.
        pairs: Since the rollout began.
        stage_pairs: Since the stage began.
        metrics: By name and number, since the rollout began.
        unusable: Metrics of which some server's sum is no number.
    """

    baseline: int = 0
    stage: int = _BEFORE
    stage_segment: int = 0
    slow_segment: int | None = None
    servers: Mapping[str, Consumed] = dataclasses.field(default_factory=dict)
    arms: Mapping[int, ArmTotals] = dataclasses.field(default_factory=dict)
    stage_arms: Mapping[int, ArmTotals] = dataclasses.field(default_factory=dict)
    latency: Mapping[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    log_likelihoods: Mapping[str, Mapping[int, tuple[float, ...]]] = dataclasses.field(default_factory=dict)
    pairs: PairWindow = NO_PAIRS
    stage_pairs: PairWindow = NO_PAIRS
    metrics: Mapping[str, Mapping[int, MetricWindow]] = dataclasses.field(default_factory=dict)
    unusable: frozenset[str] = frozenset()

    def calls_per_second(self, number: int, at: float) -> float:
        """How fast an arm has got calls of late, on all servers together."""
        late = (server.late.get(number) for server in self.servers.values())
        return sum(calls.calls_per_second(at) for calls in late if calls is not None)


_DOCUMENTS: Final = TypeAdapter(Evidence)


def fold(evidence: Evidence, rollout: Rollout, windows: Sequence[ServerWindow], at: float) -> Evidence:
    """The evidence with what servers say now; the same object if they say nothing new.

    Counts are cumulative, so a window that is read twice changes nothing, and one that was missed is made up for by the
    next. Those of an older segment count, but for the stage only if the segment is one of the stage's.

    Args:
        evidence: Of looks before; `Evidence()` at first.
        rollout: Where it stands.
        windows: What every server has published last; those of other rollouts are passed over.
        at: Seconds since 1970.
    """
    look = _Look(_in_stage(evidence, rollout), rollout, at)
    for window in windows:
        if window.rollout == rollout.id:
            look.take(window)
    return look.evidence()


def _in_stage(evidence: Evidence, rollout: Rollout) -> Evidence:
    """The evidence with the totals of the stage that the rollout is in: empty ones if it has just begun."""
    stage = _BEFORE if rollout.status is Status.PREPARING else rollout.stage
    if evidence.baseline != rollout.baseline.number:
        evidence = dataclasses.replace(evidence, baseline=rollout.baseline.number)
    if evidence.slow_segment is None and rollout.slow_s is not None:
        evidence = dataclasses.replace(evidence, slow_segment=rollout.segment)
    if evidence.stage == stage:
        return evidence
    return dataclasses.replace(
        evidence, stage=stage, stage_segment=rollout.segment, stage_arms={}, stage_pairs=NO_PAIRS
    )


def evidence_document(evidence: Evidence) -> dict[str, object]:
    """The evidence as JSON."""
    return {"format": _FORMAT, "evidence": _DOCUMENTS.dump_python(evidence, mode="json")}


def evidence_of(document: Mapping[str, object]) -> Evidence:
    """What `evidence_document` wrote; nothing known if that was in another format, for then all is counted again.

    Raises:
        DataLost: nobody wrote it like that.
    """
    if document.get("format") != _FORMAT:
        return Evidence()
    try:
        return _DOCUMENTS.validate_python(document.get("evidence"))
    except ValidationError as error:
        raise DataLost("the evidence of a rollout is not as it was written", reason="EVIDENCE_UNREADABLE") from error


class _Look:
    """Adds up what all servers say at one look."""

    def __init__(self, evidence: Evidence, rollout: Rollout, at: float) -> None:
        self._known = evidence
        self._at = at
        self._candidates = [candidate.number for candidate in rollout.candidates]
        self._numbers = {*self._candidates, rollout.baseline.number}
        self._metrics_of_spec = {metric.name for metric in rollout.spec.guardrails.metrics}
        self._ratios = {
            rate: ratio.ratios(guardrail.margin)
            for rate, guardrail in zip(RATES, rate_guardrails(rollout.spec.guardrails), strict=True)
        }
        self._servers = dict(evidence.servers)
        self._more: dict[int, _Counted] = {}
        self._more_in_stage: dict[int, _Counted] = {}
        self._latency = dict(evidence.latency)
        self._logs = {rate: dict(evidence.log_likelihoods.get(rate, {})) for rate in RATES}
        self._pairs, self._stage_pairs = evidence.pairs, evidence.stage_pairs
        self._metrics = {name: dict(of_name) for name, of_name in evidence.metrics.items()}
        self._unusable: set[str] = set()
        self._is_news = False

    def take(self, window: ServerWindow) -> None:
        """Take in what one server says."""
        before = self._servers.get(window.server)
        if before is not None and window.segment < before.segment:
            return
        if before is None:
            before = Consumed(window.segment, self._at)
        elif window.segment > before.segment:
            # Calls that were not weighed met another split than those to come.
            before = Consumed(window.segment, self._at, metrics=before.metrics, late=before.late)
        arms = {
            number: highest(before.arms.get(number, NO_CALLS), arm)
            for number, arm in window.arms.items()
            if number in self._numbers
        }
        more = {number: grown(before.arms.get(number, NO_CALLS), arm) for number, arm in arms.items()}
        # A version that still warms up, or is kept from calls, may have nothing counted but a run of failures.
        heard = {
            number: arm for number, arm in more.items() if arm.exposures > 0 or self._is_news_of(before, number, arm)
        }
        more = {number: arm for number, arm in more.items() if arm.exposures > 0}
        after = dataclasses.replace(
            before,
            arms={**before.arms, **arms},
            pairs=self._with_pairs(before.pairs, window),
            metrics=self._with_metrics(before.metrics, window),
            blocks=self._weighed(before.blocks, more, window.segment),
            late=self._with_late(before.late, heard),
            tripped=frozenset() if window.has_left else window.tripped,
        )
        self._count(more, window.segment)
        self._keep(window.server, after)

    def evidence(self) -> Evidence:
        """All that is known now."""
        unusable = frozenset(self._unusable)
        if not self._is_news and unusable == self._known.unusable:
            return self._known
        return dataclasses.replace(
            self._known,
            servers=self._remembered(),
            arms=_with_counts(self._known.arms, self._more),
            stage_arms=_with_counts(self._known.stage_arms, self._more_in_stage),
            latency=self._latency,
            log_likelihoods=self._logs,
            pairs=self._pairs,
            stage_pairs=self._stage_pairs,
            metrics=self._metrics,
            unusable=unusable,
        )

    def _keep(self, server: str, after: Consumed) -> None:
        if after == self._servers.get(server) and self._at - after.seen_at < _FORGOTTEN_AFTER_S / 4:
            return
        self._servers[server] = dataclasses.replace(after, seen_at=self._at)
        self._is_news = True

    def _remembered(self) -> Mapping[str, Consumed]:
        alive = {
            name: server for name, server in self._servers.items() if self._at - server.seen_at <= _FORGOTTEN_AFTER_S
        }
        newest = sorted(alive, key=lambda name: alive[name].seen_at)[-_MOST_SERVERS:]
        return {name: alive[name] for name in newest}

    def _count(self, more: Mapping[int, ArmWindow], segment: int) -> None:
        knows_slow = self._knows_slow(segment)
        for number, arm in more.items():
            self._more.setdefault(number, _Counted()).add(arm, knows_slow=knows_slow)
            if segment >= self._known.stage_segment:
                self._more_in_stage.setdefault(number, _Counted()).add(arm, knows_slow=knows_slow)
            self._latency[number] = latencies(operator.add, self._latency.get(number, ()), arm.latency)

    def _knows_slow(self, segment: int) -> bool:
        return self._known.slow_segment is not None and segment >= self._known.slow_segment

    def _weighed(self, blocks: Mapping[int, Block], more: Mapping[int, ArmWindow], segment: int) -> Mapping[int, Block]:
        """What is still to be weighed of each candidate; what is complete has moved its likelihoods."""
        if not more:
            return blocks
        left = {}
        for candidate in self._candidates:
            block = blocks.get(candidate, Block())
            block = block.with_calls(more.get(candidate, NO_CALLS), more.get(self._known.baseline, NO_CALLS))
            if ratio.ends(block.candidate, block.baseline):
                self._weigh(candidate, block, segment)
            else:
                left[candidate] = block
        return left

    def _weigh(self, candidate: int, block: Block, segment: int) -> None:
        share = block.candidate / (block.candidate + block.baseline)
        for rate, of_candidate, of_both in zip(RATES, block.candidate_failures, block.failures, strict=True):
            if of_both and (rate != LATENCY or self._knows_slow(segment)):
                step = ratio.block_step(self._ratios[rate], of_candidate, of_both, share)
                before = self._logs[rate].get(candidate)
                self._logs[rate][candidate] = tuple((step if before is None else np.add(before, step)).tolist())

    @staticmethod
    def _is_news_of(before: Consumed, number: int, arm: ArmWindow) -> bool:
        known = before.late.get(number)
        return arm.run != (0 if known is None else known.run)

    def _with_late(self, late: Mapping[int, Late], more: Mapping[int, ArmWindow]) -> Mapping[int, Late]:
        newer = {
            number: late.get(number, Late(self._at, self._at)).with_calls(arm, self._at) for number, arm in more.items()
        }
        return {**late, **newer}

    def _with_pairs(self, before: PairWindow, window: ServerWindow) -> PairWindow:
        after = pairs(max, before, window.pairs)
        if after != before:
            more = pairs(operator.sub, after, before)
            self._pairs = pairs(operator.add, self._pairs, more)
            if window.segment >= self._known.stage_segment:
                self._stage_pairs = pairs(operator.add, self._stage_pairs, more)
        return after

    def _with_metrics(
        self, before: Mapping[str, Mapping[int, MetricWindow]], window: ServerWindow
    ) -> Mapping[str, Mapping[int, MetricWindow]]:
        after = {name: dict(of_name) for name, of_name in before.items()}
        for name in self._metrics_of_spec & window.metrics.keys():
            for number, reported in window.metrics[name].items():
                taken = after.get(name, {}).get(number, MetricWindow())
                if not math.isfinite(reported.total):
                    self._unusable.add(name)
                elif number in self._numbers and reported.count > taken.count:
                    sums = self._metrics.setdefault(name, {})
                    known = sums.get(number, MetricWindow())
                    sums[number] = MetricWindow(
                        known.count + reported.count - taken.count, known.total + reported.total - taken.total
                    )
                    after.setdefault(name, {})[number] = reported
        return after


class _Counted:
    """Calls of one arm, of all servers, that a look has found."""

    def __init__(self) -> None:
        self._calls = 0
        self._trials = [0] * len(RATES)
        self._failures = [0] * len(RATES)

    def add(self, arm: ArmWindow, *, knows_slow: bool) -> None:
        """Count those of one server; the slow ones among those of which it is known what slow means."""
        self._calls += arm.exposures
        for place, (rate, failures) in enumerate(zip(RATES, failures_of(arm), strict=True)):
            if rate != LATENCY or knows_slow:
                self._trials[place] += trials_of(arm)
                self._failures[place] += failures

    def added_to(self, totals: ArmTotals) -> ArmTotals:
        """Totals with this look."""
        tallies = zip(totals.tallies, self._trials, self._failures, strict=True)
        return ArmTotals(
            totals.calls + self._calls, tuple(tally.with_look(trials, failed) for tally, trials, failed in tallies)
        )


def _with_counts(totals: Mapping[int, ArmTotals], more: Mapping[int, _Counted]) -> Mapping[int, ArmTotals]:
    added = {number: counted.added_to(totals.get(number, ArmTotals())) for number, counted in more.items()}
    return {**totals, **added}
