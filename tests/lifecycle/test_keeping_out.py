"""Versions that must not serve, whatever is wanted."""

import pytest

from serinus.core.errors import ModelRejected, NotLoaded
from tests.lifecycle.conftest import World, begun
from tests.lifecycle.fake_servables import open_gate
from tests.lifecycle.plans import plan_of, version
from tests.support.fakes import settle

KEPT_OUT = ModelRejected("m@2.0.0 killed four workers", reason="QUARANTINED")
V1, V2 = 100, 200


async def test_it_goes_at_once_and_others_serve_on(world: World):
    """Calls inside are answered; later ones are told why, by whatever name they come."""
    world.models.apply(plan_of("1.0.0", "2.0.0", aliases={"canary": "2.0.0", "stable": "1.0.0"}))
    await world.models.settled("m")
    killer = next(servable for servable in world.loader.made if servable.identity == version("2.0.0"))
    killer.gate.clear()
    inside = await begun(world.call(version="2.0.0"))
    world.models.keep_out(version("2.0.0"), KEPT_OUT)
    for name in ("2.0.0", "200", "canary"):
        with pytest.raises(NotLoaded, match=r"^m@2\.0\.0 killed four workers$") as caught:
            await world.call(version=name)
        assert caught.value.reason == "QUARANTINED"
    assert [await world.answered_by(name) for name in ("", "stable", "latest")] == ["1.0.0"] * 3
    killer.gate.set()
    assert str((await inside).answered_by) == "m@2.0.0"
    await world.models.closed("m")
    assert world.states == [("m@2.0.0", "UNAVAILABLE", KEPT_OUT.message), ("m@1.0.0", "READY", "")]
    assert (world.models.failure(version("2.0.0")), world.gone) == (KEPT_OUT, [version("2.0.0")])


async def test_a_model_that_has_nothing_else_says_why(world: World):
    """A call that names no version hears of the one that it would have met."""
    world.models.apply(plan_of("2.0.0"))
    await world.models.settled("m")
    world.models.keep_out(version("2.0.0"), KEPT_OUT)
    with pytest.raises(NotLoaded, match="killed four workers"):
        await world.call()


async def test_a_load_under_way_is_given_up(world: World):
    """What comes of it would serve."""
    gate = world.loader.gates[V2] = open_gate()
    gate.clear()
    world.models.apply(plan_of("1.0.0", "2.0.0"))
    await settle()
    world.models.keep_out(version("2.0.0"), KEPT_OUT)
    gate.set()
    await settle()
    assert world.loader.given_up == [V2]
    assert world.states == [("m@2.0.0", "UNAVAILABLE", KEPT_OUT.message), ("m@1.0.0", "READY", "")]


async def test_somebody_who_asks_gets_it_tried_again(world: World):
    """Nothing else does."""
    world.models.apply(plan_of("2.0.0"))
    await world.models.settled("m")
    world.models.keep_out(version("2.0.0"), KEPT_OUT)
    world.models.apply(plan_of("2.0.0"))
    await settle()
    assert [number for _, number in world.loader.started] == [V2]
    world.models.retry("m")
    await world.models.settled("m")
    assert await world.answered_by() == "2.0.0"


@pytest.mark.parametrize("unknown", ["other@1.0.0", "m@3.0.0"])
async def test_what_is_not_there_needs_no_keeping_out(world: World, unknown: str):
    """No trace of it appears."""
    world.models.apply(plan_of("1.0.0"))
    await world.models.settled("m")
    model, _, text = unknown.partition("@")
    world.models.keep_out(version(text, model), KEPT_OUT)
    assert world.states == [("m@1.0.0", "READY", "")]
