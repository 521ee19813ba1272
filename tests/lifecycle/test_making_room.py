"""How loaded versions share a bounded memory."""

import asyncio

import pytest

from serinus.core.errors import Loading, ModelRejected, NotLoaded
from serinus.lifecycle.plan import ModelPlan
from tests.lifecycle.conftest import World, begun, world
from tests.lifecycle.fake_servables import model_plan
from tests.lifecycle.plans import plan_of
from tests.support.fakes import settle
from tests.support.virtual_loop import virtual

EVICTED = "unloaded to make room"


async def loaded(made: World, *plans: ModelPlan) -> None:
    for index, plan in enumerate(plans):
        made.models.apply(plan)
        await made.models.settled(plan.name)
        made.loader.made[-1].last_used_s = float(index)


def roomy(max_bytes: int, sizes: dict[int, int]) -> World:
    made = world(max_bytes=max_bytes)
    made.loader.sizes = sizes
    return made


async def test_the_least_recently_used_version_makes_room():
    """Its callers are told to come again, and it is loaded because they came."""
    made = roomy(20, {100: 10})
    async with made.models:
        await loaded(made, plan_of("1.0.0", model="a"), plan_of("1.0.0", model="b"), plan_of("1.0.0", model="c"))
        assert made.states == [("a@1.0.0", "UNAVAILABLE", EVICTED), ("b@1.0.0", "READY", ""), ("c@1.0.0", "READY", "")]
        assert (made.models.used_bytes, made.metrics.evictions) == (20, 1)
        for name in ("", "1.0.0", "^1", "latest"):
            with pytest.raises(Loading) as refused:
                await made.call("a", name)
            assert refused.value.message == "a@1.0.0 is being loaded: expected the call again in a moment"
        await made.models.settled("a")
        assert (await made.call("a")).answered_by.model == "a"
        assert made.states == [("a@1.0.0", "READY", ""), ("b@1.0.0", "UNAVAILABLE", EVICTED), ("c@1.0.0", "READY", "")]
        assert [model for model, _ in made.loader.started] == ["a", "b", "c", "a"]
    assert made.models.used_bytes == 0


async def test_a_version_that_made_room_comes_back_for_nobody_but_a_caller():
    """Not because a plan comes again, or another version of it; no other version answers in its place."""
    made = roomy(20, {100: 10, 200: 10, 300: 10})
    async with made.models:
        await loaded(
            made,
            plan_of("2.0.0", model="a", aliases={"stable": "2.0.0"}),
            plan_of("3.0.0", model="b"),
            plan_of("1.0.0", model="c"),
        )
        for aliases in ({"stable": "2.0.0"}, {"stable": "2.0.0", "other": "1.0.0"}):
            made.models.apply(plan_of("2.0.0", model="a", aliases=aliases))
            await made.models.settled("a")
        assert made.states[0] == ("a@2.0.0", "UNAVAILABLE", EVICTED)
        made.models.apply(plan_of("2.0.0", "1.0.0", model="a", aliases={"stable": "2.0.0"}))
        await made.models.settled("a")
        assert [status for status in made.states if status[0].startswith("a@")] == [
            ("a@2.0.0", "UNAVAILABLE", EVICTED),
            ("a@1.0.0", "READY", ""),
        ]
        for name in ("", "stable", "latest", ">=1"):
            with pytest.raises(Loading, match=r"a@2\.0\.0"):
                made.models.find("a", name)
        made.models.retry("a")
        await made.models.settled("a")
        assert str((await made.call("a")).answered_by) == "a@2.0.0"


async def test_a_version_in_use_does_not_make_room():
    """Nothing else is unloaded where that would not be enough; what is in the way is said."""
    made = roomy(20, {100: 10, 200: 15})
    async with made.models:
        await loaded(made, plan_of("1.0.0", model="a"), plan_of("1.0.0", model="b"))
        made.loader.made[0].gate.clear()
        inside = await begun(made.call("a"))
        made.models.apply(plan_of("2.0.0", model="c"))
        with pytest.raises(ModelRejected) as refused:
            await made.models.settled("c")
        assert refused.value.reason == "NO_MEMORY_BUDGET"
        assert refused.value.message == (
            "c@2.0.0 needs 15 bytes: loaded versions may take 20 together, and those that are in use or needed take too"
            " much of it"
        )
        assert [state for _, state, _ in made.states] == ["READY", "READY", "UNAVAILABLE"]
        with pytest.raises(NotLoaded):
            made.models.find("c", "")
        made.loader.made[0].gate.set()
        await inside
        made.models.retry("c")
        await made.models.settled("c")
        assert (made.models.used_bytes, made.metrics.evictions) == (15, 2)


