"""How one set of versions takes the place of another without losing a call."""

import asyncio

import pytest

from serinus.core.errors import ModelRejected, NotFound
from tests.lifecycle.conftest import World, begun, world
from tests.lifecycle.fake_servables import model_plan
from tests.support.fakes import settle

REJECTED = ModelRejected("the model file is damaged")


async def test_calls_reach_the_old_version_until_the_new_one_is_ready(world: World):
    """And the new one from then on; the call inside the old one is answered by it."""
    await world.models.reload(model_plan("m", 1))
    old = world.loader.made[0]
    old.gate.clear()
    inside = await begun(world.call())
    world.loader.gates[2] = asyncio.Event()
    loading = await begun(world.models.reload(model_plan("m", 2)))
    late = await begun(world.call())
    assert old.calls == 2
    world.loader.gates[2].set()
    await loading
    assert await world.answered_by() == "2.0.0"
    old.gate.set()
    assert [str((await call).answered_by.version) for call in (inside, late)] == ["1.0.0", "1.0.0"]
    await settle()
    assert old.is_closed


async def test_the_same_version_may_be_loaded_again_under_its_calls(world: World):
    """The old load closes when its calls are answered; the version was never gone."""
    await world.models.reload(model_plan("m", 1))
    old = world.loader.made[0]
    old.gate.clear()
    inside = await begun(world.call())
    await world.models.reload(model_plan("m", 1))
    new = world.loader.made[1]
    assert world.models.find("m", "1") is new
    assert (await world.call()).answered_by == new.identity
    assert world.states == [("m@1.0.0", "READY", "")]
    old.gate.set()
    await inside
    await settle()
    assert (old.is_closed, new.closes, world.gone) == (True, 0, [])
    assert world.states == [("m@1.0.0", "READY", "")]


async def test_several_versions_appear_and_disappear_at_once(world: World):
    """No call sees one without the other."""
    await world.models.reload(model_plan("m", 1, 2))
    world.loader.gates[3] = asyncio.Event()
    loading = await begun(world.models.reload(model_plan("m", 3, 4)))
    assert [servable.identity.number for servable in world.models.serving("m")] == [2, 1]
    assert await world.answered_by() == "2.0.0"
    world.loader.gates[3].set()
    await loading
    assert [servable.identity.number for servable in world.models.serving("m")] == [4, 3]


async def test_versions_are_loaded_newest_first(world: World):
    """The one that most callers mean."""
    await world.models.reload(model_plan("m", 2, 10, 1))
    assert world.loader.started == [("m", 10), ("m", 2), ("m", 1)]


async def test_a_load_that_fails_keeps_what_served(world: World):
    """The same version, or another one."""
    await world.models.reload(model_plan("m", 1))
    for number in (1, 2):
        world.loader.failing[number] = REJECTED
        with pytest.raises(ModelRejected) as refused:
            await world.models.reload(model_plan("m", number))
        assert refused.value is REJECTED
        assert world.models.find("m", "") is world.loader.made[0]
    assert world.states == [("m@2.0.0", "UNAVAILABLE", REJECTED.message), ("m@1.0.0", "READY", "")]
    assert world.gone == []


async def test_versions_that_load_serve_although_others_fail(world: World):
    """The error is that of the newest; one that failed and served before goes on serving."""
    await world.models.reload(model_plan("m", 1, 2))
    old = {servable.identity.number: servable for servable in world.loader.made}
    world.loader.failing = {1: ModelRejected("one"), 4: ModelRejected("four")}
    with pytest.raises(ModelRejected, match="four"):
        await world.models.reload(model_plan("m", 1, 3, 4))
    await settle()
    assert [servable.identity.number for servable in world.models.serving("m")] == [3, 1]
    assert world.models.find("m", "1") is old[1]
    assert old[2].is_closed
    assert world.states == [
        ("m@4.0.0", "UNAVAILABLE", "four"),
        ("m@3.0.0", "READY", ""),
        ("m@2.0.0", "UNAVAILABLE", "unloaded"),
        ("m@1.0.0", "READY", ""),
    ]
    assert world.gone == [old[2].identity]


async def test_a_first_load_that_fails_leaves_a_reason(world: World):
    """Nothing serves, nothing is forgotten, and the next load starts anew."""
    world.loader.failing[1] = REJECTED
    with pytest.raises(ModelRejected):
        await world.models.reload(model_plan("m", 1))
    assert (world.states, world.gone) == ([("m@1.0.0", "UNAVAILABLE", REJECTED.message)], [])
    world.loader.failing.clear()
    await world.models.reload(model_plan("m", 1))
    assert world.states == [("m@1.0.0", "READY", "")]


