"""Random calls through routes, breakers and fallbacks: each ends once and as it should, and the counts add up."""

import asyncio
import dataclasses
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.errors import DeadlinePassed, InvalidInput, ModelFailed, Overloaded
from serinus.core.predictor import Response
from serinus.core.traffic import WHOLE, Constant, FallbackPolicy, OtherVersion, Traffic, Trigger
from tests.support.fakes import FAR
from tests.support.routes import CANARY, OTHER, STABLE, Behaviour, Scene, call, half, observed, scene
from tests.support.virtual_loop import run_virtual

# Times lie on a grid, so that arrivals, cancellations, deadlines and ends often fall into one tick.
times = st.integers(0, 12).map(lambda quarters: quarters / 4)
errors = st.sampled_from(
    [
        None,
        None,
        lambda: ModelFailed("no"),
        lambda: InvalidInput("no"),
        lambda: Overloaded("no", retry_after_s=1),
        lambda: ZeroDivisionError("no"),
    ]
)
behaviours = st.builds(
    Behaviour, value=st.sampled_from([1.0, float("nan")]), error=errors, seconds=st.sampled_from([0.0, 0.5, 1.0, 2.0])
)
targets = st.lists(
    st.sampled_from(
        [OtherVersion("m", "stable"), OtherVersion("m", "2"), OtherVersion("other", "stable"), Constant({"y": [0.0]})]
    ),
    max_size=3,
    unique_by=repr,
).map(tuple)
policies = st.builds(
    FallbackPolicy,
    targets=targets,
    triggers=st.frozensets(st.sampled_from(list(Trigger))),
    attempt_timeout_s=st.sampled_from([None, 0.75]),
    budget=st.sampled_from([0.1, 1.0]),
)
traffics = st.builds(
    lambda weight, rescue, policy: Traffic(half(weight=weight, rescue=rescue, observation=observed()), policy),
    weight=st.sampled_from([0, WHOLE // 2, WHOLE]),
    rescue=st.booleans(),
    policy=st.none() | policies,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """One call: when it comes, what it says, and what befalls it."""

    arrives: float
    key: str
    version: str
    patience_s: float
    cancelled_after_s: float | None


plans = st.builds(
    Plan,
    arrives=times,
    key=st.sampled_from(["", "a", "b"]),
    version=st.sampled_from(["", "", "", "2"]),
    patience_s=st.one_of(st.just(FAR), times),
    cancelled_after_s=st.one_of(st.none(), times),
)


async def played(found: Scene, plan: Plan) -> Response | BaseException:
    """How one call ended; it must do so by its deadline."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(plan.arrives)
    deadline = loop.time() + plan.patience_s
    task = asyncio.create_task(found.routes.predict(call(key=plan.key, version=plan.version, deadline=deadline)))
    if plan.cancelled_after_s is not None:
        loop.call_later(plan.cancelled_after_s, task.cancel)
    await asyncio.wait([task])
    assert loop.time() <= deadline or plan.patience_s == 0
    if task.cancelled():
        assert plan.cancelled_after_s is not None
        return asyncio.CancelledError()
    return task.exception() or task.result()


def check_end(end: Response | BaseException, plan: Plan, policies: list[FallbackPolicy | None]) -> None:
    """Who answered was allowed to; an error is one that a version raised."""
    if isinstance(end, Response):
        others = any(policy is not None and OtherVersion("other", "stable") in policy.targets for policy in policies)
        assert end.answered_by in ({STABLE, CANARY, OTHER} if others else {STABLE, CANARY})
        assert not plan.version or (end.answered_by, end.fallback) == (CANARY, None)
    else:
        known = DeadlinePassed | InvalidInput | ModelFailed | Overloaded | ZeroDivisionError | asyncio.CancelledError
        assert isinstance(end, known)


@settings(max_examples=150, deadline=None)
@given(
    stable=behaviours,
    canary=behaviours,
    other=behaviours,
    first=traffics,
    second=st.none() | st.tuples(times, traffics),
    calls=st.lists(plans, max_size=12),
)
def test_each_call_ends_once_and_the_counts_add_up(
    stable: Behaviour,
    canary: Behaviour,
    other: Behaviour,
    first: Traffic,
    second: tuple[float, Traffic] | None,
    calls: list[Plan],
):
    """Whatever the versions do, who gives up, and what is decided meanwhile."""

    async def main() -> None:
        found = scene({STABLE: stable, CANARY: canary, OTHER: other})
        found.routes.apply("m", first)
        if second is not None:
            asyncio.get_running_loop().call_at(second[0], found.routes.apply, "m", second[1])
        ends = await asyncio.gather(*[played(found, plan) for plan in calls])
        policies = [first.fallback, second[1].fallback if second else None]
        for end, plan in zip(ends, calls, strict=True):
            check_end(end, plan, policies)
        assert found.models.under_way == 0
        check_counts(found, calls)

    run_virtual(main())


def check_counts(found: Scene, calls: list[Plan]) -> None:
    """No more exposures than calls by weight, no more failures than exposures, and no probe is lost."""
    window = found.routes.window("m")
    assert window is not None
    routed = sum(not plan.version for plan in calls)
    asked = Counter(version.number for version in found.models.asked)
    assert sum(arm.exposures for arm in window.arms.values()) <= routed
    for number, arm in window.arms.items():
        assert arm.exposures <= asked[number]
        assert arm.errors + arm.invalid <= arm.exposures
        assert sum(arm.latency) <= arm.exposures
        assert arm.run <= arm.exposures
    for view in found.routes.breakers("m").values():
        assert view.failures >= 3 or view.state == "closed"


def expected_of(end: Response | BaseException, plan: Plan) -> Counter[str]:
    """What one call by weight adds to the counts, where nobody else answers."""
    match end:
        case Response():
            return Counter(exposures=1, invalid=int(end.nonfinite_rows > 0))
        case InvalidInput() | Overloaded():
            return Counter()
        case asyncio.CancelledError() if (
            plan.cancelled_after_s is not None and plan.cancelled_after_s < plan.patience_s
        ):
            return Counter()
        case _:
            # A call whose time was over when it came was never the version's.
            return Counter(exposures=1, errors=1) if plan.patience_s else Counter()


@settings(max_examples=100, deadline=None)
@given(stable=behaviours, canary=behaviours, calls=st.lists(plans, max_size=12))
def test_every_end_is_counted_as_what_it_is(stable: Behaviour, canary: Behaviour, calls: list[Plan]):
    """Without rescue, fallback or breaker, and each caller a stranger, the counts are the callers' ends."""
    calls = [dataclasses.replace(plan, key="", version="") for plan in calls]

    async def main() -> None:
        found = scene({STABLE: stable, CANARY: canary}, failures=1000)
        found.routes.apply("m", Traffic(half(rescue=False, observation=observed())))
        ends = await asyncio.gather(*[played(found, plan) for plan in calls])
        window = found.routes.window("m")
        assert window is not None
        counted = Counter[str]()
        for arm in window.arms.values():
            counted.update(exposures=arm.exposures, errors=arm.errors, invalid=arm.invalid)
        expected = Counter[str]()
        for end, plan in zip(ends, calls, strict=True):
            expected.update(expected_of(end, plan))
        assert counted == expected

    run_virtual(main())
