"""That what is decided about calls comes back from a database as it was, or not at all."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.traffic import (
    NO_TRAFFIC,
    WHOLE,
    Arm,
    Constant,
    FallbackPolicy,
    Likeness,
    Measure,
    MirrorPlan,
    Observation,
    OtherVersion,
    Rule,
    Traffic,
    TrafficSplit,
    Trigger,
)
from serinus.core.version import ModelVersion, Version
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow, ServerWindow
from serinus.registry.sql.audit import canonical_json
from serinus.registry.sql.traffic_documents import readable_traffic, traffic_document, traffic_of
from serinus.registry.sql.window_documents import window_document, window_of
from tests.support.rollout_changes import NEW, OLD, split_of

VERSIONS = {number: ModelVersion("m", Version(number), number) for number in range(1, 6)}

versions = st.sampled_from(list(VERSIONS.values()))
finite = st.floats(allow_nan=False, allow_infinity=False)
ranges = st.dictionaries(st.text(max_size=5), st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)))
counts = st.integers(0, 2**53)
values: st.SearchStrategy[object] = st.recursive(
    st.booleans() | st.integers() | finite | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@st.composite
def splits(draw: st.DrawFn) -> TrafficSplit:
    """Any that can be made."""
    bounds = sorted(draw(st.lists(st.integers(0, WHOLE), max_size=3)))
    weights = [high - low for low, high in zip([0, *bounds], [*bounds, WHOLE], strict=True)]
    likeness = st.builds(Likeness, st.sampled_from(Measure), finite, finite, finite)
    observation = st.builds(Observation, st.text(max_size=9), counts, st.none() | finite, counts, ranges)
    return TrafficSplit(
        salt=draw(st.text(max_size=9)),
        arms=tuple(Arm(draw(versions), weight) for weight in weights),
        rules=tuple(draw(st.lists(st.builds(Rule, st.text(), st.frozensets(st.text()), versions), max_size=2))),
        mirror=draw(st.none() | st.builds(MirrorPlan, versions, st.integers(0, WHOLE), likeness, finite)),
        observation=draw(st.none() | observation),
        rescue=draw(st.booleans()),
    )


targets = st.builds(OtherVersion, st.text(max_size=5), st.text(max_size=5)) | st.builds(
    Constant, st.dictionaries(st.text(max_size=5), values, max_size=2)
)
policies = st.builds(
    FallbackPolicy,
    st.lists(targets, max_size=4).map(tuple),
    st.frozensets(st.sampled_from(Trigger)),
    st.none() | finite,
    finite,
    ranges,
)
decided = st.builds(
    Traffic,
    st.none() | splits(),
    st.none() | policies,
    st.text(max_size=5),
    st.lists(versions, max_size=2).map(tuple),
    counts,
)


@given(decided)
def test_traffic_comes_back_as_it_was(traffic: Traffic):
    """Whatever was decided, through the text that databases and files keep."""
    assert traffic_of(json.loads(canonical_json(traffic_document(traffic))), VERSIONS) == traffic


def test_nothing_decided_is_nothing_written():
    """As for the models of an older program."""
    assert (traffic_document(NO_TRAFFIC), traffic_of({}, VERSIONS)) == ({}, NO_TRAFFIC)


def test_a_range_may_be_open():
    """JSON has no infinities."""
    policy = FallbackPolicy((Constant({}),), ranges={"y": (0, math.inf)})
    document = traffic_document(Traffic(fallback=policy))
    assert document["fallback"]["ranges"] == {"y": [0, "inf"]}
    assert traffic_of(document, VERSIONS).fallback == policy


WRITTEN = json.loads(canonical_json(traffic_document(Traffic(split_of(500), None, "r1", (OLD, NEW)))))


@pytest.mark.parametrize(
    "spoilt",
    [
        {"split": {}},
        {**WRITTEN, "kept": [9]},
        {**WRITTEN, "split": {**WRITTEN["split"], "arms": [[9, WHOLE]]}},
        {**WRITTEN, "split": {**WRITTEN["split"], "arms": []}},
        {**WRITTEN, "split": {**WRITTEN["split"], "arms": [[2, 500], [1, 500]]}},
        {**WRITTEN, "split": {**WRITTEN["split"], "arms": [[2, -500], [1, WHOLE + 500]]}},
        {**WRITTEN, "split": {**WRITTEN["split"], "arms": [[2, "much"], [1, 0]]}},
        {**WRITTEN, "split": {**WRITTEN["split"], "rules": {"attribute": "a"}}},
        {**WRITTEN, "fallback": {"targets": [], "triggers": ["whim"]}},
        [WRITTEN],
        "text",
    ],
)
def test_a_model_whose_traffic_cannot_be_read_serves_without_it(spoilt, caplog):
    """The log says so, and the newest words of another program harm nobody."""
    assert readable_traffic("m", spoilt, VERSIONS) == NO_TRAFFIC
    assert "traffic left out" in caplog.text


arms = st.builds(ArmWindow, counts, counts, counts, counts, counts, st.lists(counts, max_size=3).map(tuple))
numbers = st.integers(1, 2**31 - 1)
windows = st.builds(
    ServerWindow,
    st.just("r1"),
    st.just("s1"),
    counts,
    counts,
    counts,
    st.frozensets(numbers),
    st.dictionaries(numbers, st.text()),
    st.dictionaries(numbers, arms),
    st.builds(PairWindow, counts, counts, counts, counts, finite, finite),
    st.dictionaries(st.text(), st.dictionaries(numbers, st.builds(MetricWindow, counts, finite))),
    st.frozensets(numbers),
    st.booleans(),
)


@given(windows)
def test_a_window_comes_back_as_it_was(window: ServerWindow):
    """Whatever a server has counted."""
    assert window_of("r1", "s1", json.loads(canonical_json(window_document(window)))) == window
