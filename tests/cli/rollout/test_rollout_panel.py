"""The picture of a rollout: every word of it, and what is shown where something is missing."""

import math

import pytest
from rich.console import Console

from serinus.cli.rollout.gauges import evidence_share, gauge, shares_bar
from serinus.cli.rollout.minima import Minimum, longest_s, minima
from serinus.cli.rollout.panel import rollout_panel
from serinus.cli.rollout.words import count_of, odds
from serinus_api.v1 import admin_pb2 as pb
from tests.support.rollout_messages import STARTED_S, check, ended, rollout

NOW = STARTED_S + 90.0
SINCE = "calls since the rollout began: 1.0.0 has got 12,000, 1.1.0 has got 415; slow is what takes longer than 20.0 ms"


def _lines(message: pb.Rollout, *, width: int = 130, now: float = NOW) -> list[str]:
    console = Console(width=width, highlight=False, file=None, color_system=None)
    with console.capture() as capture:
        console.print(rollout_panel(message, now))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_canary_is_shown_with_plan_weights_versions_and_evidence():
    """Everything that a person asks about it, in the order of asking."""
    assert _lines(rollout()) == [
        "magika 1.0.0 → 1.1.0  RUNNING  for 1 min 30 s  rollout r-1",
        "",
        "✓ shadow 10 % → ▶ canary 5 % → canary 10 % → canary 50 % → canary 100 %",
        "█████████▉·· calls 412 of 500  █████████··· time 45 s of 1 min  at most 1 d",
        "",
        "█" * 38 + "▓▓  █ 1.0.0 95 %  ▓ 1.1.0 5 %",
        "   VERSION  RATE  CALLS       ERRORS         SLOW     INVALID      P50      P99",
        "█  1.0.0    47.5  7,830    8 (0.1 %)  71 (0.91 %)           0  1.20 ms  19.0 ms",
        "▓  1.1.0    2.50    412  23 (5.58 %)   4 (0.97 %)  1 (0.24 %)  1.10 ms  25.0 ms",
        SINCE,
        "",
        "CHECK    EVIDENCE              ODDS  LIMIT  BOUND  MUST BE    N",
        "errors   █████████████▌······    41    250    3.2    ≤ 1.5  412  inconclusive",
        "latency  ····················   0.2    250    1.4    ≤ 1.5  412  pass",
        "INCONCLUSIVE  it waits for",
        "  · 412 of 500 calls of magika@1.1.0",
    ]


def test_a_shadow_counts_pairs():
    """Nobody gets the candidate's answers, so its calls are none."""
    pairs = pb.PairStatus(pairs=150, disagreements=3, errors=1, dropped=20)
    lines = _lines(rollout(stage=0, pairs=pairs, verdict=None, waits_for=[]))
    assert lines[2] == "▶ shadow 10 % → canary 5 % → canary 10 % → canary 50 % → canary 100 %"
    assert lines[3] == "█████████··· pairs 150 of 200  ████████████ time 45 s of 30 s  at most 1 d"
    assert lines[9] == (
        "mirrored: 150 pairs, 3 (2 %) answered differently, 1 (0.67 %) failed by the candidate, "
        "20 dropped for lack of room"
    )


def test_a_rollout_that_was_taken_back_shows_where():
    """The reason stands under the heading, and no clock runs."""
    lines = _lines(ended(pb.ROLLOUT_STATUS_ROLLED_BACK, reason="errors: 23 of 412 calls"), now=NOW + 1e6)
    assert lines[:5] == [
        "magika 1.0.0 → 1.1.0  ROLLED BACK  after 5 min  rollout r-1",
        "errors: 23 of 412 calls",
        "",
        "✓ shadow 10 % → ✗ canary 5 % → canary 10 % → canary 50 % → canary 100 %",
        "",
    ]


def test_a_rollout_that_succeeded_has_all_its_stages_behind_it():
    """The last one as well."""
    assert _lines(ended(stage=4))[2] == "✓ shadow 10 % → ✓ canary 5 % → ✓ canary 10 % → ✓ canary 50 % → ✓ canary 100 %"


