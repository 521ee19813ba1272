"""Which registered versions are to be loaded."""

import dataclasses

import pytest

from serinus.core.traffic import WHOLE, Arm, FallbackPolicy, MirrorPlan, OtherVersion, Traffic, TrafficSplit
from serinus.core.version import ModelVersion, Version
from serinus.registry.records import Placement, VersionState
from serinus.registry.wanted import FollowMode, wanted
from tests.support.records import model_record, version_record

FOLLOW, LOADED, UNLOADED = Placement.FOLLOW, Placement.LOADED, Placement.UNLOADED


@pytest.mark.parametrize(
    ("mode", "placements", "aliases", "numbers"),
    [
        pytest.param("follow", (FOLLOW, FOLLOW), {"stable": 1}, [1], id="what an alias names"),
        pytest.param("follow", (FOLLOW, FOLLOW), {"stable": 1, "canary": 2}, [2, 1], id="each alias"),
        pytest.param("follow", (FOLLOW, FOLLOW), {"a": 1, "b": 1}, [1], id="once"),
        pytest.param("follow", (FOLLOW, LOADED), {"stable": 1}, [2, 1], id="what was loaded by hand too"),
        pytest.param("follow", (UNLOADED, FOLLOW), {"stable": 1}, [], id="not what was unloaded by hand"),
        pytest.param("follow", (FOLLOW, FOLLOW), {}, [], id="nothing without a reason"),
        pytest.param("explicit", (FOLLOW, FOLLOW), {"stable": 1}, [], id="explicit: no alias loads"),
        pytest.param("explicit", (LOADED, UNLOADED), {"stable": 2}, [1], id="explicit: what was loaded by hand"),
    ],
)
def test_what_is_wanted(mode: str, placements: tuple[Placement, ...], aliases: dict[str, int], numbers: list[int]):
    """Aliases and decisions make it, as far as the mode says."""
    versions = [
        version_record(f"1.{number}.0", number, placement=placement) for number, placement in enumerate(placements, 1)
    ]
    found = wanted(model_record(*versions, aliases=aliases), FollowMode(mode))
    assert [record.identity.number for record in found] == numbers


def test_an_archived_version_serves_while_an_alias_names_it():
    """Hiding it must not take anybody's answers away."""
    archived = version_record(state=VersionState.ARCHIVED)
    assert wanted(model_record(archived, aliases={"stable": 1}), FollowMode.FOLLOW) == (archived,)


def numbers_for(traffic: Traffic, mode: FollowMode, **placements: Placement) -> list[int]:
    """What is wanted of four versions, of which `stable` names the first."""
    versions = [
        version_record(f"1.{number}.0", number, placement=placements.get(f"v{number}", FOLLOW))
        for number in range(1, 5)
    ]
    model = dataclasses.replace(model_record(*versions, aliases={"stable": 1}), traffic=traffic)
    return [record.identity.number for record in wanted(model, mode)]


ONE, TWO, THREE, FOUR = (ModelVersion("m", Version(1, number), number) for number in range(1, 5))
SPLIT = TrafficSplit("salt", (Arm(TWO, 0), Arm(ONE, WHOLE)), mirror=MirrorPlan(THREE, 100))


@pytest.mark.parametrize("mode", FollowMode)
@pytest.mark.parametrize(
    ("traffic", "numbers"),
    [
        pytest.param(Traffic(SPLIT), [3, 2, 1], id="arms, whatever their weight, and the mirrored version"),
        pytest.param(Traffic(kept=(FOUR, ONE)), [4, 1], id="what is kept to go back to"),
        pytest.param(
            Traffic(fallback=FallbackPolicy((OtherVersion("m", "1.4.0"), OtherVersion("m", "stable")))),
            [4, 1],
            id="fallbacks of its own",
        ),
        pytest.param(
            Traffic(
                TrafficSplit("salt", (Arm(ONE, WHOLE),)),
                FallbackPolicy((OtherVersion("n", "1.4.0"), OtherVersion("m", "?"), OtherVersion("m", "9"))),
            ),
            [1],
            id="no fallback that is another model's or cannot be meant",
        ),
    ],
)
def test_what_calls_are_sent_to_is_wanted(mode: FollowMode, traffic: Traffic, numbers: list[int]):
    """In both modes."""
    assert numbers_for(traffic, mode) == numbers


@pytest.mark.parametrize("mode", FollowMode)
def test_what_was_unloaded_by_hand_stays_so(mode: FollowMode):
    """Whoever did it meant it."""
    assert numbers_for(Traffic(SPLIT), mode, v2=UNLOADED) == [3, 1]
