"""Somebody else answers what the chosen version cannot, within bounds, or the caller gets the first error."""

import asyncio
import math
from collections import Counter

import pytest

from serinus.core.errors import DeadlinePassed, InvalidInput, Loading, ModelFailed, NotLoaded, Overloaded, ServerError
from serinus.core.predictor import Route
from serinus.core.traffic import WHOLE, Constant, FallbackPolicy, OtherVersion, Traffic, Trigger
from serinus.core.windows import ArmWindow
from serinus.serving.routing.breaker import BreakerState
from tests.support.routes import CANARY, OTHER, STABLE, Behaviour, Scene, call, half, observed, scene
from tests.support.virtual_loop import virtual

FAILS = Behaviour(error=lambda: ModelFailed("no"))
TO_OTHER = FallbackPolicy((OtherVersion("other", "stable"),), budget=1.0)
FIRST_OF_TWO = FallbackPolicy((OtherVersion("m", "2"), OtherVersion("other", "stable")), budget=1.0)


async def answered(found: Scene, **said: object) -> tuple[object, ...]:
    """Who answered one call, and why."""
    response = await found.routes.predict(call(**said))
    return response.answered_by, response.route, response.fallback


@pytest.mark.parametrize(
    ("does", "trigger"),
    [
        (FAILS, Trigger.ERROR),
        (Behaviour(error=lambda: ZeroDivisionError("a bug")), Trigger.ERROR),
        (Behaviour(error=lambda: NotLoaded("gone")), Trigger.ERROR),
        (Behaviour(error=lambda: Loading("soon")), Trigger.ERROR),
        (Behaviour(error=lambda: Overloaded("full", retry_after_s=1)), Trigger.OVERLOAD),
        (Behaviour(error=lambda: Overloaded("late", retry_after_s=1, reason="TOO_LATE")), Trigger.TIMEOUT),
        (Behaviour(math.nan), Trigger.INVALID),
    ],
)
@virtual
async def test_another_answers_and_says_why(does: Behaviour, trigger: Trigger):
    """Whatever the version could not; but only if somebody decided that it should."""
    found = scene({STABLE: does})
    found.routes.apply("m", Traffic(fallback=TO_OTHER))
    assert await answered(found, rows=3) == (OTHER, Route.USUAL, trigger)
    assert (found.models.asked, found.models.requests[1].rows) == ([STABLE, OTHER], 3)
    assert found.metrics.events == [("fell back", "m", trigger)]
    others = frozenset(Trigger) - {trigger}
    found.routes.apply("m", Traffic(fallback=FallbackPolicy(TO_OTHER.targets, others, budget=1.0)))
    if does.error is None:
        assert await answered(found) == (STABLE, Route.USUAL, None)
    else:
        with pytest.raises(type(does.error())):
            await answered(found)
    assert len(found.models.asked) == 3


@virtual
async def test_values_out_of_range_are_invalid():
    """Of the chosen version and of a target; if nobody has better ones, the caller gets what the chosen one said."""
    found = scene({STABLE: Behaviour(7.0), CANARY: Behaviour(8.0), OTHER: Behaviour(0.5)})
    policy = FallbackPolicy(FIRST_OF_TWO.targets, budget=1.0, ranges={"y": (0.0, 1.0)})
    found.routes.apply("m", Traffic(fallback=policy))
    assert await answered(found) == (OTHER, Route.USUAL, Trigger.INVALID)
    assert found.models.asked == [STABLE, CANARY, OTHER]
    found.models.does[OTHER] = Behaviour(9.0)
    assert await answered(found) == (STABLE, Route.USUAL, None)


@virtual
async def test_a_callers_own_fault_is_answered_by_nobody():
    """Another would find the same."""
    found = scene({STABLE: Behaviour(error=lambda: InvalidInput("x"))})
    found.routes.apply("m", Traffic(fallback=TO_OTHER))
    with pytest.raises(InvalidInput):
        await answered(found)
    assert found.models.asked == [STABLE]


@virtual
async def test_the_first_error_is_the_callers_if_all_fail():
    """The very one, and every target was tried once."""
    first = ModelFailed("the first")
    found = scene({STABLE: Behaviour(error=lambda: first), CANARY: FAILS, OTHER: FAILS})
    found.routes.apply("m", Traffic(fallback=FIRST_OF_TWO))
    with pytest.raises(ModelFailed) as seen:
        await answered(found)
    assert (seen.value is first, found.models.asked) == (True, [STABLE, CANARY, OTHER])
    assert found.metrics.events == [("fell through", "m", Trigger.ERROR)]


@virtual
async def test_fallbacks_have_no_fallbacks():
    """Two models that name each other end after one step, however they came to."""
    found = scene({STABLE: FAILS, OTHER: FAILS})
    found.routes.apply("m", Traffic(fallback=TO_OTHER))
    found.routes.apply("other", Traffic(fallback=FallbackPolicy((OtherVersion("m", ""),), budget=1.0)))
    with pytest.raises(ModelFailed):
        await answered(found)
    assert found.models.asked == [STABLE, OTHER]


