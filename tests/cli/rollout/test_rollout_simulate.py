"""`serinus rollout simulate`: what it plays, what it prints, and what it refuses."""

import json

import pytest

from serinus.cli.output import console
from serinus.cli.rollout.simulate import show
from serinus.rollout.simulation.values import Simulated

PLAN = """
stages:
- canary: {weight: 20, min_requests: 100, min_s: 10}
- canary: {weight: 100, min_requests: 100, min_s: 10}
"""


@pytest.fixture
def plan(tmp_path):
    """A file with a short plan, of whatever model."""
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    return file


def test_a_candidate_that_errs_is_rolled_back(serinus, plan):
    """And the same seed plays the same runs."""
    flags = ("rollout", "simulate", "-f", plan, "--candidate-errors", "0.5", "--runs", "5", "--seed", "7", "--json")
    out = serinus(*flags)
    found = json.loads(out.out)
    assert (out.code, out.err) == (0, "")
    assert (found["runs"], found["rate"], found["seed"]) == (5, 50.0, 7)
    assert found["outcomes"]["rolled_back"]["share"] == 1.0
    assert set(found["failed_by"]) <= {"errors", "consecutive"}
    assert found["candidate"] == {
        "error_rate": 0.5, "slow_rate": 0.01, "invalid_rate": 0.0, "disagreement_rate": 0.0, "metric_means": {},
    }  # fmt: skip
    assert serinus(*flags) == out


def test_a_simulation_for_people_begins_with_the_plan(serinus, plan):
    """Then how it ends, whom it exposes and for how long."""
    lines = serinus("rollout", "simulate", "-f", plan, "--runs", "3").out.splitlines()
    assert lines[:2] == ["canary 20 % → canary 100 %", "3 runs at 50.0 calls/s, seed 0"]
    assert [line.split("  ")[0] for line in lines[3:7]] == ["OUTCOME", "succeeded", "rolled back", "waiting"]


def test_every_number_of_a_simulation_is_printed(capsys):
    """Probabilities with what they may as well be."""
    outcomes = {"succeeded": (0.25, 0.2, 0.31), "rolled_back": (0.75, 0.69, 0.8), "waiting": (0.0, 0.0, 0.018)}
    failed_by = {"errors": 0.9, "latency": 0.1}
    show(Simulated(200, outcomes, 1234, 5678, 61.0, 4800.0, failed_by), console())
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "",
        "OUTCOME      PROBABILITY  95 % INTERVAL",
        "succeeded           25 %   20 % to 31 %  ███████▌······················",
        "rolled back         75 %   69 % to 80 %  ██████████████████████▌·······",
        "waiting              0 %   0 % to 1.8 %  ······························",
        "",
        "                        HALF OF THE RUNS  NINE OF TEN",
        "calls exposed, at most             1,234        5,678",
        "time, at most                  1 min 1 s   1 h 20 min",
        "",
        "FAILED BY  OF THE FAILURES",
        "errors                90 %  ███████████████████████████···",
        "latency               10 %  ███···························",
    ]


def test_a_test_of_several_arms_names_its_own_candidates(serinus, tmp_path):
    """None is added to a plan that has none."""
    file = tmp_path / "ab.yaml"
    file.write_text("stages: [{ab: {arms: [{version: 1.1.0, weight: 50}], min_s: 1, max_s: 60}}]\n")
    out = serinus("rollout", "simulate", "-f", file, "--runs", "1", "--json")
    assert (out.code, json.loads(out.out)["outcomes"]["succeeded"]["share"]) == (0, 0.0)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--baseline-metric", "ctr=0.1"), "--baseline-metric: the plan has no metrics, got 'ctr'"),
        (("--candidate-metric", "ctr"), "--candidate-metric: expected NAME=VALUE, got 'ctr'"),
    ],
)
def test_a_metric_that_the_plan_does_not_know_is_a_usage_error(serinus, plan, flags, sentence):
    """Nobody would look at it."""
    assert serinus("rollout", "simulate", "-f", plan, *flags) == (2, "", f"error: {sentence}\n")


def test_assumptions_about_metrics_reach_the_judge(serinus, tmp_path):
    """The candidate's are stable's where nothing else is said."""
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN + "guardrails: {metrics: [{name: ctr, higher_is: better, margin: 0.1}]}\n")
    flags = ("rollout", "simulate", "-f", file, "--baseline-metric", "ctr=0.9", "--runs", "2", "--json")
    assert json.loads(serinus(*flags).out)["candidate"]["metric_means"] == {"ctr": 0.9}
    worse = json.loads(serinus(*flags, "--candidate-metric", "ctr=0.1").out)
    assert worse["failed_by"] == {"ctr": 1.0}
    assert serinus(*flags, "--candidate-metric", "ctr=high").code == 2
