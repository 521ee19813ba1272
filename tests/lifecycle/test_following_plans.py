"""How what serves follows what is wanted."""

import asyncio
import dataclasses

import pytest

from serinus.core.errors import Loading, ModelRejected, NotFound, NotLoaded, StoreUnavailable
from serinus.core.version import ModelVersion, Version
from tests.lifecycle.conftest import World, begun, world
from tests.lifecycle.plans import plan_of, spec_of
from tests.support.fakes import settle
from tests.support.virtual_loop import virtual

REJECTED = ModelRejected("the model file is damaged")
V1, V2, V3 = 100, 200, 300


def started(world: World) -> list[int]:
    return [number for _, number in world.loader.started]


async def test_what_is_wanted_is_loaded_and_an_equal_plan_changes_nothing(world: World):
    """What most calls mean comes first."""
    for _ in range(3):
        world.models.apply(plan_of("1.0.0", "2.0.0", aliases={"stable": "1.0.0"}))
        await world.models.settled("m")
    assert started(world) == [V1, V2]
    assert world.states == [("m@2.0.0", "READY", ""), ("m@1.0.0", "READY", "")]
    assert [str(version) for version in world.models.aliases("m").values()] == ["m@1.0.0"]
    assert [await world.answered_by(name) for name in ("", "stable", "latest", "2.0.0", "100")] == [
        "1.0.0",
        "1.0.0",
        "2.0.0",
        "2.0.0",
        "1.0.0",
    ]
    assert world.metrics.load.count == 2


async def test_only_what_is_wanted_otherwise_is_loaded_again(world: World):
    """The others stay as they are, and nothing is gone meanwhile."""
    world.models.apply(plan_of("1.0.0", "2.0.0"))
    await world.models.settled("m")
    world.models.apply(plan_of(spec_of("1.0.0", reject_nonfinite=True), "2.0.0"))
    await world.models.settled("m")
    await settle()
    assert started(world) == [V2, V1, V1]
    assert [servable.is_closed for servable in world.loader.made] == [False, True, False]
    assert world.models.find("m", "1.0.0") is world.loader.made[2]
    assert world.gone == []


async def test_an_alias_moves_without_losing_a_call(world: World):
    """Calls mean its old version until the new one is ready, and those inside are answered by it."""
    world.models.apply(plan_of("1.0.0", aliases={"stable": "1.0.0"}))
    await world.models.settled("m")
    old = world.loader.made[0]
    old.gate.clear()
    inside = await begun(world.call(version="stable"))
    world.loader.gates[V2] = asyncio.Event()
    world.models.apply(plan_of("2.0.0", aliases={"stable": "2.0.0"}, known=("1.0.0", "2.0.0")))
    late = await begun(world.call())
    world.loader.gates[V2].set()
    await world.models.settled("m")
    assert [await world.answered_by(name) for name in ("", "stable")] == ["2.0.0", "2.0.0"]
    assert world.states == [("m@2.0.0", "READY", ""), ("m@1.0.0", "UNLOADING", "")]
    old.gate.set()
    assert [str((await call).answered_by.version) for call in (inside, late)] == ["1.0.0", "1.0.0"]
    await world.models.closed("m")
    assert world.states == [("m@2.0.0", "READY", ""), ("m@1.0.0", "UNAVAILABLE", "unloaded")]


async def test_a_version_that_cannot_be_loaded_leaves_its_predecessor_its_names(world: World):
    """Although another wanted version is ready; and the wait for it ends with the reason."""
    world.models.apply(plan_of("1.0.0", "3.0.0", aliases={"stable": "1.0.0", "canary": "3.0.0"}))
    await world.models.settled("m")
    world.loader.failing[V2] = REJECTED
    world.models.apply(plan_of("2.0.0", "3.0.0", aliases={"stable": "2.0.0", "canary": "3.0.0"}))
    with pytest.raises(ModelRejected) as refused:
        await world.models.settled("m")
    assert refused.value is REJECTED
    assert [await world.answered_by(name) for name in ("", "stable", "canary", "1.0.0")] == [
        "1.0.0",
        "1.0.0",
        "3.0.0",
        "1.0.0",
    ]
    assert world.states[1] == ("m@2.0.0", "UNAVAILABLE", REJECTED.message)
    assert world.metrics.failed_loads == 1
    versions = [spec_of(text).identity for text in ("1.0.0", "2.0.0", "3.0.0")]
    assert [world.models.failure(each) for each in versions] == [None, REJECTED, None]
    assert [world.models.serves(each) for each in versions] == [True, False, True]


