"""What operators do with the calls of a model through AdminService."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput, Refused
from serinus.core.traffic import (
    Arm,
    Constant,
    FallbackPolicy,
    MirrorPlan,
    OtherVersion,
    Rule,
    Traffic,
    TrafficSplit,
    Trigger,
)
from serinus.serving.routing.breaker import BreakerState
from serinus.serving.routing.gates import BreakerView
from serinus.transport.rollouts.values import ArmOrder, RuleOrder, SplitOrder
from serinus.transport.traffic.requests import policy_of, split_of
from serinus_api.v1 import admin_pb2 as pb
from tests.transport.registry.registry_on_grpc import refusal, refused_field
from tests.transport.rollouts.rollout_fakes import CANDIDATE, STABLE
from tests.transport.rollouts.rollouts_on_grpc import Operated, operating

NOBODY: dict[str, Any] = {"actor": "anonymous@127.0.0.1", "expected_revision": None}
EMPTY = pb.ModelTraffic(model="m", revision=2)
FALLBACK = pb.Fallback(
    targets=[
        pb.FallbackTarget(version="1.0.0"),
        pb.FallbackTarget(model="other@stable"),
        pb.FallbackTarget(model="plain"),
        pb.FallbackTarget(constant_json='{"y": [[0.5, 1]]}'),
    ],
    triggers=["error", "timeout"],
    attempt_timeout_s=0.5,
    budget=0.25,
    ranges={"y": pb.OutputRange(lowest=0, highest=1)},
)
POLICY = FallbackPolicy(
    targets=(
        OtherVersion("m", "1.0.0"),
        OtherVersion("other", "stable"),
        OtherVersion("plain", ""),
        Constant({"y": [[0.5, 1]]}),
    ),
    triggers=frozenset({Trigger.ERROR, Trigger.TIMEOUT}),
    attempt_timeout_s=0.5,
    budget=0.25,
    ranges={"y": (0.0, 1.0)},
)


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    async with operating() as made:
        yield made


async def test_everything_that_is_decided_about_a_model_is_shown(operated: Operated):
    """With what this server's breakers remember."""
    operated.traffic.traffic = Traffic(
        split=TrafficSplit(
            "s",
            (Arm(CANDIDATE, 1), Arm(STABLE, 9999)),
            (Rule("cohort", frozenset({"b", "a"}), CANDIDATE),),
            MirrorPlan(CANDIDATE, 1000),
        ),
        fallback=POLICY,
        rollout="r1",
    )
    operated.traffic.views = {CANDIDATE: BreakerView(BreakerState.HALF_OPEN, 7, 1.5)}
    answer = await operated.call("GetSplit", pb.GetSplitRequest(model="m"))
    assert answer.traffic == pb.ModelTraffic(
        model="m",
        revision=2,
        arms=[pb.SplitArm(version="1.1.0", weight=0.01), pb.SplitArm(version="1.0.0", weight=99.99)],
        rules=[pb.SplitRule(attribute="cohort", values=["a", "b"], version="1.1.0")],
        rollout="r1",
        mirror=pb.SplitMirror(version="1.1.0", percent=10.0),
        fallback=FALLBACK,
        breakers=[pb.BreakerStatus(version="1.1.0", state="half_open", failures_in_a_row=7, retry_in_s=1.5)],
    )


async def test_a_model_about_which_nothing_was_decided_shows_nothing(operated: Operated):
    """But its revision, for the first who decides."""
    assert (await operated.call("GetSplit", pb.GetSplitRequest(model="m"))).traffic == EMPTY


