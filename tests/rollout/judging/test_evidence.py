"""What is remembered of a rollout, and that everything is counted once."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import DataLost
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow
from serinus.rollout.judging.evidence import Evidence, evidence_document, evidence_of, fold
from serinus.rollout.judging.statistics import ratio
from serinus.rollout.judging.tallies import ArmTotals, Tally
from serinus.rollout.rollout import Judged, Measured
from tests.support.rollouts import PASS, begun, played, prepared_at
from tests.support.server_windows import calls, known, says

CANARY = {"canary": {"weight": 5}}, {"canary": {"weight": 100}}
METRIC = {"metrics": [{"name": "clicks", "higher_is": "better"}]}


def test_a_look_counts_the_calls_of_each_arm():
    """Calls, and what was wrong with those that are judged."""
    rollout = prepared_at(0.0, *CANARY)
    evidence = known(rollout, says(rollout, {1: calls(95, errors=1), 2: ArmWindow(10, 2, trials=5)}))
    assert evidence.stage_arms == {
        1: ArmTotals(95, (Tally(95, 1, 1, 1 / 95), Tally(), Tally(95, 0, 1, 0.0))),
        2: ArmTotals(10, (Tally(5, 2, 1, 0.4), Tally(), Tally(5, 0, 1, 0.0))),
    }
    assert evidence.arms == evidence.stage_arms


def test_the_same_window_twice_changes_nothing():
    """The very same evidence comes back."""
    rollout = prepared_at(0.0, *CANARY)
    window = says(rollout, {1: calls(95), 2: calls(5, errors=1)})
    evidence = known(rollout, window)
    assert fold(evidence, rollout, [window], 1.0) is evidence
    assert fold(evidence, rollout, [], 2.0) is evidence


def test_counts_never_go_back():
    """A reading that is older than the last changes nothing."""
    rollout = prepared_at(0.0, *CANARY)
    newer = says(rollout, {1: calls(100), 2: calls(10, errors=2)})
    older = says(rollout, {1: calls(50), 2: calls(9, errors=1)})
    assert known(rollout, newer, older, newer).arms == known(rollout, newer).arms


def test_a_server_that_was_started_again_is_another_one():
    """Its counts begin at zero, and are added."""
    rollout = prepared_at(0.0, *CANARY)
    evidence = known(rollout, says(rollout, {2: calls(7)}), says(rollout, {2: calls(3)}, server="two"))
    assert evidence.arms[2].calls == 10


def test_a_run_of_failures_is_known_before_anything_is_counted():
    """As of a version that never gets warm; saying it again is no news, and a good call ends it."""
    rollout = prepared_at(0.0, *CANARY)
    failing = says(rollout, {2: ArmWindow(run=5)})
    evidence = known(rollout, failing)
    (late,) = (server.late[2] for server in evidence.servers.values())
    assert (late.run, late.rate, evidence.arms) == (5, 1.0, {})
    assert fold(evidence, rollout, (failing,), 1.0) is evidence
    (late,) = (
        server.late[2] for server in fold(evidence, rollout, (says(rollout, {2: ArmWindow()}),), 1.0).servers.values()
    )
    assert (late.run, late.rate) == (0, 0.0)


def test_a_window_of_another_rollout_is_passed_over():
    """As are versions that are none of the rollout's."""
    rollout = prepared_at(0.0, *CANARY)
    other = says(rollout, {2: calls(7)}, rollout="another")
    assert known(rollout, other, says(rollout, {9: calls(7)})).arms == {}


def test_a_stage_begins_to_count_anew_and_remembers_what_it_learned():
    """Totals of the stage are empty, likelihoods and totals of the rollout stay."""
    rollout = prepared_at(0.0, *CANARY)
    evidence = known(rollout, says(rollout, {1: calls(95, errors=1), 2: calls(5, errors=1)}))
    after = played(rollout, Judged(100.0, PASS))
    later = fold(evidence, after, (), 100.0)
    assert (later.stage, later.stage_segment, later.stage_arms) == (1, after.segment, {})
    assert (later.arms, later.log_likelihoods) == (evidence.arms, evidence.log_likelihoods)


def test_a_late_window_of_the_stage_before_counts_for_the_rollout_alone():
    """A server that follows late still says what it saw."""
    rollout = prepared_at(0.0, *CANARY)
    evidence = known(rollout, says(rollout, {2: calls(5)}))
    after = played(rollout, Judged(100.0, PASS))
    late = fold(evidence, after, [says(rollout, {2: calls(8)})], 100.0)
    assert (late.arms[2].calls, late.stage_arms) == (8, {})
    new = fold(late, after, [says(after, {2: calls(2)})], 101.0)
    assert (new.arms[2].calls, new.stage_arms[2].calls) == (10, 2)
    assert fold(new, after, [says(rollout, {2: calls(9)})], 102.0) is new


