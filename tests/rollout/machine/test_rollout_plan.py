import pytest

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.errors import Refused
from serinus.core.version import ModelVersion, Version
from serinus.rollout.machine.plan import new_rollout, stage_text
from serinus.rollout.rollout import Rollout
from tests.support.rollouts import BASELINE, CANDIDATE, OTHER, TEST, begun


def started(document, *candidates: ModelVersion, slo_s: float | None = None) -> Rollout:
    """What begins when a spec says `document` and its selectors mean `candidates`."""
    spec = RolloutSpec.model_validate({"model": "m", **document})
    return new_rollout(spec, "r", baseline=BASELINE, candidates=candidates, salt="salt", at=5.0, by="ann", slo_s=slo_s)


def test_a_rollout_begins_by_being_prepared():
    """Nothing of it has happened yet."""
    rollout = started({"candidate": "latest"}, CANDIDATE)
    assert rollout == Rollout(
        id="r",
        spec=RolloutSpec(model="m", candidate="latest"),
        baseline=BASELINE,
        candidates=(CANDIDATE,),
        salt="salt",
        started_at=5.0,
        started_by="ann",
        reason="every server loads m@1.1.0 first",
    )
    assert (rollout.model, rollout.has_ended) == ("m", False)


@pytest.mark.parametrize(
    ("latency", "slo_s", "slow_s"),
    [({}, None, None), ({}, 0.3, 0.3), ({"limit_s": 0.2}, 0.3, 0.2), ({"limit_s": 0.2}, None, 0.2)],
)
def test_slow_is_what_the_spec_says_or_else_what_callers_were_promised(latency, slo_s, slow_s):
    """Without either, it is measured later."""
    rollout = started({"candidate": "1.1.0", "guardrails": {"latency": latency}}, CANDIDATE, slo_s=slo_s)
    assert rollout.slow_s == slow_s


def test_what_is_stable_cannot_be_rolled_out():
    """Whatever it was called."""
    with pytest.raises(Refused) as refused:
        started({"candidate": "latest"}, BASELINE)
    assert (refused.value.reason, refused.value.field) == ("ALREADY_STABLE", "candidate")
    assert refused.value.message == "'latest' is m@1.0.0, which is stable: name a version that is to take its place"


def test_two_arms_are_two_versions():
    """Two selectors may mean the same one."""
    with pytest.raises(Refused) as refused:
        started({"stages": [TEST]}, CANDIDATE, CANDIDATE)
    assert (refused.value.reason, refused.value.field) == ("SAME_VERSION", "stages")
    assert refused.value.message == "the arms are m@1.1.0, m@1.1.0: name each version once"


def test_the_arms_of_a_test_are_its_candidates():
    """In their order, which is not that of their versions."""
    other = ModelVersion("m", Version(0, 9, 0), 7)
    assert started({"stages": [TEST]}, OTHER, other).candidates == (OTHER, other)


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        ({"shadow": {}}, "shadow 10 %"),
        ({"shadow": {"percent": 0.5}}, "shadow 0.5 %"),
        ({"canary": {"weight": 5}}, "canary 5 %"),
        ({"canary": {"weight": 0.07}}, "canary 0.07 %"),
        ({"approval": {"note": "a note"}}, "approval"),
        ({"blue_green": {}}, "blue-green"),
        (TEST, "a/b 1.1.0 20 %, 1.2.0 30 %"),
    ],
)
def test_a_stage_is_named_in_a_few_words(stage, text):
    """As lists and sentences show it."""
    stages = [stage] if "canary" not in stage else [stage, {"canary": {"weight": 100}}]
    assert stage_text(begun(*stages).current) == text