@pytest.mark.parametrize(
    ("method", "asked", "done"),
    [
        (
            "SetSplit",
            pb.SetSplitRequest(
                model="m",
                arms=[pb.SplitArm(version="1.1.0", weight=0.07), pb.SplitArm(version="canary", weight=99.93)],
                rules=[pb.SplitRule(attribute="cohort", values=["beta"], version="1.1.0")],
                actor="ann",
                expected_revision=2,
            ),
            (
                "set_split",
                (
                    "m",
                    SplitOrder(
                        (ArmOrder("1.1.0", 7), ArmOrder("canary", 9993)), (RuleOrder("cohort", ("beta",), "1.1.0"),)
                    ),
                ),
                {"actor": "ann", "expected_revision": 2},
            ),
        ),
        (
            "SetSplit",
            pb.SetSplitRequest(model="m", rules=[pb.SplitRule(attribute="a", values=["b"], version="1.1.0")]),
            ("set_split", ("m", SplitOrder((), (RuleOrder("a", ("b",), "1.1.0"),))), NOBODY),
        ),
        ("SetSplit", pb.SetSplitRequest(model="m"), ("set_split", ("m", None), NOBODY)),
        (
            "SetFallback",
            pb.SetFallbackRequest(model="m", fallback=FALLBACK, expected_revision=0),
            ("set_fallback", ("m", POLICY), {**NOBODY, "expected_revision": 0}),
        ),
        (
            "SetFallback",
            pb.SetFallbackRequest(model="m", fallback=pb.Fallback(targets=[pb.FallbackTarget(version="1.0.0")])),
            ("set_fallback", ("m", FallbackPolicy((OtherVersion("m", "1.0.0"),))), NOBODY),
        ),
        (
            "SetFallback",
            pb.SetFallbackRequest(model="m", fallback=pb.Fallback(triggers=["error"])),
            ("set_fallback", ("m", None), NOBODY),
        ),
        (
            "ResetBreaker",
            pb.ResetBreakerRequest(model="m", actor="ann"),
            ("reset_breakers", ("m",), {"actor": "ann"}),
        ),
    ],
)
async def test_what_an_operator_decides_is_kept_and_shown(operated: Operated, method: str, asked, done):
    """As it is since, and by whom."""
    answer = await operated.call(method, asked)
    assert (operated.traffic.asked, answer.traffic) == ([done], EMPTY)


async def test_a_split_that_a_rollout_owns_is_refused(operated: Operated):
    """With the reason."""
    operated.traffic.failure = Refused("rollout r1 shares them out", reason="ROLLOUT_ACTIVE")
    assert await refusal(operated.call("SetSplit", pb.SetSplitRequest(model="m"))) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ROLLOUT_ACTIVE: rollout r1 shares them out",
    )


def arm(weight: float, version: str = "1.1.0") -> pb.SplitArm:
    return pb.SplitArm(version=version, weight=weight)


def rule(**fields: Any) -> pb.SplitRule:
    return pb.SplitRule(**{"attribute": "a", "values": ["b"], "version": "1.1.0", **fields})


NAN = float("nan")


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        ({"arms": [arm(-1)]}, "OUT_OF_RANGE", "arms.weight"),
        ({"arms": [arm(100.01)]}, "OUT_OF_RANGE", "arms.weight"),
        ({"arms": [arm(NAN)]}, "OUT_OF_RANGE", "arms.weight"),
        ({"arms": [arm(0.005)]}, "OUT_OF_RANGE", "arms.weight"),
        ({"arms": [arm(60), arm(40.01, "1.2.0")]}, "OUT_OF_RANGE", "arms"),
        ({"arms": [arm(1), arm(2)]}, "DUPLICATE_VERSION", "arms"),
        ({"arms": [arm(1, "")]}, "MISSING_NAME", "arms.version"),
        ({"arms": [arm(1, "\n")]}, "CONTROL_CHARACTER", "arms.version"),
        ({"arms": [arm(1, f"1.{n}.0") for n in range(16)]}, "TOO_MANY_ENTRIES", "arms"),
        ({"rules": [rule()] * 65}, "TOO_MANY_ENTRIES", "rules"),
        ({"rules": [rule(values=[])]}, "MISSING_VALUES", "rules.values"),
        ({"rules": [rule(values=["x"] * 1001)]}, "TOO_MANY_ENTRIES", "rules.values"),
        ({"rules": [rule(values=["x" * 257])]}, "TEXT_TOO_LONG", "rules.attribute"),
        ({"rules": [rule(attribute="")]}, "MISSING_NAME", "rules.attribute"),
        ({"rules": [rule(attribute="x" * 65)]}, "TEXT_TOO_LONG", "rules.attribute"),
        ({"rules": [rule(version="")]}, "MISSING_NAME", "rules.version"),
    ],
)
def test_a_split_that_cannot_be_meant_is_refused(asked: dict[str, Any], reason: str, field: str):
    """With its field."""
    with pytest.raises(InvalidInput) as refused:
        split_of(pb.SetSplitRequest(model="m", **asked))
    assert (refused.value.reason, refused.value.field) == (reason, field)


