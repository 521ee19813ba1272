"""What is done next, and in which order."""

import pytest

from serinus.config.models import VersionSpec
from serinus.core.errors import DataLost, ModelRejected, ServerError, StoreFull, StoreUnavailable
from serinus.lifecycle.policy import (
    LONGEST_RETRY_S,
    Action,
    Cancel,
    Failure,
    Load,
    Point,
    Snapshot,
    Unload,
    failed,
    next_actions,
    next_retry_s,
)
from tests.lifecycle.plans import plan_of, spec_of, version

V1, V2, V3 = spec_of("1.0.0"), spec_of("2.0.0"), spec_of("3.0.0")
OTHER_V1 = spec_of("1.0.0", reject_nonfinite=True)
BAD = Failure(ModelRejected("bad"), 1, None)
AWAY = Failure(StoreUnavailable("away"), 1, 10.0)


def aliases(**texts: str) -> dict[str, object]:
    return {alias: version(text) for alias, text in texts.items()}


def ids(*specs: VersionSpec) -> frozenset[int]:
    return frozenset(spec.identity.number for spec in specs)


def no(*specs: VersionSpec) -> dict[int, Failure]:
    return {spec.identity.number: BAD for spec in specs}


@pytest.mark.parametrize(
    ("snapshot", "actions"),
    [
        pytest.param(Snapshot(plan_of()), [], id="nothing wanted, nothing there"),
        pytest.param(Snapshot(plan_of("1.0.0")), [Load(V1)], id="wanted, not there"),
        pytest.param(Snapshot(plan_of("1.0.0"), loading=(V1,)), [], id="on its way"),
        pytest.param(Snapshot(plan_of("1.0.0"), ready=(V1,)), [], id="there"),
        pytest.param(Snapshot(plan_of("2.0.0"), ready=(V1,)), [Load(V2)], id="the last one stays until another is"),
        pytest.param(Snapshot(plan_of("2.0.0"), ready=(V1,), loading=(V2,)), [], id="and while that is on its way"),
        pytest.param(Snapshot(plan_of("2.0.0"), ready=(V1, V2)), [Unload(V1.identity)], id="then it goes"),
        pytest.param(Snapshot(plan_of("2.0.0"), ready=(V1,), failed=no(V2)), [], id="and stays if that fails"),
        pytest.param(
            Snapshot(plan_of("3.0.0"), ready=(V1, V2), failed=no(V3)), [], id="all that served serve if that fails"
        ),
        pytest.param(
            Snapshot(plan_of("2.0.0", "3.0.0"), ready=(V1, V2)),
            [Unload(V1.identity), Load(V3)],
            id="one wanted version is enough",
        ),
        pytest.param(
            Snapshot(plan_of(), ready=(V1, V2)),
            [Unload(V1.identity), Unload(V2.identity)],
            id="all go when none is wanted",
        ),
        pytest.param(Snapshot(plan_of(OTHER_V1), ready=(V1,)), [Load(OTHER_V1)], id="wanted otherwise"),
        pytest.param(
            Snapshot(plan_of(OTHER_V1, "2.0.0"), ready=(V1, V2), failed=no(OTHER_V1)),
            [],
            id="what cannot be had otherwise stays as it is",
        ),
        pytest.param(Snapshot(plan_of(), loading=(V1,)), [Cancel(V1)], id="on its way, no longer wanted"),
        pytest.param(
            Snapshot(plan_of(OTHER_V1), loading=(V1,)),
            [Cancel(V1), Load(OTHER_V1)],
            id="on its way, wanted otherwise",
        ),
        pytest.param(
            Snapshot(plan_of("1.0.0", "2.0.0", "3.0.0", "10.0.0", aliases={"stable": "1.0.0", "canary": "2.0.0"})),
            [Load(V1), Load(V2), Load(spec_of("10.0.0")), Load(V3)],
            id="what most calls mean is loaded first",
        ),
    ],
)
def test_versions_come_and_go(snapshot: Snapshot, actions: list[Action]):
    """The last one that serves goes when a wanted one is ready."""
    assert list(next_actions(snapshot)) == actions