@pytest.mark.parametrize("how", ["cancelled", "a bug"])
async def test_a_load_that_is_interrupted_leaves_everything_as_it_was(world: World, how: str):
    """What it had loaded by then is closed; what served serves, and is said to."""
    await world.models.reload(model_plan("m", 1))
    old = world.loader.made[0]
    world.loader.gates[1] = asyncio.Event()
    loading = await begun(world.models.reload(model_plan("m", 1, 2, 3)))
    assert world.states == [("m@3.0.0", "LOADING", ""), ("m@2.0.0", "LOADING", ""), ("m@1.0.0", "READY", "")]
    if how == "cancelled":
        loading.cancel()
    else:
        world.loader.failing[1] = ValueError("a bug")
        world.loader.gates[1].set()
    await asyncio.wait((loading,))
    await settle()
    assert loading.cancelled() == (how == "cancelled")
    assert loading.cancelled() or isinstance(loading.exception(), ValueError)
    assert world.models.serving() == [old]
    assert [servable.is_closed for servable in world.loader.made] == [False, True, True]
    assert world.states == [
        ("m@3.0.0", "UNAVAILABLE", "the load was interrupted"),
        ("m@2.0.0", "UNAVAILABLE", "the load was interrupted"),
        ("m@1.0.0", "READY", ""),
    ]
    assert [identity.number for identity in world.gone] == [3, 2]


async def test_unloading_waits_for_the_calls_inside(world: World):
    """No new ones come in meanwhile."""
    await world.models.reload(model_plan("m", 1))
    (servable,) = world.loader.made
    servable.gate.clear()
    inside = await begun(world.call())
    unloading = await begun(world.models.unload("m"))
    assert world.states == [("m@1.0.0", "UNLOADING", "")]
    assert (unloading.done(), world.gone, world.models.serving()) == (False, [], [])
    servable.gate.set()
    await unloading
    assert (inside.done(), servable.is_closed, world.gone) == (True, True, [servable.identity])
    assert world.states == [("m@1.0.0", "UNAVAILABLE", "unloaded")]


async def test_unloading_waits_for_the_calls_of_earlier_loads_too(world: World):
    """They are inside the model, although another load serves."""
    await world.models.reload(model_plan("m", 1))
    old = world.loader.made[0]
    old.gate.clear()
    inside = await begun(world.call())
    await world.models.reload(model_plan("m", 1))
    unloading = await begun(world.models.unload("m"))
    assert world.loader.made[1].is_closed
    assert (unloading.done(), world.gone) == (False, [])
    assert world.states == [("m@1.0.0", "UNLOADING", "")]
    old.gate.set()
    await unloading
    await inside
    assert world.gone == [old.identity]


async def test_an_unload_goes_on_when_its_caller_stops_waiting(world: World):
    """And another caller may wait for the same."""
    await world.models.reload(model_plan("m", 1))
    (servable,) = world.loader.made
    servable.gate.clear()
    inside = await begun(world.call())
    unloading = await begun(world.models.unload("m"))
    unloading.cancel()
    await asyncio.wait((unloading,))
    assert world.states == [("m@1.0.0", "UNLOADING", "")]
    again = await begun(world.models.unload("m"))
    assert not again.done()
    servable.gate.set()
    await again
    await inside
    assert (servable.is_closed, servable.closes, world.gone) == (True, 1, [servable.identity])


async def test_unloading_what_is_not_there_is_not_found(world: World):
    """And unloading twice is no mistake."""
    with pytest.raises(NotFound) as refused:
        await world.models.unload("m")
    assert refused.value.message == "model 'm': expected one that this server has; 'serinus models list' shows them"
    await world.models.reload(model_plan("m", 1))
    await world.models.unload("m")
    await world.models.unload("m")
    assert len(world.gone) == 1


async def test_a_model_that_was_unloaded_can_be_loaded_again(world: World):
    """It is forgotten once for each time that it was there."""
    for _ in range(2):
        await world.models.reload(model_plan("m", 1))
        assert await world.answered_by() == "1.0.0"
        await world.models.unload("m")
    assert [str(identity) for identity in world.gone] == ["m@1.0.0", "m@1.0.0"]


async def test_changes_of_one_model_wait_for_each_other(world: World):
    """In the order in which they were asked for; other models do not wait."""
    world.loader.gates[1] = asyncio.Event()
    first = await begun(world.models.reload(model_plan("m", 1)))
    unloading = await begun(world.models.unload("m"))
    second = await begun(world.models.reload(model_plan("m", 2)))
    await world.models.reload(model_plan("other", 5))
    assert (first.done(), unloading.done(), second.done()) == (False, False, False)
    assert world.loader.started == [("m", 1), ("other", 5)]
    world.loader.gates[1].set()
    await asyncio.gather(first, unloading, second)
    assert world.states == [
        ("m@2.0.0", "READY", ""),
        ("m@1.0.0", "UNAVAILABLE", "unloaded"),
        ("other@5.0.0", "READY", ""),
    ]


