"""Splits and fallbacks as operators write them."""

import pytest

from serinus.cli.output import CommandFailed, ExitCode
from serinus.cli.traffic.texts import parse_arms, parse_rules, parse_targets, parse_triggers
from serinus_api.v1 import admin_pb2 as pb

RULE = "--rule: expected ATTRIBUTE=VALUE[,VALUE]:VERSION such as cohort=beta:1.1.0"


def test_arms_are_versions_with_percents():
    """With a sign or without one; 0 loads a version that nobody is sent to."""
    assert parse_arms(["1.1.0=5", "canary=0.01%", "1.2.0=0"]) == [
        pb.SplitArm(version="1.1.0", weight=5),
        pb.SplitArm(version="canary", weight=0.01),
        pb.SplitArm(version="1.2.0", weight=0),
    ]


def test_rules_are_conditions_with_versions():
    """A value may hold a colon."""
    assert parse_rules(["cohort=beta,gamma:1.1.0", "tenant=a:b:canary"]) == [
        pb.SplitRule(attribute="cohort", values=["beta", "gamma"], version="1.1.0"),
        pb.SplitRule(attribute="tenant", values=["a:b"], version="canary"),
    ]


def test_targets_are_versions_models_and_a_constant_at_the_end():
    """In the order in which they are tried."""
    assert parse_targets(["1.0.0", "other@stable"], '{"y": [0]}') == [
        pb.FallbackTarget(version="1.0.0"),
        pb.FallbackTarget(model="other@stable"),
        pb.FallbackTarget(constant_json='{"y": [0]}'),
    ]
    assert parse_targets([], "") == []


def test_triggers_are_names_between_commas():
    """None of them stands for all."""
    assert parse_triggers("error,timeout") == ["error", "timeout"]
    assert parse_triggers("") == []


@pytest.mark.parametrize(
    ("parse", "given", "sentence"),
    [
        (parse_arms, ["1.1.0"], "expected VERSION=PERCENT such as 1.1.0=5, got '1.1.0'"),
        (parse_arms, ["=5"], "expected VERSION=PERCENT such as 1.1.0=5, got '=5'"),
        (parse_arms, ["1.1.0=nan"], "expected VERSION=PERCENT such as 1.1.0=5, got '1.1.0=nan'"),
        (parse_arms, ["1.1.0=101"], "expected VERSION=PERCENT such as 1.1.0=5, got '1.1.0=101'"),
        (parse_arms, ["1.1.0=-1"], "expected VERSION=PERCENT such as 1.1.0=5, got '1.1.0=-1'"),
        (parse_arms, ["a=5", "a=6"], "a: expected each version once"),
        (parse_arms, ["a=60", "b=60"], "expected at most 100 percent together, got 120"),
        (parse_rules, ["beta:1.1.0"], f"{RULE}, got 'beta:1.1.0'"),
        (parse_rules, ["cohort=beta"], f"{RULE}, got 'cohort=beta'"),
        (parse_triggers, "error,rain", "--on: expected some of error, timeout, overload, invalid, breaker, got 'rain'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_usage_error(parse, given, sentence):
    """Which says how it is written."""
    with pytest.raises(CommandFailed) as failed:
        parse(given)
    assert (failed.value.sentences, failed.value.code) == ((sentence,), ExitCode.USAGE)


@pytest.mark.parametrize("text", ["[0]", "{", "0"])
def test_a_constant_is_an_object_by_output(text):
    """Nothing else says which output is meant."""
    with pytest.raises(CommandFailed) as failed:
        parse_targets([], text)
    assert failed.value.sentences[0].startswith("--constant: expected ")