async def test_the_newest_plan_wins(world: World):
    """A load that it does not want is given up, one that it wants goes on."""
    world.loader.gates = {V1: asyncio.Event(), V2: asyncio.Event()}
    world.models.apply(plan_of("1.0.0", "2.0.0"))
    await settle()
    world.models.apply(plan_of("2.0.0", "3.0.0"))
    await settle()
    assert (sorted(started(world)), world.loader.given_up) == ([V1, V2, V3], [V1])
    world.loader.gates[V2].set()
    await world.models.settled("m")
    assert [str(servable.identity) for servable in world.models.serving("m")] == ["m@3.0.0", "m@2.0.0"]
    assert world.states == [("m@3.0.0", "READY", ""), ("m@2.0.0", "READY", "")]


async def test_a_plan_that_comes_back_loads_anew_what_it_gave_up(world: World):
    """As if nothing had been."""
    world.loader.gates[V1] = asyncio.Event()
    world.models.apply(plan_of("1.0.0"))
    await settle()
    world.models.apply(plan_of(known=("1.0.0",)))
    assert world.states == [("m@1.0.0", "UNAVAILABLE", "the load was interrupted")]
    world.models.apply(plan_of("1.0.0"))
    assert world.states == [("m@1.0.0", "LOADING", "")]
    world.loader.gates[V1].set()
    await world.models.settled("m")
    assert (started(world), world.loader.given_up) == ([V1, V1], [V1])
    assert (world.states, len(world.loader.made)) == ([("m@1.0.0", "READY", "")], 1)


async def test_a_load_that_was_given_up_and_ends_all_the_same_is_closed(world: World):
    """A loader that is past the point at which it can be stopped."""
    gate = asyncio.Event()
    original = world.loader.__call__

    class Deaf(asyncio.Event):
        async def wait(self) -> bool:  # type: ignore[override]  # True, always
            try:
                await gate.wait()
            except asyncio.CancelledError:
                await gate.wait()
            return True

    assert original is not None
    world.loader.gates[V1] = Deaf()
    world.models.apply(plan_of("1.0.0"))
    await settle()
    world.models.apply(plan_of("2.0.0"))
    await world.models.settled("m")
    gate.set()
    await settle()
    assert {str(made.identity): made.is_closed for made in world.loader.made} == {"m@2.0.0": False, "m@1.0.0": True}
    assert await world.answered_by("latest") == "2.0.0"


async def test_a_failure_is_tried_again_when_the_plan_changes(world: World):
    """And when somebody asks for it, but not because the same plan comes again."""
    world.loader.failing[V1] = REJECTED
    for _ in range(3):
        world.models.apply(plan_of("1.0.0"))
        with pytest.raises(ModelRejected):
            await world.models.settled("m")
    assert started(world) == [V1]
    world.models.apply(plan_of("1.0.0", known=("2.0.0",)))
    with pytest.raises(ModelRejected):
        await world.models.settled("m")
    world.loader.failing.clear()
    world.models.retry("m")
    await world.models.settled("m")
    assert (started(world), world.states[1]) == ([V1, V1, V1], ("m@1.0.0", "READY", ""))