def to(**target: str) -> dict[str, Any]:
    return {"targets": [pb.FallbackTarget(**target)]}


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        ({"targets": [pb.FallbackTarget()]}, "MISSING_TARGET", "targets"),
        ({"targets": [pb.FallbackTarget(version="1")] * 5}, "TOO_MANY_ENTRIES", "targets"),
        (to(version=""), "MISSING_NAME", "targets.version"),
        (to(version="\n"), "CONTROL_CHARACTER", "targets.version"),
        (to(model="../other"), "INVALID_NAME", "model"),
        (to(model="@1.0.0"), "INVALID_NAME", "model"),
        (to(model="other@" + "x" * 257), "TEXT_TOO_LONG", "targets.model"),
        (to(constant_json=""), "MALFORMED_JSON", "targets.constant_json"),
        (to(constant_json="[1]"), "MALFORMED_JSON", "targets.constant_json"),
        (to(constant_json="{}"), "MALFORMED_JSON", "targets.constant_json"),
        (to(constant_json='{"y": NaN}'), "MALFORMED_JSON", "targets.constant_json"),
        (to(constant_json='{"y": ' + "[" * 30_000), "MALFORMED_JSON", "targets.constant_json"),
        (to(constant_json='{"y": ' + "9" * 30_000 + "}"), "MALFORMED_JSON", "targets.constant_json"),
        (to(constant_json='{"y": "' + "x" * 65_536 + '"}'), "TEXT_TOO_LONG", "targets.constant_json"),
        ({**to(version="1"), "triggers": ["tuesday"]}, "UNKNOWN_TRIGGER", "triggers"),
        ({**to(version="1"), "triggers": ["error"] * 6}, "TOO_MANY_ENTRIES", "triggers"),
        ({**to(version="1"), "attempt_timeout_s": -1}, "OUT_OF_RANGE", "attempt_timeout_s"),
        ({**to(version="1"), "attempt_timeout_s": NAN}, "OUT_OF_RANGE", "attempt_timeout_s"),
        ({**to(version="1"), "budget": 1.5}, "OUT_OF_RANGE", "budget"),
        ({**to(version="1"), "ranges": {"y": pb.OutputRange(lowest=1, highest=0)}}, "OUT_OF_RANGE", "ranges"),
        ({**to(version="1"), "ranges": {"y": pb.OutputRange(highest=NAN)}}, "NOT_FINITE", "ranges"),
        ({**to(version="1"), "ranges": {"\n": pb.OutputRange(highest=1)}}, "CONTROL_CHARACTER", "ranges"),
    ],
)
def test_a_fallback_that_cannot_be_meant_is_refused(asked: dict[str, Any], reason: str, field: str):
    """With its field; whether it could answer is for others to say."""
    with pytest.raises(InvalidInput) as refused:
        policy_of("m", pb.Fallback(**asked))
    assert (refused.value.reason, refused.value.field) == (reason, field)


@given(st.integers(0, 10_000))
def test_every_weight_survives_the_way_through_percent(weight: int):
    """Hundredths of a percent are no binary fractions."""
    order = split_of(pb.SetSplitRequest(arms=[arm(weight * 100 / 10_000)]))
    assert order == SplitOrder((ArmOrder("1.1.0", weight),), ())


async def test_names_are_checked_before_anything_is_asked(operated: Operated):
    """Of every method."""
    for method in ("GetSplit", "SetSplit", "SetFallback", "ResetBreaker"):
        asked = getattr(pb, f"{method}Request")(model="../m")
        assert await refused_field(operated.call(method, asked)) == ("INVALID_NAME", "model")
    assert operated.traffic.asked == []


async def test_a_server_that_drains_decides_nothing_and_shows_what_is(operated: Operated):
    """Looking is allowed to the end."""
    operated.drain.begin()
    for method in ("SetSplit", "SetFallback", "ResetBreaker"):
        asked = getattr(pb, f"{method}Request")(model="m")
        assert (await refusal(operated.call(method, asked)))[0] is grpc.StatusCode.UNAVAILABLE
    assert (await operated.call("GetSplit", pb.GetSplitRequest(model="m"))).traffic == EMPTY
