"""Judges runs of failures on one server, which need no rate: nothing good comes any more."""

import dataclasses
from collections.abc import Iterator
from typing import Final

from serinus.core.version import ModelVersion
from serinus.rollout.judging.alphas import runs_alpha
from serinus.rollout.judging.evidence import Evidence
from serinus.rollout.judging.statistics.runs import run_limit
from serinus.rollout.judging.tallies import ERRORS, INVALID, ArmTotals, Late
from serinus.rollout.judging.wording import whole
from serinus.rollout.rollout import Check, Outcome, Rollout

CONSECUTIVE: Final = "consecutive"
"""Name of the check."""

_NO_CALLS: Final = Late(since=0.0, at=0.0)
_FAR_WORSE: Final = 2.0  # an outage that has just begun fails both arms alike, however little of it was seen yet
_PATIENCE_ALONE: Final = 20
"""Where stable gets no calls, nobody knows whether it is healthy: an outage of half of all calls must not count."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    """Failures in a row on one server.

    Attributes:
        length: How many.
        limit: So many are too many.
        is_alone: Stable is healthy there.
    """

    length: int
    limit: int
    is_alone: bool

    @property
    def nearness(self) -> tuple[bool, float]:
        """Sorts runs: those of the candidate alone are worse, then those nearer to their limit."""
        return self.is_alone, self.length / self.limit


def run_check(evidence: Evidence, rollout: Rollout, candidate: ModelVersion, *, has_control: bool) -> Check:
    """The longest run of failures that a candidate has now, on the server where that says most.

    Args:
        evidence: All that was counted.
        rollout: Where it stands.
        candidate: Which.
        has_control: Whether stable gets calls too.
    """
    patience = 1 if has_control else _PATIENCE_ALONE
    none = _Run(0, patience * _limit(rollout, _usual(evidence)), is_alone=True)
    run = max(_runs(evidence, rollout, candidate, patience), key=lambda each: each.nearness, default=none)
    alpha = runs_alpha(rollout)
    text = f"{whole(run.length)} calls in a row have failed, {whole(run.limit)} are too many"
    tripped = sum(candidate.number in server.tripped for server in evidence.servers.values())
    if run.length < run.limit and tripped:
        # Failures that it is kept from are missing in every rate.
        outcome, text = Outcome.INCONCLUSIVE, f"{text}; breakers of {whole(tripped)} servers keep calls from it"
    elif run.length < run.limit:
        outcome = Outcome.PASS
    elif run.is_alone:
        outcome = Outcome.FAIL
    else:
        outcome, text = Outcome.INCONCLUSIVE, f"{whole(run.length)} calls in a row have failed, but stable fails too"
    # As far towards the limit as the run is; what is not the candidate's fault is no evidence.
    part = run.length / run.limit if run.length < run.limit else 0.0
    return Check(
        name=CONSECUTIVE,
        version=candidate.number,
        outcome=outcome,
        e_value=1.0 / alpha if outcome is Outcome.FAIL else alpha**-part,
        limit=1.0 / alpha,
        candidate=None,
        baseline=None,
        bound=float(run.length),
        bound_limit=float(run.limit - 1),
        count=evidence.stage_arms.get(candidate.number, ArmTotals()).calls,
        sentence=f"{CONSECUTIVE}: {text}",
    )


def _runs(evidence: Evidence, rollout: Rollout, candidate: ModelVersion, patience: int) -> Iterator[_Run]:
    for server in evidence.servers.values():
        late = server.late.get(candidate.number, _NO_CALLS)
        if late.run:
            stable = server.late.get(evidence.baseline, _NO_CALLS)
            rate = max(stable.rate, _usual(evidence))
            limit = patience * _limit(rollout, rate)
            yield _Run(late.run, limit, is_alone=stable.run < limit and late.rate > _FAR_WORSE * rate)


def _usual(evidence: Evidence) -> float:
    """Share of stable's calls that failed since the rollout began; 0.0 without calls."""
    stable = evidence.arms.get(evidence.baseline, ArmTotals())
    return (stable.of(ERRORS).rate or 0.0) + (stable.of(INVALID).rate or 0.0)


def _limit(rollout: Rollout, rate: float) -> int:
    given = rollout.spec.guardrails.consecutive
    return run_limit(runs_alpha(rollout), rate) if given is None else given