def test_a_block_is_weighed_when_both_arms_have_calls():
    """Failures wait until there is something to compare them with."""
    rollout = prepared_at(0.0, *CANARY)
    alone = says(rollout, {1: calls(10, errors=1)})
    assert known(rollout, alone).log_likelihoods["errors"] == {}
    evidence = known(rollout, alone, says(rollout, {1: calls(15, errors=1), 2: calls(5, errors=1)}))
    step = ratio.block_step(ratio.ratios(0.5), 1, 2, 5 / 20)
    assert evidence.log_likelihoods == {"errors": {2: tuple(step)}, "latency": {}, "invalid": {}}


def test_servers_are_weighed_each_by_itself():
    """One that fails and one that has no candidate are not mixed up."""
    rollout = prepared_at(0.0, *CANARY)
    failing = says(rollout, {1: calls(90, errors=9), 2: calls(10, errors=1)})
    without = says(rollout, {1: calls(900)}, server="two")
    step = ratio.block_step(ratio.ratios(0.5), 1, 10, 0.1)
    assert known(rollout, [failing, without]).log_likelihoods["errors"] == {2: tuple(step)}


def test_slow_calls_count_once_it_is_known_what_slow_means():
    """Calls of the segments before are none of the trials."""
    rollout = prepared_at(0.0, *CANARY)
    evidence = known(rollout, says(rollout, {1: calls(1000), 2: calls(50)}))
    measured = played(rollout, Measured(5.0, 0.2))
    evidence = fold(evidence, measured, [says(measured, {1: calls(95, slow=1), 2: calls(5, slow=2)})], 6.0)
    assert evidence.stage_arms[2].of("latency") == Tally(5, 2, 1, 0.4)
    assert evidence.stage_arms[2].of("errors").trials == 55
    assert evidence.log_likelihoods["latency"] == {2: tuple(ratio.block_step(ratio.ratios(0.5), 2, 3, 0.05))}


def test_what_stable_did_while_the_candidate_was_loaded_is_kept():
    """For a switch of all calls at once there is nothing else to compare with."""
    before = begun({"blue_green": {}})
    evidence = known(before, says(before, {1: calls(400, errors=2)}))
    assert (evidence.stage, evidence.arms[1].calls) == (-1, 400)
    rollout = prepared_at(0.0, {"blue_green": {}})
    assert fold(evidence, rollout, (), 1.0).stage_arms == {}


def test_pairs_are_counted_for_the_stage_and_for_the_rollout():
    """Cumulative like everything else."""
    rollout = prepared_at(0.0, {"shadow": {}}, *CANARY)
    one, two = PairWindow(10, 1, 1, 0, 0.5, 1.0), PairWindow(30, 2, 1, 5, 1.5, 3.0)
    evidence = known(rollout, says(rollout, pairs=one), says(rollout, pairs=two), says(rollout, pairs=one))
    assert (evidence.pairs, evidence.stage_pairs) == (two, two)
    after = fold(evidence, played(rollout, Judged(100.0, PASS)), (), 100.0)
    assert (after.pairs, after.stage_pairs) == (two, PairWindow())


def test_metrics_go_on_through_segments():
    """They are cumulative since the rollout began."""
    rollout = prepared_at(0.0, *CANARY, guardrails=METRIC)
    first = says(rollout, metrics={"clicks": {2: MetricWindow(4, 1.0)}, "other": {2: MetricWindow(4, 1.0)}})
    after = played(rollout, Judged(100.0, PASS))
    second = says(after, metrics={"clicks": {2: MetricWindow(6, 2.0), 1: MetricWindow(1, 1.0)}})
    evidence = fold(known(rollout, first), after, [second], 100.0)
    assert evidence.metrics == {"clicks": {2: MetricWindow(6, 2.0), 1: MetricWindow(1, 1.0)}}


@pytest.mark.parametrize("total", [math.nan, math.inf])
def test_a_sum_that_is_no_number_is_said_and_not_added(total):
    """It would never go away again."""
    rollout = prepared_at(0.0, *CANARY, guardrails=METRIC)
    good = says(rollout, metrics={"clicks": {2: MetricWindow(4, 1.0)}})
    bad = says(rollout, metrics={"clicks": {2: MetricWindow(5, total)}}, server="two")
    evidence = known(rollout, [good, bad])
    assert (evidence.metrics, evidence.unusable) == ({"clicks": {2: MetricWindow(4, 1.0)}}, {"clicks"})
    assert fold(evidence, rollout, [good], 1.0).unusable == frozenset()


def test_servers_that_are_gone_for_long_are_forgotten():
    """What they counted stays."""
    rollout = prepared_at(0.0, *CANARY)
    evidence = known(rollout, says(rollout, {2: calls(5)}))
    later = fold(evidence, rollout, [says(rollout, {2: calls(1)}, server="two")], 4000.0)
    assert (set(later.servers), later.arms[2].calls) == ({"two"}, 6)


