"""Calls go the way that was decided, the answer says so, and who judges sees what the version did."""

import asyncio
import dataclasses
import math
from collections import Counter

import pytest

from serinus.core.errors import DeadlinePassed, InvalidInput, ModelFailed, NotFound, Overloaded
from serinus.core.predictor import Response, Route
from serinus.core.traffic import (
    NO_TRAFFIC,
    WHOLE,
    Arm,
    FallbackPolicy,
    MirrorPlan,
    OtherVersion,
    Rule,
    Traffic,
    TrafficSplit,
    Trigger,
)
from serinus.core.version import ModelVersion
from serinus.core.windows import ArmWindow
from serinus.serving.routing.breaker import BreakerState
from tests.support.routes import CANARY, OTHER, STABLE, Behaviour, Scene, call, half, observed, scene
from tests.support.virtual_loop import virtual

ALL = half(weight=WHOLE)
FAILS = Behaviour(error=lambda: ModelFailed("no"))
Seen = tuple[ModelVersion, Route, Trigger | None]


def seen(response: Response) -> Seen:
    """What an answer says of its way."""
    return response.answered_by, response.route, response.fallback


async def check(found: Scene, expected: Seen, **said: str) -> None:
    """One call goes that way."""
    assert seen(await found.routes.predict(call(**said))) == expected


def windows(found: Scene) -> dict[int, ArmWindow]:
    """What was counted, without the histograms."""
    window = found.routes.window("m")
    assert window is not None
    return {number: dataclasses.replace(arm, latency=()) for number, arm in window.arms.items()}


# Who is chosen.


@virtual
async def test_a_model_without_traffic_is_passed_on():
    """As it came."""
    found = scene()
    await check(found, (STABLE, Route.USUAL, None))
    await check(found, (CANARY, Route.USUAL, None), version="2")
    assert (found.metrics.events, found.routes.window("m"), found.routes.breakers("m")) == ([], None, {})


@pytest.mark.parametrize("traffic", [NO_TRAFFIC, Traffic(split=ALL), Traffic(fallback=FallbackPolicy(()))])
@virtual
async def test_the_header_names_a_version_whatever_is_decided(traffic: Traffic):
    """But what the protocol itself names has precedence."""
    found = scene()
    found.routes.apply("m", traffic)
    route = Route.USUAL if traffic.split is None else Route.PINNED
    for version, answered_by in (("", CANARY), ("stable", STABLE)):
        request = call(version=version)
        request.attributes = {"version": "2"}
        assert seen(await found.routes.predict(request)) == (answered_by, route, None)


@virtual
async def test_calls_are_shared_out_by_weight():
    """Each key always the same way."""
    found = scene()
    found.routes.apply("m", Traffic(split=half(weight=2000)))
    first = [(await found.routes.predict(call(key=f"k{n}"))).answered_by for n in range(1000)]
    again = [(await found.routes.predict(call(key=f"k{n}"))).answered_by for n in range(1000)]
    assert first == again
    assert Counter(first)[CANARY] in range(160, 240)
    assert Counter(event[1:] for event in found.metrics.events) == {
        (version, Route.WEIGHT): 2 * count for version, count in Counter(first).items()
    }


@virtual
async def test_rules_come_before_weights():
    """The first that matches, of any number."""
    found = scene()
    rules = (
        Rule("cohort", frozenset({"staff", "friends"}), CANARY),
        Rule("region", frozenset({"eu"}), STABLE),
        Rule("cohort", frozenset({"staff"}), STABLE),
    )
    found.routes.apply("m", Traffic(split=half(weight=0, rules=rules)))
    await check(found, (CANARY, Route.RULE, None), cohort="staff")
    await check(found, (CANARY, Route.RULE, None), cohort="friends", region="eu")
    await check(found, (STABLE, Route.RULE, None), region="eu")
    await check(found, (STABLE, Route.WEIGHT, None), cohort="others")
    await check(found, (STABLE, Route.WEIGHT, None))


