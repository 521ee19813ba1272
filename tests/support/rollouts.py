"""Rollouts in one line each."""

import dataclasses
from typing import Any

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.version import ModelVersion, Version
from serinus.rollout import rollout as events
from serinus.rollout.machine.machine import advance
from serinus.rollout.machine.plan import new_rollout
from serinus.rollout.rollout import Event, Outcome, Rollout, Verdict

BASELINE = ModelVersion("m", Version(1, 0, 0), 1)
CANDIDATE = ModelVersion("m", Version(1, 1, 0), 2)
OTHER = ModelVersion("m", Version(1, 2, 0), 3)
"""The second arm of an A/B test."""

PASS = Verdict(Outcome.PASS, "all is well")
FAIL = Verdict(Outcome.FAIL, "errors: 9 of 20 calls")
INCONCLUSIVE = Verdict(Outcome.INCONCLUSIVE, "20 of 500 calls so far")

TEST = {"ab": {"arms": [{"version": "1.1.0", "weight": 20}, {"version": "1.2.0", "weight": 30}], "min_s": 60}}
"""The stage of an A/B test."""


def prepared_at(at: float, *stages: dict[str, Any], **said: Any) -> Rollout:
    """A rollout that began at 0 s and was prepared at `at`; its stages, and all else of the spec, as YAML has them."""
    return advance(begun(*stages, **said), events.Prepared(at))


def begun(*stages: dict[str, Any], **said: Any) -> Rollout:
    """A rollout that is being prepared."""
    is_test = bool(stages) and "ab" in stages[0]
    document = {"model": "m", **({} if is_test else {"candidate": "1.1.0"}), **({"stages": stages} if stages else {})}
    return begun_as(RolloutSpec.model_validate(document | said))


def begun_as(spec: RolloutSpec) -> Rollout:
    """The same for a whole spec."""
    test = spec.stages[0].ab
    arms = 1 if test is None else len(test.arms)
    candidates = [ModelVersion("m", Version(1, arm + 1, 0), arm + 2) for arm in range(arms)]
    return new_rollout(spec, "r", baseline=BASELINE, candidates=candidates, salt="salt", at=0.0, by="ann")


def played(rollout: Rollout, *what: Event) -> Rollout:
    """The rollout after several events."""
    for event in what:
        rollout = advance(rollout, event)
    return rollout


def check_advance(before: Rollout, event: Event, **changes: Any) -> None:
    """After `event`, exactly `changes` are other than before; without any, it is the same object."""
    after = advance(before, event)
    assert after == dataclasses.replace(before, **changes)
    if not changes:
        assert after is before