@virtual
async def test_a_version_that_failed_is_not_tried_again():
    """Neither the chosen one, nor the baseline that could not rescue it."""
    found = scene({CANARY: FAILS, STABLE: FAILS})
    targets = (
        OtherVersion("m", "2"),
        OtherVersion("m", "stable"),
        OtherVersion("m", "9"),
        OtherVersion("other", "stable"),
    )
    found.routes.apply("m", Traffic(split=half(weight=WHOLE), fallback=FallbackPolicy(targets, budget=1.0)))
    assert await answered(found) == (OTHER, Route.WEIGHT, Trigger.ERROR)
    assert found.models.asked == [CANARY, STABLE, OTHER]


@virtual
async def test_a_fallback_cannot_be_flooded():
    """A thousand failing calls at once: a tenth, and the ten that were saved; the others get their error."""
    found = scene({STABLE: FAILS})
    triggers = frozenset({Trigger.ERROR})
    found.routes.apply("m", Traffic(fallback=FallbackPolicy(TO_OTHER.targets, triggers)))
    ends = await asyncio.gather(*[found.routes.predict(call()) for _ in range(1000)], return_exceptions=True)
    assert Counter(type(end).__name__ for end in ends) == {"Response": 109, "ModelFailed": 891}
    assert Counter(found.models.asked) == {STABLE: 1000, OTHER: 109}


@virtual
async def test_a_budget_outlives_other_changes():
    """A new weight fills nobody's pocket."""
    found = scene({STABLE: FAILS})
    policy = FallbackPolicy(TO_OTHER.targets, frozenset({Trigger.ERROR}), budget=0.0)
    for weight in range(30):
        found.routes.apply("m", Traffic(split=half(weight=0, salt=str(weight)), fallback=policy))
        await asyncio.gather(found.routes.predict(call()), return_exceptions=True)
    assert Counter(found.models.asked) == {STABLE: 30, OTHER: 10}


@virtual
async def test_a_constant_needs_no_budget():
    """It cannot be flooded; each call gets its own rows."""
    found = scene({STABLE: FAILS})
    found.routes.apply("m", Traffic(fallback=FallbackPolicy((Constant({"y": [0.5]}),), budget=0.0)))
    answers = await asyncio.gather(*[found.routes.predict(call(rows=rows)) for rows in range(30)])
    assert [answer.outputs["y"].tolist() for answer in answers] == [[[0.5]] * rows for rows in range(30)]
    assert {(answer.answered_by, answer.fallback) for answer in answers} == {
        (STABLE, Trigger.ERROR),
        (STABLE, Trigger.BREAKER),
    }


@virtual
async def test_a_constant_that_does_not_fit_is_no_answer():
    """The version has changed since it was set."""
    found = scene({STABLE: FAILS})
    found.routes.apply("m", Traffic(fallback=FallbackPolicy((Constant({"y": "text"}), *TO_OTHER.targets))))
    assert await answered(found) == (OTHER, Route.USUAL, Trigger.ERROR)


@virtual
async def test_a_version_that_is_too_late_leaves_time_for_others():
    """Its attempt ends after its own time, not the caller's, and counts as its failure."""
    found = scene({CANARY: Behaviour(seconds=9.0), STABLE: Behaviour(seconds=9.0)})
    policy = FallbackPolicy(TO_OTHER.targets, attempt_timeout_s=1.0)
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, observation=observed()), fallback=policy))
    assert await answered(found, deadline=3.0) == (OTHER, Route.WEIGHT, Trigger.TIMEOUT)
    assert (asyncio.get_running_loop().time(), found.models.under_way) == (2.0, 0)
    window = found.routes.window("m")
    assert window is not None
    assert window.arms == {1: ArmWindow(), 2: ArmWindow(exposures=1, errors=1, run=1, trials=1)}


@virtual
async def test_nobody_is_asked_when_the_time_is_over():
    """Nobody waits for the answer."""
    found = scene({CANARY: Behaviour(seconds=9.0)})
    constant = FallbackPolicy((Constant({"y": [0.5]}), *TO_OTHER.targets))
    found.routes.apply("m", Traffic(split=half(weight=WHOLE), fallback=constant))
    with pytest.raises(DeadlinePassed):
        await answered(found, deadline=3.0)
    assert found.models.asked == [CANARY]


@virtual
async def test_a_caller_who_leaves_ends_the_second_try_too():
    """Nothing runs for nobody."""
    found = scene({STABLE: FAILS, OTHER: Behaviour(seconds=9.0)})
    found.routes.apply("m", Traffic(fallback=TO_OTHER))
    task = asyncio.create_task(found.routes.predict(call()))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), found.models.asked, found.models.under_way) == (True, [STABLE, OTHER], 0)