@virtual
async def test_a_failure_that_may_pass_is_tried_again_ever_more_rarely():
    """Until it passes; nothing happens in between."""
    loop = asyncio.get_running_loop()
    made = world(clock=loop.time)
    made.loader.failing[V1] = StoreUnavailable("the store is away")
    async with made.models:
        made.models.apply(plan_of("1.0.0"))
        with pytest.raises(StoreUnavailable):
            await made.models.settled("m")
        assert made.models.failure(spec_of("1.0.0").identity) is None
        seen = []
        for until in (4.0, 5.0, 14.0, 15.0, 34.0, 35.0):
            await asyncio.sleep(until - loop.time())
            await settle()
            seen.append(len(made.loader.started))
        assert seen == [1, 2, 2, 3, 3, 4]
        made.loader.failing.clear()
        await asyncio.sleep(1000)
        assert (len(made.loader.started), made.states) == (5, [("m@1.0.0", "READY", "")])


@virtual
async def test_nothing_is_tried_again_for_a_plan_that_is_no_more():
    """Neither after another plan nor after the end."""
    made = world(clock=asyncio.get_running_loop().time)
    made.loader.failing = dict.fromkeys((V1, V2), StoreUnavailable("the store is away"))
    async with made.models:
        made.models.apply(plan_of("1.0.0"))
        await settle()
        made.models.apply(plan_of())
        await asyncio.sleep(1000)
        made.models.apply(plan_of("2.0.0"))
        await settle()
    await asyncio.sleep(1000)
    assert started(made) == [V1, V2]


async def test_a_bug_in_one_load_is_that_models_alone(world: World):
    """The index says that it was none of the model's fault; the others go on."""
    world.loader.failing[V1] = ZeroDivisionError("a bug")
    world.models.apply(plan_of("1.0.0"))
    world.models.apply(plan_of("2.0.0", model="other"))
    with pytest.raises(ModelRejected):
        await world.models.settled("m")
    await world.models.settled("other")
    reason = "the load failed for an unexpected reason; the server's log has it"
    assert world.states == [("m@1.0.0", "UNAVAILABLE", reason), ("other@2.0.0", "READY", "")]


async def test_versions_that_exist_without_being_wanted_are_in_the_index(world: World):
    """Until they exist no more; the sentence says how to have one served."""
    world.models.apply(plan_of("1.0.0", known=("1.0.0", "1.5.0"), aliases={"next": "1.5.0"}))
    await world.models.settled("m")
    assert world.states == [("m@1.5.0", "UNAVAILABLE", "registered, not loaded"), ("m@1.0.0", "READY", "")]
    sentence = "m@1.5.0 is UNAVAILABLE (registered, not loaded); 'serinus models load m@1.5.0' loads it"
    for name in ("1.5.0", "150", "next", "~1.5"):
        with pytest.raises(NotLoaded) as refused:
            world.models.find("m", name)
        assert refused.value.message == sentence
    world.models.apply(plan_of("1.0.0", known=("1.0.0",)))
    assert world.states == [("m@1.0.0", "READY", "")]
    world.models.apply(plan_of())
    await world.models.closed("m")
    assert (world.states, [str(version) for version in world.gone]) == ([], ["m@1.0.0"])
    with pytest.raises(NotFound):
        world.models.find("m", "")
    with pytest.raises(NotFound):
        await world.models.unload("m")


async def test_a_call_for_a_version_on_its_way_is_to_come_again(world: World):
    """Whichever way it is named, and whether something else serves or not."""
    world.loader.gates = {V1: asyncio.Event(), 210: asyncio.Event()}
    world.models.apply(plan_of("1.0.0", aliases={"stable": "1.0.0"}))
    await settle()
    for name in ("", "stable", "1.0.0", "100", "^1", "latest"):
        with pytest.raises(Loading) as refused:
            await world.call(version=name)
        assert refused.value.message == "m@1.0.0 is being loaded: expected the call again in a moment"
    world.loader.gates[V1].set()
    await world.models.settled("m")
    world.models.apply(plan_of("1.0.0", "2.1.0", aliases={"stable": "1.0.0", "canary": "2.1.0"}))
    await settle()
    for name in ("canary", "2.1.0", "2"):
        with pytest.raises(Loading if name != "2" else NotFound):
            world.models.find("m", name)
    assert [await world.answered_by(name) for name in ("", "latest", ">=1", "~1.0")] == ["1.0.0"] * 4
    assert world.refused == ["LOADING"] * 6
    world.loader.gates[210].set()


