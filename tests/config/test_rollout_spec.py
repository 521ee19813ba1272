import json

import pytest
from hypothesis import given, settings

from serinus.config.errors import ConfigError
from serinus.config.rollout_spec import (
    LONGEST_SPEC_BYTES,
    AbArm,
    AbStage,
    ApprovalStage,
    BlueGreenStage,
    CanaryStage,
    DisagreementGuardrail,
    Guardrails,
    InvalidGuardrail,
    LatencyGuardrail,
    MetricGuardrail,
    RateGuardrail,
    RolloutSpec,
    RuleSpec,
    ShadowStage,
    Stage,
    dump_rollout_spec,
    parse_rollout_spec,
    weight_of,
)
from serinus.core.traffic import Likeness, Measure
from tests.support.rollout_strategies import specs

EVERYTHING = """\
model: fraud
candidate: 1.2.0
stages:
- shadow: {percent: 12.5, min_pairs: 50, min_s: 5, max_s: 60, measure: cosine, cosine: 0.99, timeout_s: 2}
- approval: {note: "look at the dashboard", max_s: 3600}
- canary: {weight: 0.07, min_requests: 20, min_s: 0, max_s: 900}
- blue_green: {min_requests: 0, keep_s: 60, max_s: 120}
guardrails:
  alpha: 0.02
  errors: {share: 1, margin: 0.2, ceiling: null}
  latency: {limit_s: 0.25}
  invalid: {enabled: no, ranges: {y: [0, 1e2]}}
  disagreement: {limit: 0.01}
  metrics: [{name: clicks, higher_is: better, lowest: -1, highest: 5, margin: 0.5, limit: 2, required: false}]
  consecutive: 7
on_inconclusive: rollback
rescue: false
rules: [{attribute: cohort, values: [beta, "1"]}, {attribute: country, values: [ch], version: stable}]
warm_up_requests: 3
force: true
"""
WHOLE_PLAN = "stages: [{canary: {weight: 100}}]"
TEST = "{ab: {arms: [{version: 1.1.0, weight: 20}, {version: 1.2.0, weight: 30}]}}"