async def test_a_version_that_comes_back_while_its_last_load_closes_is_not_forgotten(world: World):
    """Its counters are already those of the new load."""
    await world.models.reload(model_plan("m", 1))
    old = world.loader.made[0]
    old.gate.clear()
    inside = await begun(world.call())
    await world.models.reload(model_plan("m", 2))
    world.loader.gates[1] = asyncio.Event()
    loading = await begun(world.models.reload(model_plan("m", 1)))
    assert world.states == [("m@2.0.0", "READY", ""), ("m@1.0.0", "LOADING", "")]
    old.gate.set()
    await inside
    await settle()
    assert (old.is_closed, world.gone) == (True, [])
    assert world.states == [("m@2.0.0", "READY", ""), ("m@1.0.0", "LOADING", "")]
    world.loader.gates[1].set()
    await loading
    await settle()
    assert world.states == [("m@2.0.0", "UNAVAILABLE", "unloaded"), ("m@1.0.0", "READY", "")]
    assert [identity.number for identity in world.gone] == [2]


async def test_a_version_whose_new_load_fails_while_its_last_one_closed_is_forgotten(world: World):
    """Nothing is left of it then."""
    await world.models.reload(model_plan("m", 1))
    old = world.loader.made[0]
    await world.models.unload("m")
    world.gone.clear()
    await world.models.reload(model_plan("m", 1))
    servable = world.loader.made[1]
    servable.gate.clear()
    inside = await begun(world.call())
    unloading = await begun(world.models.unload("m"))
    unloading.cancel()
    await asyncio.wait((unloading,))
    world.loader.gates[1] = asyncio.Event()
    world.loader.failing[1] = REJECTED
    loading = await begun(world.models.reload(model_plan("m", 1)))
    servable.gate.set()
    await inside
    await settle()
    assert world.gone == []
    world.loader.gates[1].set()
    with pytest.raises(ModelRejected):
        await loading
    assert world.gone == [old.identity]
    assert world.states == [("m@1.0.0", "UNAVAILABLE", REJECTED.message)]


async def test_a_model_that_could_not_be_read_is_in_the_index_until_it_is_loaded(world: World):
    """What serves under its name is not touched."""
    world.models.reject("m", "config.pbtxt cannot be parsed")
    assert world.states == [("m@0.0.0", "UNAVAILABLE", "config.pbtxt cannot be parsed")]
    await world.models.reload(model_plan("m", 1))
    assert world.states == [("m@1.0.0", "READY", "")]
    world.models.reject("m", "it was removed")
    assert world.states == [("m@1.0.0", "READY", ""), ("m@0.0.0", "UNAVAILABLE", "it was removed")]
    await world.models.unload("m")


async def test_a_version_that_does_not_close_takes_nobody_down(world: World):
    """The log says so; the others serve."""
    await world.models.reload(model_plan("m", 1))
    await world.models.reload(model_plan("other", 1))
    world.loader.made[0].broken = ValueError("a bug")
    await world.models.unload("m")
    assert world.states == [("m@1.0.0", "UNAVAILABLE", "unloaded"), ("other@1.0.0", "READY", "")]
    assert (await world.call("other")).answered_by.model == "other"


class Interrupted(Exception):
    """What ends a block."""


async def test_leaving_closes_everything():
    """Every version of every model, after its calls, and each is forgotten once."""
    made = world()
    async with made.models:
        await made.models.reload(model_plan("a", 1, 2))
        await made.models.reload(model_plan("b", 1))
        made.loader.made[0].gate.clear()
        inside = await begun(made.call("a"))
        asyncio.get_running_loop().call_soon(made.loader.made[0].gate.set)
    assert inside.done()
    assert all(servable.is_closed for servable in made.loader.made)
    assert sorted(str(identity) for identity in made.gone) == ["a@1.0.0", "a@2.0.0", "b@1.0.0"]
    assert made.models.serving() == []


@pytest.mark.parametrize("error", [Interrupted(), asyncio.CancelledError()])
async def test_leaving_with_an_error_closes_everything_and_passes_the_error_on(error: BaseException):
    """As it is, not in a group; a server that cannot start must give back what it has."""
    made = world()

    async def block() -> None:
        async with made.models:
            await made.models.reload(model_plan("a", 1, 2))
            raise error

    task = asyncio.create_task(block())
    await asyncio.wait((task,))
    assert task.cancelled() or task.exception() is error
    assert [servable.is_closed for servable in made.loader.made] == [True, True]


async def test_leaving_waits_for_a_load_that_is_under_way():
    """What it makes is closed as well."""
    made = world()
    made.loader.gates[1] = asyncio.Event()
    async with made.models:
        loading = await begun(made.models.reload(model_plan("m", 1)))
        asyncio.get_running_loop().call_soon(made.loader.gates[1].set)
    assert loading.done()
    assert [servable.is_closed for servable in made.loader.made] == [True]
