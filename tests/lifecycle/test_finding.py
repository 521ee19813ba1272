"""Which version a call means."""

import pytest

from serinus.core.errors import InvalidInput, NotFound, NotLoaded, ServerError
from tests.lifecycle.conftest import World
from tests.lifecycle.fake_servables import model_plan
from tests.support.fakes import settle

BAD_NAME = "expected [a-z0-9][a-z0-9._-]{0,127} without '..'"


def refusal(world: World, model: str, version: str) -> tuple[type[ServerError], str, str, str]:
    with pytest.raises(ServerError) as refused:
        world.models.find(model, version)
    error = refused.value
    return type(error), error.reason, error.field, error.message


@pytest.mark.parametrize(
    ("asked", "found"),
    [("", "10.0.0"), ("10", "10.0.0"), ("9", "9.0.0"), ("2", "2.0.0"), ("9.0.0", "9.0.0"), ("10.0.0", "10.0.0")],
)
async def test_a_version_is_found_by_nothing_by_number_and_by_name(world: World, asked: str, found: str):
    """Nothing means the newest by number; 10 is newer than 9."""
    await world.models.reload(model_plan("m", 2, 10, 9))
    assert str(world.models.find("m", asked).identity.version) == found
    assert await world.answered_by(asked) == found


async def test_an_unknown_model_is_not_found(world: World):
    """Whichever version is asked for."""
    expected = (
        NotFound,
        "NOT_FOUND",
        "model",
        "model 'm': expected one that this server has; 'serinus models list' shows them",
    )
    assert refusal(world, "m", "") == refusal(world, "m", "1") == expected


async def test_an_unknown_version_is_not_found(world: World):
    """The sentence says which there are."""
    await world.models.reload(model_plan("m", 1, 3))
    message = "model 'm' has no version '2': expected one of ['1.0.0', '3.0.0']"
    assert refusal(world, "m", "2") == (NotFound, "NOT_FOUND", "version", message)
    assert refusal(world, "m", "stable")[:3] == (NotFound, "NOT_FOUND", "version")


async def test_a_version_that_is_known_but_does_not_serve_is_not_loaded(world: World):
    """By its number and by its name; the sentence says what it is doing."""
    await world.models.reload(model_plan("m", 1))
    await world.models.reload(model_plan("m", 2))
    await settle()
    expected = (
        NotLoaded,
        "NOT_LOADED",
        "version",
        "m@1.0.0 is UNAVAILABLE (unloaded); 'serinus models load m@1.0.0' loads it",
    )
    assert refusal(world, "m", "1") == refusal(world, "m", "1.0.0") == expected


async def test_a_model_of_which_nothing_serves_is_not_loaded(world: World):
    """It was unloaded, or could not even be read."""
    await world.models.reload(model_plan("m", 1))
    await world.models.unload("m")
    world.models.reject("broken", "config.pbtxt cannot be parsed")
    message = "model {0!r} is known but no version of it serves now; 'serinus models load {0}' loads it"
    assert refusal(world, "m", "") == (NotLoaded, "NOT_LOADED", "model", message.format("m"))
    assert refusal(world, "broken", "") == (NotLoaded, "NOT_LOADED", "model", message.format("broken"))
    assert refusal(world, "broken", "1") == (NotLoaded, "NOT_LOADED", "model", message.format("broken"))


@pytest.mark.parametrize("model", ["", "M", "a b", "../etc", "a..b", "m" * 129, "m\n"])
async def test_what_cannot_name_a_model_is_no_name(world: World, model: str):
    """The sentence says what can, and shows no more than a part of what was sent."""
    message = f"invalid model name {model[:64]!r}: {BAD_NAME}"
    assert refusal(world, model, "") == (InvalidInput, "INVALID_NAME", "model", message)


@pytest.mark.parametrize("version", [" ", "1/2", "../1", "-1", "v" * 129, "1\n"])
async def test_what_cannot_name_a_version_is_no_name(world: World, version: str):
    """Whether the model exists or not."""
    await world.models.reload(model_plan("m", 1))
    message = f"invalid version {version[:64]!r}: expected MAJOR.MINOR.PATCH, a number, an alias or a range"
    expected = (InvalidInput, "INVALID_VERSION", "version", message)
    assert refusal(world, "m", version) == refusal(world, "none", version) == expected


async def test_a_call_that_means_nothing_is_counted_once(world: World):
    """Under its reason, because no model counts it."""
    for model in ("m", "M"):
        with pytest.raises(ServerError):
            await world.call(model)
    assert world.refused == ["NOT_FOUND", "INVALID_NAME"]


async def test_what_serves_is_listed_by_name_then_newest_first(world: World):
    """Each version once, although it is found by two names."""
    for plan in (model_plan("b", 1, 10, 2), model_plan("a", 3)):
        await world.models.reload(plan)
    assert [str(servable.identity) for servable in world.models.serving()] == [
        "a@3.0.0",
        "b@10.0.0",
        "b@2.0.0",
        "b@1.0.0",
    ]
    assert [str(servable.identity) for servable in world.models.serving("a")] == ["a@3.0.0"]
    assert world.models.serving("none") == []


async def test_labels_are_those_of_the_version_that_answered(world: World):
    """None when it is gone meanwhile."""
    await world.models.reload(model_plan("m", 1))
    (servable,) = world.loader.made
    servable.labels = {"y": ("cat", "dog")}
    assert world.models.labels(servable.identity) == {"y": ("cat", "dog")}
    await world.models.unload("m")
    assert world.models.labels(servable.identity) == {}