def test_a_rollout_that_is_prepared_has_no_clock_yet():
    """It waits for loads."""
    lines = _lines(rollout(status=pb.ROLLOUT_STATUS_PREPARING, stage=0, stage_began_at=None, arms=[], verdict=None))
    assert lines[3] == "It begins once every server has loaded the candidate"
    assert lines[4:] == []


def test_a_paused_rollout_says_that_its_clock_stands():
    """What is counted is counted on."""
    assert (
        _lines(rollout(status=pb.ROLLOUT_STATUS_PAUSED))[3] == "█████████▉·· calls 412 of 500  the clock stands still"
    )


def test_a_plan_of_another_version_of_the_program_costs_the_minima_only():
    """What the server's words mean here may not be known."""
    assert _lines(rollout(spec_yaml="model: magika\nfuture: 1\n"))[3] == ""


def test_several_candidates_have_a_line_each_and_a_shade_each():
    """Of an A/B test; checks then say which they are about."""
    spec = "model: m\nstages: [{ab: {arms: [{version: 1.1.0, weight: 20}, {version: 1.2.0, weight: 20}]}}]\n"
    arms = [
        pb.ArmStatus(version=version, weight=weight, exposures=calls, metric_means=means, metric_counts=counts)
        for version, weight, calls, means, counts in (
            ("1.0.0", 60, 3000, {}, {}),
            ("1.1.0", 20, 990, {"clicks": 0.125}, {"clicks": 400}),
            ("1.2.0", 20, 0, {}, {}),
        )
    ]
    verdict = pb.RolloutVerdict(
        outcome=pb.OUTCOME_PASS, reason="It is decided", winner="1.1.0",
        checks=[check("clicks", pb.OUTCOME_PASS, candidate=0.125, baseline=None, bound=None, bound_limit=None),
                check(version="1.2.0", candidate=None, baseline=None, count=0)],
    )  # fmt: skip
    lines = _lines(
        rollout(
            candidates=["1.1.0", "1.2.0"],
            stage=0,
            stages=["a/b"],
            spec_yaml=spec,
            arms=arms,
            verdict=verdict,
            waits_for=[],
        )
    )
    assert lines[3].startswith("············ calls of each version 0 of 1,000  ")
    assert lines[5] == "█" * 24 + "▓" * 8 + "▒" * 8 + "  █ 1.0.0 60 %  ▓ 1.1.0 20 %  ▒ 1.2.0 20 %"
    assert [line.split()[-2:] for line in lines[7:10]] == [["-", "-"], ["0.125", "(400)"], ["-", "-"]]
    assert [line[:14] for line in lines[13:15]] == ["clicks 1.1.0  ", "errors 1.2.0  "]
    assert lines[15] == "PASS  It is decided; 1.1.0 is better than all others"


def test_a_verdict_that_waits_for_much_says_how_much():
    """The first things are shown."""
    waits = [f"{calls} of 500 calls" for calls in range(12)]
    lines = _lines(rollout(waits_for=waits))
    assert lines[-9:] == [*(f"  · {sentence}" for sentence in waits[:8]), "  · and 4 things more"]
    assert _lines(rollout(waits_for=[]))[-1] == "INCONCLUSIVE  errors are not decided yet"


def test_a_stages_reason_takes_one_line():
    """What failed is told in full."""
    long = "canary 5 % has begun: " + "shadow 10 % has passed " * 9
    assert _lines(rollout(reason=long), width=80)[1].endswith("…")
    assert _lines(rollout(reason=long), width=80)[2] == ""
    text = " ".join(_lines(ended(pb.ROLLOUT_STATUS_ROLLED_BACK, reason=long), width=80)[1:5])
    assert text.split() == [*long.split()]


def test_what_others_wrote_steers_no_terminal():
    """A reason or a note may hold anything."""
    text = "\n".join(_lines(rollout(reason="\x1b[31mred[bold]", waits_for=["\x1b]0;x\x07"])))
    assert "\x1b" not in text
    assert r"\x1b[31mred[bold]" in text


