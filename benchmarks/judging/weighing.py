"""The test of failures against stable, for many rollouts at once: the functions of the server, on arrays."""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from serinus.rollout.judging.statistics import ratio

from .looks import Counts, Look

_MARGIN = 0.5


class Weighing:
    """Blocks and likelihoods of so many rollouts.

    Args:
        runs: Rollouts.
        servers: On how many each runs; calls of one server are compared with each other alone.
        weight: Taken for the candidate's share of all calls, whatever it was; None to look at the calls, as servers do.

    Attributes:
        exposed: Calls of the candidate so far, by rollout.
        evidence: Logarithm of the evidence that it is worse, by rollout.
    """

    def __init__(self, runs: int, servers: int = 1, weight: float | None = None) -> None:
        self._weight = weight
        self._ratios = ratio.ratios(_MARGIN)
        self._logs = np.zeros((runs, len(self._ratios)))
        self._blocks = np.zeros((servers, 4, runs), np.int64)
        self.exposed: Counts = np.zeros(runs, np.int64)
        self.evidence: npt.NDArray[np.float64] = np.zeros(runs)

    def take(self, look: Look, server: int = 0) -> None:
        """Weigh what a look at a server has found, as far as its block is complete."""
        self.exposed += look.candidate
        block = self._blocks[server]
        block += (look.candidate, look.baseline, look.candidate_failures, look.baseline_failures)
        candidate, baseline, mine, others = block
        ended = ratio.ends(candidate, baseline) if self._weight is None else candidate + baseline > 0
        some = np.flatnonzero(ended & (mine + others > 0))
        if len(some):
            met = candidate[some] / (candidate[some] + baseline[some])
            share = met if self._weight is None else np.full(len(some), self._weight)
            self._logs[some] += ratio.block_step(self._ratios, mine[some], mine[some] + others[some], share)
            self.evidence[some] = ratio.log_evidence_of_worse(self._logs[some])
        block[:, ended] = 0


def alarms(looks: Iterable[Look], runs: int, alpha: float, servers: int = 1) -> int:
    """In how many of the rollouts the evidence ever reached 1 / alpha; servers take turns with their looks."""
    weighing, alarmed = Weighing(runs, servers), np.zeros(runs, bool)
    for place, look in enumerate(looks):
        weighing.take(look, place % servers)
        alarmed |= weighing.evidence >= math.log(1 / alpha)
    return int(alarmed.sum())


def exposed_until_alarm(looks: Iterable[Look], runs: int, alpha: float, weight: float | None = None) -> Counts:
    """Calls that the candidate had got when the evidence reached 1 / alpha, by rollout; -1 if it never did."""
    weighing, found = Weighing(runs, weight=weight), np.full(runs, -1, np.int64)
    for look in looks:
        weighing.take(look)
        is_new = (found < 0) & (weighing.evidence >= math.log(1 / alpha))
        found[is_new] = weighing.exposed[is_new]
        if (found >= 0).all():
            break
    return found
