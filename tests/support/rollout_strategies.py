"""Everything that an operator can write about a rollout, and everything that can happen to one, as strategies."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from serinus.config.rollout_spec import RolloutSpec
from serinus.rollout import rollout as events
from serinus.rollout.rollout import Check, Event, Outcome, Rollout, Verdict
from tests.support.rollouts import FAIL, INCONCLUSIVE, PASS

lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
percents = st.integers(1, 10_000).map(lambda weight: weight / 100)
_counts = st.integers(1, 1000)
# Short times, so that stages end while somebody still plays.
_timed = {"min_s": st.floats(0, 20), "max_s": st.floats(20, 60)}


def _stage(
    kind: str, said: Mapping[str, st.SearchStrategy[Any]], **more: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict(said), optional=more).map(lambda fields: {kind: fields})


_shadows = _stage(
    "shadow",
    _timed,
    percent=percents,
    min_pairs=_counts,
    measure=st.sampled_from(["values", "cosine", "class"]),
    absolute=st.floats(0, 9),
    cosine=st.floats(-1, 1),
    timeout_s=st.floats(0.1, 9),
)
_approvals = _stage("approval", {}, note=lines, max_s=st.none() | st.floats(0, 60))
_switches = _stage("blue_green", {"keep_s": st.floats(0, 20), "max_s": st.floats(20, 60)}, min_requests=_counts)


def _canary(weight: float) -> st.SearchStrategy[dict[str, Any]]:
    return _stage("canary", {"weight": st.just(weight), **_timed}, min_requests=_counts)


@st.composite
def _plans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Stages for one candidate: any comparing, weights that rise, and all calls or a switch at the end."""
    stages = draw(st.lists(st.one_of(_shadows, _approvals), max_size=2))
    ends = draw(st.sampled_from(["trial", "whole", "switch"]))
    if ends == "trial" and stages:
        return stages
    for weight in sorted(draw(st.lists(percents.filter(lambda percent: percent < 100), max_size=3))):
        stages += [draw(_canary(weight)), *draw(st.lists(st.one_of(_shadows, _approvals), max_size=1))]
    if ends == "switch":
        return [*stages, draw(_switches)]
    return [*stages, draw(_canary(100)), *draw(st.lists(_approvals, max_size=1))]


@st.composite
def _tests(draw: st.DrawFn) -> list[dict[str, Any]]:
    weights = draw(st.lists(st.integers(1, 3000), min_size=1, max_size=3))
    arms = [{"version": f"1.{arm + 1}.0", "weight": weight / 100} for arm, weight in enumerate(weights)]
    said = {"arms": st.just(arms), "metric": st.just("latency"), **_timed}
    return [draw(_stage("ab", said, winner=st.sampled_from(["none", "best"])))]


_rates = {"share": st.floats(1, 9), "margin": st.floats(0.1, 9), "ceiling": st.none() | st.floats(0.01, 0.9)}
_guardrails = st.fixed_dictionaries(
    {},
    optional={
        "alpha": st.floats(0.001, 0.5),
        "errors": st.fixed_dictionaries({}, optional={"enabled": st.booleans(), **_rates}),
        "latency": st.fixed_dictionaries({}, optional={"limit_s": st.none() | st.floats(0.001, 9), **_rates}),
        "invalid": st.fixed_dictionaries(
            {}, optional={"ranges": st.dictionaries(lines, st.tuples(st.floats(-9, 0), st.floats(0, 9)), max_size=2)}
        ),
        "disagreement": st.fixed_dictionaries({}, optional={"limit": st.floats(0.01, 0.9)}),
        "metrics": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.from_regex(r"[a-z]{1,5}_", fullmatch=True),
                    "higher_is": st.sampled_from(["better", "worse"]),
                },
                optional={"highest": st.floats(1, 9), "limit": st.none() | st.floats(0, 1), "required": st.booleans()},
            ),
            max_size=2,
            unique_by=lambda metric: metric["name"],
        ),
        "consecutive": st.none() | st.integers(2, 99),
    },
)