@virtual
async def test_who_names_a_version_gets_it_or_nothing():
    """Neither rescue nor fallback; not even for `stable` by its name. Nor is it counted."""
    found = scene({CANARY: FAILS})
    found.routes.apply(
        "m", Traffic(split=half(weight=0, observation=observed()), fallback=FallbackPolicy((OtherVersion("m", ""),)))
    )
    for _ in range(5):
        with pytest.raises(ModelFailed):
            await found.routes.predict(call(version="2"))
    await check(found, (STABLE, Route.PINNED, None), version="stable")
    with pytest.raises(NotFound):
        await found.routes.predict(call(version="9"))
    assert windows(found) == {1: ArmWindow(), 2: ArmWindow()}
    assert {view.state for view in found.routes.breakers("m").values()} == {BreakerState.CLOSED}


@virtual
async def test_a_version_that_does_not_serve_here_is_not_chosen():
    """Nobody failed: the answer is not flagged, and is nobody's exposure."""
    found = scene()
    found.ready.remove(CANARY)
    rules = (Rule("cohort", frozenset({"staff"}), CANARY),)
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, rules=rules, observation=observed())))
    await check(found, (STABLE, Route.WEIGHT, None))
    await check(found, (STABLE, Route.RULE, None), cohort="staff")
    assert windows(found) == {1: ArmWindow(), 2: ArmWindow()}
    found.ready.add(CANARY)
    await check(found, (CANARY, Route.WEIGHT, None))


# How it changes.


@virtual
async def test_a_halt_acts_at_once_and_lasts_until_the_split_differs():
    """Whatever else is applied; what was inside goes on."""
    found = scene({CANARY: Behaviour(seconds=1.0)})
    traffic = Traffic(split=ALL, rollout="r")
    found.routes.apply("m", traffic)
    inside = asyncio.create_task(found.routes.predict(call()))
    await asyncio.sleep(0.5)
    found.routes.halt("m", [CANARY])
    await check(found, (STABLE, Route.WEIGHT, None))
    found.routes.apply("m", traffic)
    await check(found, (STABLE, Route.WEIGHT, None))
    found.routes.apply("m", dataclasses.replace(traffic, fallback=FallbackPolicy((OtherVersion("other", "stable"),))))
    await check(found, (STABLE, Route.WEIGHT, None))
    assert seen(await inside) == (CANARY, Route.WEIGHT, None)
    found.routes.apply("m", Traffic(split=dataclasses.replace(ALL, salt="another"), rollout="r"))
    await check(found, (CANARY, Route.WEIGHT, None))


@virtual
async def test_a_halt_reaches_rules_and_never_the_baseline():
    """Whoever is halted, somebody answers."""
    found = scene()
    rules = (Rule("cohort", frozenset({"staff"}), CANARY),)
    found.routes.apply("m", Traffic(split=half(rules=rules)))
    found.routes.halt("m", [CANARY, STABLE])
    found.routes.halt("nobody", [CANARY])
    await check(found, (STABLE, Route.RULE, None), cohort="staff")
    await check(found, (STABLE, Route.WEIGHT, None))


@virtual
async def test_metrics_are_told_how_calls_are_shared_out():
    """As decided, as halted, and no more; what is applied again is told once."""
    found = scene()
    found.routes.apply("m", Traffic(split=half(weight=500)))
    found.routes.apply("m", Traffic(split=half(weight=500)))
    found.routes.halt("m", [CANARY, STABLE])
    found.routes.apply("m", NO_TRAFFIC)
    found.routes.apply("m", NO_TRAFFIC)
    assert found.metrics.shares == [
        ("m", {CANARY: 500, STABLE: 9_500}),
        ("m", {CANARY: 0, STABLE: 10_000}),
        ("m", {}),
    ]


@virtual
async def test_counts_go_on_through_changes_of_the_same_segment():
    """And begin anew with the next; what is inside counts where it began."""
    found = scene({CANARY: Behaviour(seconds=1.0)})
    split = half(weight=WHOLE, observation=observed())
    found.routes.apply("m", Traffic(split=split, rollout="r"))
    await found.routes.predict(call())
    found.routes.apply("m", Traffic(split=split, rollout="r", kept=(CANARY,)))
    inside = [asyncio.create_task(found.routes.predict(call())) for _ in range(2)]
    await asyncio.sleep(0.5)
    assert windows(found)[2] == ArmWindow(exposures=1, trials=1)
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, observation=observed(1)), rollout="r"))
    await asyncio.gather(*inside)
    window = found.routes.window("m")
    assert window is not None
    assert (window.rollout, window.segment, window.tripped) == ("r", 1, frozenset())
    assert windows(found) == {1: ArmWindow(), 2: ArmWindow()}