async def test_ranges_mean_the_highest_that_serves(world: World):
    """Among versions whose numbers have another order than the versions."""
    ten = dataclasses.replace(spec_of("1.10.0"), identity=ModelVersion("m", Version(1, 10), 1))
    world.models.apply(plan_of("1.2.0", ten, "2.0.0"))
    await world.models.settled("m")
    names = ("^1", "~1.2", "1.2.x", ">=1.2 <1.10", "1.x", "*", "")
    found = []
    for name in names:
        try:
            found.append(str(world.models.find("m", name).identity.version))
        except Exception as error:  # noqa: BLE001 - which one is what the test shows
            found.append(type(error).__name__)
    assert found == ["1.10.0", "1.2.0", "1.2.0", "1.2.0", "1.10.0", "InvalidInput", "2.0.0"]


async def test_a_reload_takes_over_the_loads_of_a_plan(world: World):
    """And they go on when it is given up."""
    world.loader.gates = {V1: asyncio.Event(), V2: asyncio.Event()}
    world.models.apply(plan_of("1.0.0"))
    reloading = await begun(world.models.reload(plan_of("2.0.0")))
    assert (started(world), world.loader.given_up) == ([V1, V2], [V1])
    reloading.cancel()
    await asyncio.wait((reloading,))
    await settle()
    assert (started(world), world.loader.given_up) == ([V1, V2, V1], [V1, V2])
    world.loader.gates[V1].set()
    await world.models.settled("m")
    assert await world.answered_by() == "1.0.0"


async def test_a_plan_that_comes_during_a_reload_counts_from_its_end_on(world: World):
    """It is newer than what is reloaded."""
    world.models.apply(plan_of("1.0.0"))
    await world.models.settled("m")
    world.loader.gates[V2] = asyncio.Event()
    reloading = await begun(world.models.reload(plan_of("2.0.0")))
    world.models.apply(plan_of("3.0.0"))
    await settle()
    assert started(world) == [V1, V2]
    assert await world.answered_by() == "1.0.0"
    world.loader.gates[V2].set()
    await reloading
    await world.models.settled("m")
    await settle()
    assert [servable.is_closed for servable in world.loader.made] == [True, True, False]
    assert await world.answered_by() == "3.0.0"


async def test_leaving_gives_up_loads():
    """Nothing waits for them."""
    made = world()
    made.loader.gates[V1] = asyncio.Event()
    async with made.models:
        made.models.apply(plan_of("1.0.0"))
        await settle()
    assert (made.loader.given_up, made.loader.made) == ([V1], [])


@pytest.mark.parametrize("is_wanted", [True, False], ids=["cannot be loaded", "was unloaded by hand"])
async def test_no_canary_answers_in_the_place_of_stable(world: World, is_wanted: bool):  # noqa: FBT001 - a case
    """A call that names no version means `stable`, and hears why that one does not answer."""
    world.loader.failing[V1] = REJECTED
    wanted = ("1.0.0", "2.0.0") if is_wanted else ("2.0.0",)
    aliases = {"stable": "1.0.0", "canary": "2.0.0"}
    world.models.apply(plan_of(*wanted, aliases=aliases, known=("1.0.0",)))
    if is_wanted:
        with pytest.raises(ModelRejected):
            await world.models.settled("m")
    else:
        await world.models.settled("m")
    for name in ("", "stable"):
        with pytest.raises(NotLoaded, match=r"^m@1\.0\.0 is UNAVAILABLE"):
            await world.call(version=name)
    assert [await world.answered_by(name) for name in ("canary", "latest", "2.0.0")] == ["2.0.0"] * 3