def refusal(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        parse_rollout_spec(text)
    return refused.value.problems


def test_everything_that_can_be_said_is_read():
    """Each key of a plan reaches the value that stands for it."""
    assert parse_rollout_spec(EVERYTHING) == RolloutSpec(
        model="fraud",
        candidate="1.2.0",
        stages=(
            Stage(
                shadow=ShadowStage(
                    percent=12.5, min_pairs=50, min_s=5, max_s=60, measure=Measure.COSINE, cosine=0.99, timeout_s=2
                )
            ),
            Stage(approval=ApprovalStage(note="look at the dashboard", max_s=3600)),
            Stage(canary=CanaryStage(weight=0.07, min_requests=20, min_s=0, max_s=900)),
            Stage(blue_green=BlueGreenStage(min_requests=0, keep_s=60, max_s=120)),
        ),
        guardrails=Guardrails(
            alpha=0.02,
            errors=RateGuardrail(share=1, margin=0.2, ceiling=None),
            latency=LatencyGuardrail(limit_s=0.25),
            invalid=InvalidGuardrail(enabled=False, ranges={"y": (0, 100)}),
            disagreement=DisagreementGuardrail(limit=0.01),
            metrics=(
                MetricGuardrail(
                    name="clicks", higher_is="better", lowest=-1, highest=5, margin=0.5, limit=2, required=False
                ),
            ),
            consecutive=7,
        ),
        on_inconclusive="rollback",
        rescue=False,
        rules=(
            RuleSpec(attribute="cohort", values=("beta", "1")),
            RuleSpec(attribute="country", values=("ch",), version="stable"),
        ),
        warm_up_requests=3,
        force=True,
    )


def test_a_candidate_alone_goes_through_the_default_plan():
    """Shadow, then 5, 10, 50 and 100 percent; what is unclear waits for a person."""
    spec = parse_rollout_spec("{model: m, candidate: latest}")
    assert [(stage.kind, stage.shortest_s, stage.longest_s) for stage in spec.stages] == [
        ("shadow", 30, 86_400),
        *[("canary", 60, 86_400)] * 4,
    ]
    assert [stage.canary.weight for stage in spec.stages if stage.canary] == [5, 10, 50, 100]
    assert (spec.on_inconclusive, spec.rescue, spec.guardrails) == ("hold", True, Guardrails())
    assert dump_rollout_spec(spec) == "model: m\ncandidate: latest\n"


def test_json_is_read_as_yaml_is():
    """Whoever writes a plan by a program need not write YAML."""
    spec = parse_rollout_spec(EVERYTHING)
    assert parse_rollout_spec(json.dumps(spec.model_dump(mode="json"))) == spec


def test_a_stage_without_more_to_say_has_its_defaults():
    """`- approval:` is a whole stage."""
    spec = parse_rollout_spec("model: m\ncandidate: 1.1.0\nstages:\n- shadow:\n- approval:\n")
    assert spec.stages == (Stage(shadow=ShadowStage()), Stage(approval=ApprovalStage()))
    assert spec.is_trial
    assert [(stage.shortest_s, stage.longest_s) for stage in spec.stages] == [(30, 86_400), (0, None)]


def test_an_ab_test_names_its_versions_itself():
    """Its minima and its end come from the stage; rules may name its arms."""
    spec = parse_rollout_spec(f"{{model: m, stages: [{TEST}], rules: [{{attribute: a, values: [b], version: 1.2.0}}]}}")
    test = AbStage(arms=(AbArm(version="1.1.0", weight=20), AbArm(version="1.2.0", weight=30)))
    assert spec.stages == (Stage(ab=test),)
    assert (spec.stages[0].shortest_s, spec.stages[0].longest_s) == (3600, 14 * 86_400)
    assert not spec.is_trial


def test_a_switch_is_watched_as_long_as_its_old_version_is_kept():
    """`keep_s` is the least time of a blue_green stage."""
    assert Stage(blue_green=BlueGreenStage(keep_s=7)).shortest_s == 7


def test_likeness_is_what_the_shadow_stage_says():
    """The words of the spec become the value that comparisons take."""
    stage = ShadowStage(measure=Measure.CLASS, absolute=1, relative=2, cosine=0.5)
    assert stage.likeness == Likeness(Measure.CLASS, absolute=1, relative=2, cosine=0.5)


def test_every_hundredth_of_a_percent_can_be_said():
    """Whatever binary fractions make of 0.07 or 32.39."""
    weights = [CanaryStage(weight=hundredths / 100).weight for hundredths in range(1, 10_001)]
    assert [weight_of(weight) for weight in weights] == list(range(1, 10_001))


@settings(deadline=None)
@given(specs())
def test_a_spec_comes_back_as_it_was(spec):
    """As YAML with its defaults left out, and as the JSON that a journal keeps."""
    text = dump_rollout_spec(spec)
    assert parse_rollout_spec(text) == spec
    assert dump_rollout_spec(parse_rollout_spec(text)) == text
    assert RolloutSpec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


def test_a_text_that_would_pass_for_something_else_comes_back_as_text():
    """YAML has many ways to misread a note."""
    for note in ["null", "no", "~", "1.10", "2026-01-01", "# a", "é ü", "'", '"', "a: b"]:
        spec = RolloutSpec(model="m", candidate="1", stages=(Stage(approval=ApprovalStage(note=note)),))
        assert parse_rollout_spec(dump_rollout_spec(spec)) == spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "expected keys with values, such as 'model' and 'candidate'"),
        ("", "expected keys with values, such as 'model' and 'candidate'"),
        ("a: [", "cannot be read as YAML at line 2, column 1"),
        ("#" * (LONGEST_SPEC_BYTES + 1), f"expected at most 65536 bytes of YAML, got {LONGEST_SPEC_BYTES + 1}"),
        ("candidate: 1.1.0", "model: expected text, got nothing"),
        ("model: m", "candidate: expected a version other than stable, got ''"),
        ("{model: m, candidate: stable}", "candidate: expected a version other than stable, got 'stable'"),
        ("{model: m, candidate: 1.1.0, stage: []}", "stage: unknown key, did you mean 'stages'?"),
        (
            "{model: m, candidate: 1.1.0, stages: []}",
            "stages: expected at least one, got none",
        ),
        (
            "{model: m, candidate: 1.1.0, on_inconclusive: guess}",
            "on_inconclusive: expected one of 'hold', 'rollback', got 'guess'",
        ),
        (
            "{model: m, candidate: 1.1.0, warm_up_requests: -1}",
            "warm_up_requests: expected a whole number from 0 to 10000, got '-1'",
        ),
    ],
)
def test_what_is_no_spec_is_refused_by_its_key(text, problem):
    """One sentence that names the key, what may stand there, and what was given."""
    assert refusal(text) == (problem,)


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        ("[{}]", "stages[0].shadow: expected exactly one of shadow, canary, approval, blue_green, ab, got none"),
        (
            "[{shadow: {}, canary: {weight: 5}}]",
            "stages[0].canary: expected exactly one of shadow, canary, approval, blue_green, ab, got shadow, canary",
        ),
        ("[{canary: }]", "stages[0].canary.weight: expected a number above 0 and at most 100, got nothing"),
        ("[{canary: {weight: 0}}]", "stages[0].canary.weight: expected a number above 0 and at most 100, got '0'"),
        (
            "[{canary: {weight: 100.01}}]",
            "stages[0].canary.weight: expected a number above 0 and at most 100, got '100.01'",
        ),
        ("[{canary: {weight: 0.005}}]", "stages[0].canary.weight: expected steps of 0.01 percent, got 0.005"),
        (
            "[{canary: {weight: 100, min_s: 60, max_s: 30}}]",
            "stages[0].canary.max_s: expected at least 60, before which the stage cannot pass, got 30",
        ),
        (
            "[{blue_green: {keep_s: 60, max_s: 30}}]",
            "stages[0].blue_green.max_s: expected at least 60, before which the stage cannot pass, got 30",
        ),
        (
            "[{shadow: {measure: guess}}]",
            "stages[0].shadow.measure: expected one of 'values', 'cosine', 'class', got 'guess'",
        ),
        ("[{canary: {weight: 5}}]", "stages: expected the last weight to be 100, or a blue_green stage"),
        ("[{canary: {weight: 5}}, {approval: }]", "stages: expected the last weight to be 100, or a blue_green stage"),
        (
            "[{canary: {weight: 50}}, {canary: {weight: 5}}]",
            "stages: expected canary weights that never fall, got 50.0, 5.0",
        ),
        ("[{blue_green: {}}, {canary: {weight: 100}}]", "stages: expected nothing behind a blue_green stage"),
        (
            "[{canary: {weight: 100}}, {shadow: }]",
            "stages: expected no shadow stage behind a weight of 100, which leaves no calls to compare",
        ),
        (f"[{TEST}, {{approval: }}]", "stages: expected an ab stage to be the only one, got ab, approval"),
        (f"[{TEST}]", "candidate: expected nothing beside an ab stage, got '1.1.0'"),
    ],
)
def test_stages_that_cannot_be_meant_are_refused(stages, problem):
    """Alone and together."""
    assert refusal(f"{{model: m, candidate: 1.1.0, stages: {stages}}}") == (problem,)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("arms: []", "stages[0].ab.arms: expected at least one, got none"),
        (
            "arms: [{version: 1.1.0, weight: 60}, {version: 1.2.0, weight: 60}]",
            "stages[0].ab.arms: expected weights of at most 100 percent together, got 120",
        ),
        (
            "arms: [{version: 1.1.0, weight: 1}, {version: 1.1.0, weight: 2}]",
            "stages[0].ab.arms: expected each version once, and not stable, got 1.1.0, 1.1.0",
        ),
        (
            "arms: [{version: stable, weight: 1}]",
            "stages[0].ab.arms: expected each version once, and not stable, got stable",
        ),
        (
            "arms: [{version: 1.1.0, weight: 1}], metric: clicks",
            "stages[0].ab.metric: expected one of errors, latency, got 'clicks'",
        ),
        (
            "arms: [{version: 1.1.0, weight: 1}], winner: all",
            "stages[0].ab.winner: expected one of 'none', 'best', got 'all'",
        ),
    ],
)
def test_a_test_that_cannot_be_meant_is_refused(said, problem):
    """Arms, what they are compared by, and who may win."""
    assert refusal(f"{{model: m, stages: [{{ab: {{{said}}}}}]}}") == (problem,)