@pytest.mark.parametrize(
    ("snapshot", "actions"),
    [
        pytest.param(
            Snapshot(plan_of("1.0.0", aliases={"stable": "1.0.0"}), ready=(V1,)),
            [Point("stable", V1.identity)],
            id="set when its version is ready",
        ),
        pytest.param(Snapshot(plan_of("1.0.0", aliases={"stable": "1.0.0"}), loading=(V1,)), [], id="and not before"),
        pytest.param(
            Snapshot(plan_of("2.0.0", aliases={"stable": "2.0.0"}), ready=(V1, V2), aliases=aliases(stable="1.0.0")),
            [Point("stable", V2.identity), Unload(V1.identity)],
            id="moves before its old version goes",
        ),
        pytest.param(
            Snapshot(
                plan_of("2.0.0", "3.0.0", aliases={"stable": "2.0.0", "canary": "3.0.0"}),
                ready=(V1, V3),
                loading=(V2,),
                aliases=aliases(stable="1.0.0", canary="3.0.0"),
            ),
            [],
            id="its old version stays while the new one is on its way, whatever else is ready",
        ),
        pytest.param(
            Snapshot(
                plan_of("2.0.0", "3.0.0", aliases={"stable": "2.0.0", "canary": "3.0.0"}),
                ready=(V1, V3),
                failed=no(V2),
                aliases=aliases(stable="1.0.0", canary="3.0.0"),
            ),
            [],
            id="and when the new one cannot be loaded",
        ),
        pytest.param(
            Snapshot(plan_of("1.0.0"), ready=(V1,), aliases=aliases(stable="1.0.0")),
            [Point("stable", None)],
            id="goes when it is taken away",
        ),
        pytest.param(
            Snapshot(plan_of("2.0.0"), ready=(V1, V2), aliases=aliases(canary="1.0.0")),
            [Point("canary", None), Unload(V1.identity)],
            id="goes before its version",
        ),
        pytest.param(
            Snapshot(plan_of("1.0.0", aliases={"stable": "2.0.0"}), ready=(V1, V2), aliases=aliases(stable="2.0.0")),
            [Point("stable", None), Unload(V2.identity)],
            id="goes with a version that is not to be served",
        ),
        pytest.param(
            Snapshot(plan_of("1.0.0", aliases={"stable": "2.0.0"}), ready=(V1,), aliases=aliases(stable="1.0.0")),
            [],
            id="stays when its new version is not to be served",
        ),
        pytest.param(
            Snapshot(plan_of(aliases={"stable": "1.0.0"}), ready=(V1,), aliases=aliases(stable="1.0.0")),
            [Point("stable", None), Unload(V1.identity)],
            id="goes when none is wanted",
        ),
    ],
)
def test_aliases_move_to_what_is_ready(snapshot: Snapshot, actions: list[Action]):
    """A move costs no call."""
    assert list(next_actions(snapshot)) == actions


@pytest.mark.parametrize(
    ("snapshot", "actions"),
    [
        pytest.param(Snapshot(plan_of("1.0.0"), asleep=ids(V1)), [], id="until somebody asks"),
        pytest.param(
            Snapshot(
                plan_of("1.0.0", "2.0.0", aliases={"stable": "1.0.0"}),
                ready=(V2,),
                asleep=ids(V1),
                aliases=aliases(stable="1.0.0"),
            ),
            [],
            id="with its alias",
        ),
        pytest.param(
            Snapshot(
                plan_of("1.0.0", "2.0.0", aliases={"stable": "1.0.0"}),
                ready=(V2,),
                asleep=ids(V1),
                aliases=aliases(stable="2.0.0"),
            ),
            [Load(V1)],
            id="unless an alias is to move to it",
        ),
        pytest.param(
            Snapshot(plan_of("2.0.0"), ready=(V1,), asleep=ids(V2)),
            [Load(V2)],
            id="unless another is to go and waits for it",
        ),
        pytest.param(
            Snapshot(plan_of("2.0.0"), ready=(V2,), asleep=ids(V1), aliases=aliases(canary="1.0.0")),
            [Point("canary", None)],
            id="and is no longer there when it is not wanted",
        ),
    ],
)
def test_what_was_unloaded_to_make_room_stays_away(snapshot: Snapshot, actions: list[Action]):
    """Loading it at once would unload another."""
    assert list(next_actions(snapshot)) == actions


@pytest.mark.parametrize(("now", "actions"), [(9.999, []), (10.0, [Load(V1)]), (11.0, [Load(V1)])])
def test_a_failure_that_may_pass_is_tried_again_in_its_time(now: float, actions: list[Action]):
    """And not before."""
    snapshot = Snapshot(plan_of("1.0.0"), now, failed={V1.identity.number: AWAY})
    assert list(next_actions(snapshot)) == actions
    assert next_retry_s(snapshot) == 10.0


def test_only_failures_of_what_is_wanted_are_waited_for():
    """The earliest of them."""
    later = Failure(StoreUnavailable("away"), 2, 20.0)
    by_number = {V1.identity.number: AWAY, V2.identity.number: later, V3.identity.number: BAD}
    assert next_retry_s(Snapshot(plan_of("1.0.0", "2.0.0"), failed=by_number)) == 10.0
    assert next_retry_s(Snapshot(plan_of("2.0.0", "3.0.0"), failed=by_number)) == 20.0
    assert next_retry_s(Snapshot(plan_of("3.0.0"), failed=by_number)) is None
    assert next_retry_s(Snapshot(plan_of("1.0.0"), loading=(V1,), failed=by_number)) is None


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (StoreUnavailable("away"), 5.0),
        (StoreFull("full"), 5.0),
        (ModelRejected("no room", reason="NO_MEMORY_BUDGET"), 5.0),
        (ModelRejected("stuck", reason="LOADS_STUCK"), 5.0),
        (ModelRejected("bad"), None),
        (ModelRejected("slow", reason="LOAD_TIMEOUT"), None),
        (DataLost("other bytes"), None),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(error: ServerError, wait_s: float | None):
    """A damaged file stays damaged."""
    assert failed(error, None, 100.0) == Failure(error, 1, None if wait_s is None else 100.0 + wait_s)


def test_tries_become_rarer():
    """Up to a bound."""
    failure, waits = None, []
    for _ in range(30):
        failure = failed(StoreUnavailable("away"), failure, 0.0)
        waits.append(failure.retry_at)
    assert (waits[:4], waits[-1], failure.tries) == ([5.0, 10.0, 20.0, 40.0], LONGEST_RETRY_S, 30)