def test_a_terminal_of_80_columns_has_room_for_all_numbers():
    """That is how wide they open."""
    lines = _lines(rollout(), width=80)
    assert lines[6:9] == [
        "   VERSION  RATE  CALLS       ERRORS         SLOW     INVALID      P50      P99",
        "█  1.0.0    47.5  7,830    8 (0.1 %)  71 (0.91 %)           0  1.20 ms  19.0 ms",
        "▓  1.1.0    2.50    412  23 (5.58 %)   4 (0.97 %)  1 (0.24 %)  1.10 ms  25.0 ms",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("e_value", "limit", "share"),
    [
        (1.0, 250.0, 0.0), (0.01, 250.0, 0.0), (250.0, 250.0, 1.0), (1e9, 250.0, 1.0), (math.inf, 250.0, 1.0),
        (math.nan, 250.0, 0.0), (10.0, 100.0, 0.5), (5.0, 0.0, 0.0), (5.0, 1.0, 0.0), (5.0, math.nan, 0.0),
    ],
)  # fmt: skip
def test_evidence_is_drawn_on_the_scale_that_it_grows_on(e_value, limit, share):
    """Each failure adds about as much as the one before; none and too much have their ends."""
    assert evidence_share(e_value, limit) == pytest.approx(share)


@pytest.mark.parametrize("share", [-1.0, 0.0, 1e-9, 0.3, 0.999, 1.0, 7.0, math.nan])
def test_a_gauge_is_as_wide_as_it_was_told_to_be(share):
    """Whatever it shows."""
    assert len(gauge(share, 20)) == 20


@pytest.mark.parametrize(
    "weights", [[100, 0], [99.99, 0.01], [0, 100], [60, 20, 20], [33.3] * 3, [1] * 16, [96, 1, 1, 1, 1]]
)
def test_every_version_with_calls_is_visible_in_the_bar_of_shares(weights):
    """However few; and the bar stays as wide."""
    text = shares_bar(weights, 60)
    assert len(text) == 60
    assert len(text.spans) == sum(weight > 0 for weight in weights)
    assert shares_bar([0, 0], 60).plain == ""


def test_numbers_read_as_people_read_them():
    """Evidence as odds, counts with their share."""
    assert [odds(value) for value in (0.2, 1, 41.2, 4120, 3.1e9, math.inf, math.nan)] == [
        "0.2", "1", "41", "4,120", "10^9", "∞", "-"
    ]  # fmt: skip
    assert [count_of(*pair) for pair in ((0, 0), (0, 9), (1, 3), (1, 1_000_000))] == [
        "-",
        "0",
        "1 (33.33 %)",
        "1 (0.0001 %)",
    ]


STAGES = {
    "shadow: {min_pairs: 100, min_s: 90}": (
        [Minimum(0.0, "pairs 0 of 100"), Minimum(0.5, "time 45 s of 1 min 30 s")], 86_400.0
    ),
    "canary: {weight: 100, min_requests: 206, min_s: 0}": (
        [Minimum(1.0, "calls 412 of 206"), Minimum(1.0, "time 45 s of 0 s")], 86_400.0
    ),
    "blue_green: {min_requests: 0, keep_s: 180}": (
        [Minimum(1.0, "calls 412 of 0"), Minimum(0.25, "time 45 s of 3 min")], 86_400.0
    ),
    "approval: {}": ([], None),
}  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_each_kind_of_stage_has_its_own_minima(stage):
    """And its own end."""
    expected, longest = STAGES[stage]
    last = "" if "100" in stage or "blue_green" in stage else ", {canary: {weight: 100}}"
    message = rollout(stage=0, spec_yaml=f"model: m\ncandidate: 1.1.0\nstages: [{{{stage}}}{last}]\n")
    assert list(minima(message, NOW)) == expected
    assert longest_s(message) == longest