@pytest.mark.parametrize(
    ("guardrails", "problem"),
    [
        ("{alpha: 0.9}", "guardrails.alpha: expected a number above 0 and at most 0.5, got '0.9'"),
        ("{errors: {ceiling: 1}}", "guardrails.errors.ceiling: expected a number above 0 and below 1, got '1'"),
        ("{invalid: {ranges: {y: [2, 1]}}}", "guardrails.invalid.ranges.y: expected at least the lowest, 2, got 1"),
        ("{consecutive: 1}", "guardrails.consecutive: expected a whole number from 2 to 10000, got '1'"),
        (
            "{metrics: [{name: errors, higher_is: worse}]}",
            "guardrails.metrics: expected names of their own, each once, got errors",
        ),
        (
            "{metrics: [{name: a, higher_is: worse, lowest: 1}]}",
            "guardrails.metrics[0].highest: expected more than lowest = 1, got 1",
        ),
        (
            "{metrics: [{name: a, higher_is: worse, limit: 2}]}",
            "guardrails.metrics[0].limit: expected from 0 to 1, got 2",
        ),
        ("{metrics: [{name: a}]}", "guardrails.metrics[0].higher_is: expected one of 'better', 'worse', got nothing"),
        (
            "{errors: {enabled: no}, latency: {enabled: no}, invalid: {enabled: no}}",
            "guardrails: expected errors, latency, invalid or a metric to be enabled, got none of them",
        ),
    ],
)
def test_guardrails_that_cannot_be_meant_are_refused(guardrails, problem):
    """Limits out of range, and a plan that nothing could fail."""
    assert refusal(f"{{model: m, candidate: 1.1.0, {WHOLE_PLAN}, guardrails: {guardrails}}}") == (problem,)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            "candidate: 1.1.0, guardrails: {disagreement: {enabled: no}}",
            "guardrails.disagreement.enabled: expected true in a plan with a shadow stage, got false",
        ),
        (
            "candidate: 1.1.0, stages: [{shadow: }], rules: [{attribute: a, values: [b]}]",
            "rules: expected none in a plan whose candidate answers no calls",
        ),
        (
            "candidate: 1.1.0, rules: [{attribute: a, values: [b], version: 1.3.0}]",
            "rules[0].version: expected one of candidate, stable, got '1.3.0'",
        ),
        (
            f"stages: [{TEST}], rules: [{{attribute: a, values: [b]}}]",
            "rules[0].version: expected one of 1.1.0, 1.2.0, stable, got 'candidate'",
        ),
        (
            f"stages: [{TEST}], on_inconclusive: rollback",
            "on_inconclusive: expected 'hold': when an A/B test ends without a winner, a person decides",
        ),
    ],
)
def test_parts_that_contradict_each_other_are_refused(said, problem):
    """What would be ignored is not accepted."""
    assert refusal(f"{{model: m, {said}}}") == (problem,)


def test_all_problems_are_said_at_once():
    """Whoever mends a plan mends it once."""
    assert refusal("{model: M, candidate: 1.1.0, stages: [{canary: {weight: x}}], rescue: 5}") == (
        "model: invalid model name 'M': expected [a-z0-9][a-z0-9._-]{0,127} without '..'",
        "stages[0].canary.weight: expected a number above 0 and at most 100, got 'x'",
        "rescue: expected true or false, got '5'",
    )