def test_the_pace_of_late_fades():
    """Calls of late, a second, of all servers."""
    rollout = prepared_at(0.0, *CANARY)
    windows = [[says(rollout, {2: calls(20 * second)}, server=name) for name in "ab"] for second in range(1, 60)]
    evidence = known(rollout, *windows)
    assert evidence.calls_per_second(2, 58.0) == pytest.approx(40, rel=0.1)
    assert evidence.calls_per_second(2, 118.0) < 0.2
    assert evidence.calls_per_second(1, 58.0) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(0, 20), st.booleans()), max_size=30),
    st.randoms(use_true_random=False),
)
def test_however_often_windows_are_read_each_call_counts_once(steps, random):
    """Readings may be missed, repeated and out of order, as long as the last one comes."""
    rollout = prepared_at(0.0, *CANARY)
    sums: dict[str, tuple[int, int]] = {}
    read = []
    for server, mine, others, is_read in steps:
        candidate, baseline = sums.get(server, (0, 0))
        sums[server] = candidate + mine, baseline + others
        if is_read:
            read.append(says(rollout, {2: calls(sums[server][0]), 1: calls(sums[server][1])}, server=server))
    random.shuffle(read)
    last = [says(rollout, {2: calls(mine), 1: calls(others)}, server=name) for name, (mine, others) in sums.items()]
    evidence = known(rollout, *read, last, *read)
    counted = {number: totals.calls for number, totals in evidence.arms.items()}
    expected = {1: sum(others for _, others in sums.values()), 2: sum(mine for mine, _ in sums.values())}
    assert counted == {number: count for number, count in expected.items() if count}


def test_a_document_reads_as_it_was_written():
    """As JSON, with everything in it."""
    rollout = prepared_at(0.0, {"shadow": {}}, *CANARY, guardrails=METRIC)
    window = says(
        rollout,
        {1: calls(95, 1, 2, 0, latency=(0, 3, 4)), 2: calls(5, 1, 0, 1, run=2)},
        pairs=PairWindow(3, 1, 0, 0, 0.25, 0.5),
        metrics={"clicks": {2: MetricWindow(4, 1.0)}},
    )
    evidence = known(rollout, window)
    text = json.dumps(evidence_document(evidence), allow_nan=False)
    assert evidence_of(json.loads(text)) == evidence


def test_a_document_of_another_format_is_begun_again():
    """Counting starts over, which is never wrong, only late."""
    assert evidence_of({"format": 0, "evidence": {}}) == Evidence()


def test_a_document_that_nobody_wrote_is_refused():
    """It is not taken for evidence."""
    document = evidence_document(Evidence())
    with pytest.raises(DataLost):
        evidence_of({**document, "evidence": {"servers": [1, 2]}})


def test_restarting_between_any_two_looks_changes_nothing():
    """What was saved goes on as if it had never been away."""
    rng, rollout = np.random.default_rng(1), prepared_at(0.0, *CANARY)
    sums = np.zeros(4, int)
    through = saved = Evidence()
    for second in range(20):
        sums += rng.poisson((9, 1, 0.5, 0.5))
        window = says(rollout, {1: calls(int(sums[0]), int(sums[2])), 2: calls(int(sums[1]), int(sums[3]))})
        through = fold(through, rollout, [window], float(second))
        saved = fold(evidence_of(json.loads(json.dumps(evidence_document(saved)))), rollout, [window], float(second))
    assert saved == through


def test_several_candidates_are_each_compared_with_stable():
    """Calls of the other arms are no part of a comparison."""
    test = {"ab": {"arms": [{"version": "1.1.0", "weight": 20}, {"version": "1.2.0", "weight": 30}]}}
    rollout = prepared_at(0.0, test)
    evidence = known(rollout, says(rollout, {1: calls(50, 1), 2: calls(20, 1), 3: calls(30, 9)}))
    steps = {
        number: ratio.block_step(ratio.ratios(0.5), x, x + 1, n / (50 + n)) for number, x, n in ((2, 1, 20), (3, 9, 30))
    }
    assert evidence.log_likelihoods["errors"] == {number: tuple(step) for number, step in steps.items()}


def test_a_split_that_changes_discards_what_was_not_weighed():
    """Calls that met another split are no part of a block."""
    rollout = prepared_at(0.0, *CANARY)
    evidence = known(rollout, says(rollout, {1: calls(10, errors=5)}))
    after = dataclasses.replace(rollout, segment=rollout.segment + 1)
    evidence = fold(evidence, after, [says(after, {1: calls(5), 2: calls(5, errors=1)})], 1.0)
    assert evidence.log_likelihoods["errors"] == {2: tuple(ratio.block_step(ratio.ratios(0.5), 1, 1, 0.5))}