@virtual
async def test_what_was_decided_can_be_taken_back():
    """Then calls go where they always went, and nothing is remembered."""
    found = scene({CANARY: FAILS})
    found.routes.apply("m", Traffic(split=ALL))
    for _ in range(4):
        await found.routes.predict(call())
    found.routes.apply("m", NO_TRAFFIC)
    found.routes.apply("m", NO_TRAFFIC)
    await check(found, (STABLE, Route.USUAL, None))
    assert (found.routes.window("m"), found.routes.breakers("m")) == (None, {})
    assert [event for event in found.metrics.events if event[0] == "breaker"] == [
        ("breaker", CANARY, BreakerState.OPEN),
        ("breaker", CANARY, BreakerState.CLOSED),
    ]


@virtual
async def test_breakers_outlive_changes_until_they_are_reset():
    """A new weight is no reason to try a failing version again; a person is."""
    found = scene({CANARY: FAILS})
    found.routes.apply("m", Traffic(split=ALL))
    for _ in range(3):
        await check(found, (STABLE, Route.WEIGHT, Trigger.ERROR))
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, salt="another"), rollout="r"))
    await check(found, (STABLE, Route.WEIGHT, Trigger.BREAKER))
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, salt="another"), rollout="r", breaker_resets=1))
    await check(found, (STABLE, Route.WEIGHT, Trigger.ERROR))


# What is counted.


@pytest.mark.parametrize(
    ("end", "trigger", "window"),
    [
        (Behaviour(), None, ArmWindow(exposures=2, trials=2)),
        (Behaviour(seconds=0.5), None, ArmWindow(exposures=2, slow=2, trials=2)),
        (Behaviour(math.nan), Trigger.INVALID, ArmWindow(exposures=2, invalid=2, run=2, trials=2)),
        (Behaviour(9.0), Trigger.INVALID, ArmWindow(exposures=2, invalid=2, run=2, trials=2)),
        (FAILS, Trigger.ERROR, ArmWindow(exposures=2, errors=2, run=2, trials=2)),
    ],
)
@virtual
async def test_calls_by_weight_are_counted_at_the_version(end: Behaviour, trigger: Trigger | None, window: ArmWindow):
    """A rescue hides no failure of the candidate's, and is no exposure of the baseline's; a rule's calls are none."""
    found = scene({CANARY: end})
    rules = (Rule("cohort", frozenset({"staff"}), CANARY),)
    seen_by_judge = dataclasses.replace(observed(slow_s=0.1), ranges={"y": (0.0, 5.0)})
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, rules=rules, observation=seen_by_judge)))
    flags = [(await found.routes.predict(call())).fallback for _ in range(2)]
    await found.routes.predict(call(cohort="staff"))
    assert (flags, windows(found)) == ([trigger] * 2, {1: ArmWindow(), 2: window})


@virtual
async def test_what_the_caller_spoiled_is_not_counted():
    """Nor answered by anybody else."""
    found = scene({CANARY: Behaviour(error=lambda: InvalidInput("x"))})
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, observation=observed())))
    for _ in range(5):
        with pytest.raises(InvalidInput):
            await found.routes.predict(call())
    assert (set(found.models.asked), windows(found)) == ({CANARY}, {1: ArmWindow(), 2: ArmWindow()})


@pytest.mark.parametrize(
    ("deadline", "cancelled_at", "window"),
    [
        (2.0, 99.0, ArmWindow(exposures=1, errors=1, slow=1, run=1, trials=1)),
        (2.0, 2.0, ArmWindow(exposures=1, errors=1, slow=1, run=1, trials=1)),
        (99.0, 2.0, ArmWindow()),
        (0.0, 99.0, ArmWindow()),
    ],
)
@virtual
async def test_a_time_out_is_the_versions_and_a_cancellation_the_callers(
    deadline: float, cancelled_at: float, window: ArmWindow
):
    """gRPC cancels a call at its deadline too. What was over when it came is nobody's."""
    found = scene({CANARY: Behaviour(seconds=10.0)})
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, observation=observed(slow_s=1.0))))
    task = asyncio.create_task(found.routes.predict(call(deadline=deadline)))
    asyncio.get_running_loop().call_at(cancelled_at, task.cancel)
    await asyncio.wait([task])
    assert (windows(found)[2], found.models.under_way) == (window, 0)