async def test_a_version_does_not_make_room_for_its_own_successor():
    """That may fail; what serves goes on."""
    made = roomy(15, {100: 10, 200: 10})
    async with made.models:
        await loaded(made, plan_of("1.0.0"))
        made.models.apply(plan_of("2.0.0"))
        with pytest.raises(ModelRejected):
            await made.models.settled("m")
        assert await made.answered_by() == "1.0.0"


async def test_versions_whose_files_are_gone_do_not_make_room():
    """They could not be loaded again."""
    made = roomy(10, {1: 10})
    async with made.models:
        await made.models.reload(ModelPlan("a", model_plan("a", 1).versions, is_lasting=False))
        made.models.apply(model_plan("b", 1))
        with pytest.raises(ModelRejected):
            await made.models.settled("b")
        assert made.states[0] == ("a@1.0.0", "READY", "")


async def test_a_load_waits_until_the_room_is_free():
    """What it unloads closes first; it counts until then."""
    made = roomy(10, {100: 10})
    async with made.models:
        await loaded(made, plan_of("1.0.0", model="a"))
        old = made.loader.made[0]
        closing = asyncio.Event()
        old._left = closing  # it takes its time to close, although no call is inside
        made.models.apply(plan_of("1.0.0", model="b"))
        await settle()
        assert (old.closes, len(made.loader.made), made.models.used_bytes) == (1, 1, 20)
        closing.set()
        await made.models.settled("b")
        assert (old.is_closed, made.models.used_bytes) == (True, 10)


@virtual
async def test_room_that_never_becomes_free_is_not_waited_for_for_ever():
    """The load is refused, and tried again later."""
    made = world(max_bytes=10, clock=asyncio.get_running_loop().time)
    made.loader.sizes = {100: 10}
    async with made.models:
        made.models.apply(plan_of("1.0.0", model="a"))
        await made.models.settled("a")
        made.loader.made[0].gate.clear()
        inside = asyncio.create_task(made.call("a"))
        await settle()
        made.models.apply(plan_of(model="a"))
        made.models.apply(plan_of("1.0.0", model="b"))
        with pytest.raises(ModelRejected):
            await made.models.settled("b")
        assert asyncio.get_running_loop().time() == 60.0
        made.loader.made[0].gate.set()
        await inside
        await asyncio.sleep(5)
        await made.models.settled("b")
        assert made.states == [("b@1.0.0", "READY", "")]


async def test_a_load_that_fails_or_is_given_up_takes_no_memory():
    """Nor does one that was refused."""
    made = roomy(20, {100: 10, 200: 10, 300: 30})
    made.loader.failing[100] = ModelRejected("bad")
    made.loader.gates[200] = asyncio.Event()
    async with made.models:
        made.models.apply(plan_of("1.0.0", "2.0.0", "3.0.0"))
        await settle()
        assert made.models.used_bytes == 10
        made.models.apply(plan_of())
        await settle()
        assert (made.models.used_bytes, made.loader.made) == (0, [])


async def test_a_model_that_is_reloaded_does_not_make_room():
    """Its versions are about to change all at once."""
    made = roomy(20, {100: 10, 200: 10, 300: 10})
    async with made.models:
        await loaded(made, plan_of("1.0.0", model="a"))
        made.loader.gates[200] = asyncio.Event()
        reloading = await begun(made.models.reload(plan_of("2.0.0", model="a")))
        made.models.apply(plan_of("3.0.0", model="b"))
        with pytest.raises(ModelRejected):
            await made.models.settled("b")
        made.loader.gates[200].set()
        await reloading
        await made.models.closed("a")
        made.models.retry("b")
        await made.models.settled("b")
        assert [str(servable.identity) for servable in made.models.serving()] == ["a@2.0.0", "b@3.0.0"]