@virtual
async def test_a_model_of_which_nothing_serves_has_its_fallback():
    """It is asked all the same: why nothing serves is the caller's to hear if nobody answers."""
    found = scene()
    found.routes.apply("gone", Traffic(fallback=TO_OTHER))
    assert await answered(found, model="gone") == (OTHER, Route.USUAL, Trigger.ERROR)
    found.models.does[OTHER] = FAILS
    with pytest.raises(NotLoaded):
        await answered(found, model="gone")


@virtual
async def test_a_breaker_follows_what_calls_mean():
    """Another version behind the same name starts with a clean record, and the old one is forgotten."""
    found = scene({STABLE: FAILS})
    found.routes.apply("m", Traffic(fallback=TO_OTHER))
    for _ in range(3):
        assert await answered(found) == (OTHER, Route.USUAL, Trigger.ERROR)
    assert await answered(found) == (OTHER, Route.USUAL, Trigger.BREAKER)
    found.models.aliases["m", ""] = CANARY
    assert await answered(found) == (CANARY, Route.USUAL, None)
    assert {version: view.state for version, view in found.routes.breakers("m").items()} == {
        CANARY: BreakerState.CLOSED
    }


# What must not get worse when everything fails.


@virtual
async def test_a_baseline_without_a_fallback_is_never_taken_out():
    """A shared cause makes both fail: the candidate's breaker opens, every call still reaches the baseline."""
    error = ModelFailed("the database of features is gone")
    found = scene({CANARY: FAILS, STABLE: Behaviour(error=lambda: error)})
    found.routes.apply("m", Traffic(split=half(observation=observed())))
    ends = [await asyncio.gather(found.routes.predict(call(key=f"k{n}")), return_exceptions=True) for n in range(100)]
    assert {type(end) for (end,) in ends} == {ModelFailed}
    assert list(found.routes.breakers("m")) == [CANARY]
    window = found.routes.window("m")
    assert window is not None
    counts = {number: (arm.exposures, arm.errors) for number, arm in window.arms.items()}
    assert counts[2] == (3, 3)
    assert counts[1][0] == counts[1][1] > 30
    found.models.does[STABLE] = Behaviour()
    assert (await found.routes.predict(call())).answered_by == STABLE


@virtual
async def test_a_baseline_that_is_taken_out_is_asked_before_nobody_is():
    """Its fallback fails too, or has no budget left: then the calls go where they belong."""
    found = scene({STABLE: FAILS, OTHER: FAILS})
    found.routes.apply("m", Traffic(split=half(weight=0), fallback=TO_OTHER))
    for _ in range(3):
        with pytest.raises(ModelFailed):
            await answered(found)
    found.models.does[STABLE] = Behaviour()
    found.models.asked.clear()
    assert await answered(found) == (STABLE, Route.WEIGHT, None)
    assert found.models.asked == [OTHER, STABLE]
    assert found.routes.breakers("m")[STABLE].state is BreakerState.OPEN


@virtual
async def test_a_baseline_that_recovers_is_let_in_again():
    """By probes, which are calls like all others."""
    found = scene({STABLE: FAILS})
    found.routes.apply("m", Traffic(split=half(weight=0), fallback=TO_OTHER))
    for _ in range(5):
        assert (await answered(found))[0] == OTHER
    found.models.does[STABLE] = Behaviour()
    await asyncio.sleep(5)
    assert [await answered(found) for _ in range(4)] == [(STABLE, Route.WEIGHT, None)] * 4
    assert found.routes.breakers("m")[STABLE].state is BreakerState.CLOSED


@virtual
async def test_a_candidate_that_flaps_fails_few_callers():
    """Bad for ten seconds of each minute, a call each tenth of a second, for ten minutes, and nobody sees an error."""
    found = scene()
    found.routes.apply("m", Traffic(split=half(weight=WHOLE, observation=observed())))
    loop, fallbacks = asyncio.get_running_loop(), Counter[Trigger | None]()
    while loop.time() < 600:
        found.models.does[CANARY] = FAILS if loop.time() % 60 < 10 else Behaviour()
        fallbacks[(await found.routes.predict(call())).fallback] += 1
        await asyncio.sleep(0.1)
    assert fallbacks[Trigger.ERROR] < 40
    assert fallbacks[Trigger.BREAKER] > 1000


@virtual
async def test_what_a_mirror_does_is_not_counted():
    """Its calls reach the version, and neither the counts of its arm nor its breaker."""
    found = scene({CANARY: FAILS})
    found.routes.apply("m", Traffic(split=half(weight=0, observation=observed())))
    for _ in range(5):
        with pytest.raises(ServerError):
            await found.models.predict(call(version="2"))
    window = found.routes.window("m")
    assert window is not None
    assert (window.arms, window.tripped) == ({1: ArmWindow(), 2: ArmWindow()}, frozenset())
