"""How the error probability that an operator grants a rollout is shared out among its checks."""

import math
from typing import Final

from serinus.rollout.judging.tallies import RATES, rate_guardrails
from serinus.rollout.rollout import Rollout

RUNS: Final = 0.01
"""Part of alpha for runs of failures: with alpha 1 % and a stable that rarely fails, five in a row are too many."""
_LARGEST_LOG: Final = 690.0  # of what a float holds


def check_alpha(rollout: Rollout, name: str) -> float:
    """Error probability of one check of one candidate: by the shares of all that are enabled, over all candidates."""
    guardrails = rollout.spec.guardrails
    of_rates = zip(RATES, rate_guardrails(guardrails), strict=True)
    shares = {rate: guardrail.share for rate, guardrail in of_rates if guardrail.enabled}
    shares |= {metric.name: metric.share for metric in guardrails.metrics}
    return guardrails.alpha * (1.0 - RUNS) * shares[name] / sum(shares.values()) / len(rollout.candidates)


def runs_alpha(rollout: Rollout) -> float:
    """Error probability of the rule against runs of failures, for one candidate."""
    return rollout.spec.guardrails.alpha * RUNS / len(rollout.candidates)


def stage_alpha(rollout: Rollout) -> float:
    """Error probability of what is limited by itself and not against stable, in one stage."""
    return rollout.spec.guardrails.alpha / sum(stage.kind == rollout.current.kind for stage in rollout.spec.stages)


def e_value(log_evidence: float) -> float:
    """Evidence of which the logarithm is known, as large as it can be told."""
    return math.exp(min(log_evidence, _LARGEST_LOG))