@pytest.mark.parametrize(("stable", "fallback"), [(1.0, Trigger.BREAKER), (math.nan, None)])
@virtual
async def test_an_invalid_answer_takes_a_version_out_if_the_call_has_a_better_one(
    stable: float, fallback: Trigger | None
):
    """There are calls that every version answers with NaN: then the candidate's answer is as good as any."""
    found = scene({CANARY: Behaviour(math.nan), STABLE: Behaviour(stable)})
    found.routes.apply("m", Traffic(split=ALL))
    for _ in range(3):
        await found.routes.predict(call())
    await check(found, (CANARY if fallback is None else STABLE, Route.WEIGHT, fallback))


@virtual
async def test_a_caller_who_leaves_during_a_probe_makes_room_for_another():
    """It has said nothing about the version."""
    found = scene({CANARY: FAILS})
    found.routes.apply("m", Traffic(split=ALL))
    for _ in range(3):
        await found.routes.predict(call())
    found.models.does[CANARY] = Behaviour(seconds=2.0)
    await asyncio.sleep(5)
    probe = asyncio.create_task(found.routes.predict(call()))
    await asyncio.sleep(1)
    await check(found, (STABLE, Route.WEIGHT, Trigger.BREAKER))
    probe.cancel()
    await asyncio.wait([probe])
    await check(found, (CANARY, Route.WEIGHT, None))


@virtual
async def test_callers_in_a_hurry_take_nobody_out():
    """They are counted, at both arms alike; but a breaker hears of those alone that gave the version its time."""
    found = scene({CANARY: Behaviour(seconds=10.0)})
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, observation=observed(slow_s=1.0))))
    for given_s, state in ((0.5, BreakerState.CLOSED), (1.0, BreakerState.OPEN)):
        for _ in range(3):
            with pytest.raises(DeadlinePassed):
                await found.routes.predict(call(deadline=asyncio.get_running_loop().time() + given_s))
        assert found.routes.breakers("m")[CANARY].state is state
    assert windows(found)[2].errors == 6


@virtual
async def test_refusals_are_no_exposures():
    """They say how much there is to do; the baseline answers, if it has room."""
    found = scene({CANARY: Behaviour(error=lambda: Overloaded("full", retry_after_s=1))})
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, observation=observed())))
    for _ in range(10):
        await check(found, (STABLE, Route.WEIGHT, Trigger.OVERLOAD))
    assert windows(found) == {1: ArmWindow(), 2: ArmWindow()}
    assert found.routes.breakers("m")[CANARY].state is BreakerState.CLOSED


@virtual
async def test_the_baselines_answers_are_offered_to_the_mirror():
    """Not what others answered, nor what stands in for them."""
    found = scene({CANARY: FAILS})
    found.routes.apply("m", Traffic(split=half(weight=0, mirror=MirrorPlan(CANARY, WHOLE), observation=observed())))
    await found.routes.predict(call())
    await found.routes.predict(call(version="1"))
    assert found.mirrors.offers == [("1", STABLE)]
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, mirror=MirrorPlan(OTHER, WHOLE))))
    await found.routes.predict(call())
    assert found.mirrors.offers == [("1", STABLE)]


@virtual
async def test_who_watches_can_break():
    """The caller hears nothing of it."""
    found = scene()

    def broken(*_args: object) -> None:
        raise ZeroDivisionError("a bug")

    found.metrics.routed = broken  # type: ignore[method-assign]  # the fake's own method
    found.mirrors.offer = broken  # type: ignore[method-assign]  # likewise
    found.routes.apply("m", Traffic(split=half(weight=0, mirror=MirrorPlan(CANARY, WHOLE))))
    for _ in range(3):
        await check(found, (STABLE, Route.WEIGHT, None))
    await check(found, (STABLE, Route.PINNED, None), version="1")


@virtual
async def test_a_split_of_many_arms():
    """Each gets its share, the last one what is left."""
    third = ModelVersion("m", STABLE.version, 3)
    found = scene({third: Behaviour(3.0)})
    found.routes.apply("m", Traffic(split=TrafficSplit("s", (Arm(CANARY, 3000), Arm(third, 3000), Arm(STABLE, 4000)))))
    answered = Counter([(await found.routes.predict(call(key=f"k{n}"))).answered_by.number for n in range(1000)])
    assert {number: round(count, -2) for number, count in answered.items()} == {2: 300, 3: 300, 1: 400}