@st.composite
def specs(draw: st.DrawFn) -> RolloutSpec:
    """Everything that an operator can write."""
    is_test = draw(st.booleans())
    stages = draw(_tests() if is_test else _plans())
    document: dict[str, Any] = {
        "model": "m",
        "stages": stages,
        "guardrails": draw(_guardrails),
        "rescue": draw(st.booleans()),
        "warm_up_requests": draw(st.integers(0, 99)),
        "force": draw(st.booleans()),
    }
    if not is_test:
        document["candidate"] = draw(st.sampled_from(["1.1.0", "latest", "2", "^1.1"]))
        document["on_inconclusive"] = draw(st.sampled_from(["hold", "rollback"]))
    if any({"canary", "blue_green", "ab"} & stage.keys() for stage in stages):
        versions = ["stable", *([arm["version"] for arm in stages[0]["ab"]["arms"]] if is_test else ["candidate"])]
        document["rules"] = draw(
            st.lists(
                st.fixed_dictionaries(
                    {
                        "attribute": st.sampled_from(["cohort", "country"]),
                        "values": st.lists(lines, min_size=1, max_size=2),
                        "version": st.sampled_from(versions),
                    }
                ),
                max_size=2,
            )
        )
    return RolloutSpec.model_validate(document)


_numbers = st.none() | st.floats(allow_nan=False)
_checks = st.builds(
    Check,
    name=st.sampled_from(["errors", "latency", "clicks"]),
    version=st.integers(2, 4),
    e_value=st.floats(0, allow_nan=False),
    limit=st.floats(1, allow_nan=False),
    candidate=_numbers,
    baseline=_numbers,
    bound=_numbers,
    bound_limit=_numbers,
    sentence=lines,
)


def verdicts(*winners: int) -> st.SearchStrategy[Verdict]:
    """What a judge can say; none of `winners` may have won, or one of them."""
    return st.builds(
        Verdict,
        outcome=st.sampled_from(Outcome),
        reason=st.sampled_from(["all is well", "errors: 9 of 20 calls"]),
        checks=st.lists(_checks, max_size=2).map(tuple),
        winner=st.sampled_from([0, *winners]),
    )


Occurrence = Callable[[Rollout, float, int], Event]
"""What happens to a rollout at a moment; a number chooses among its versions, and none."""


def _version(rollout: Rollout, choice: int) -> int:
    numbers = [0, *(version.number for version in (*rollout.candidates, rollout.baseline)), 99]
    return numbers[choice % len(numbers)]


def _judged(verdict: Verdict) -> Occurrence:
    def judged(rollout: Rollout, at: float, choice: int) -> Event:
        winner = _version(rollout, choice)
        return events.Judged(at, dataclasses.replace(verdict, winner=0 if winner == 99 else winner))

    return judged


def _promoted(verdict: Verdict | None) -> Occurrence:
    return lambda rollout, at, choice: events.Promote(at, "bob", verdict, _version(rollout, choice))


PROGRESS: tuple[Occurrence, ...] = (
    lambda _rollout, at, _choice: events.Prepared(at),
    _judged(PASS),
    _judged(PASS),
    _judged(INCONCLUSIVE),
)
"""What moves most rollouts on."""
HAPPENINGS: tuple[Occurrence, ...] = (
    *PROGRESS,
    _judged(FAIL),
    lambda _rollout, at, choice: events.Measured(at, 0.1 + choice),
    lambda _rollout, at, _choice: events.ServerLost(at),
    lambda _rollout, at, _choice: events.Followed(at),
    lambda _rollout, at, _choice: events.Broken(at, "it is gone"),
)
"""What happens without anybody's doing."""
COMMANDS: tuple[Occurrence, ...] = (
    lambda _rollout, at, _choice: events.Pause(at, "bob"),
    lambda _rollout, at, _choice: events.Resume(at, "bob"),
    lambda _rollout, at, _choice: events.Abort(at, "bob", "a hunch"),
    lambda rollout, at, choice: events.ForcePromote(at, "bob", _version(rollout, choice)),
    *(_promoted(verdict) for verdict in (None, PASS, INCONCLUSIVE)),
)
"""What a person can ask for, sense or no sense."""


def histories(longest: int, *occurrences: Occurrence) -> st.SearchStrategy[list[tuple[Occurrence, float, int]]]:
    """What happens, after how many seconds each, and the number that chooses a version."""
    pauses = st.sampled_from([0.0, 1.0, 15.0, 30.0, 70.0])
    one = st.tuples(st.sampled_from(occurrences), pauses, st.integers(0, 4))
    return st.lists(one, min_size=longest // 2, max_size=longest)
