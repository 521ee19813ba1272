"""Which registered versions are to be loaded."""

import pytest

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
