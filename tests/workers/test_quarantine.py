"""Who is kept out after workers have died."""

import json

import pytest

from serinus.core.version import ModelVersion, Version
from serinus.workers.quarantine import Quarantine, Quarantined

KILLER = ModelVersion("ocr", Version(2), 5)
BYSTANDER = ModelVersion("ocr", Version(1), 4)
OTHER = ModelVersion("magika", Version(1), 1)
KEPT_OUT = Quarantined(KILLER, 4, 60.0, "signal 11")


@pytest.fixture
def quarantine() -> Quarantine:
    return Quarantine(most_deaths=3, window_s=60.0)


def deaths(quarantine: Quarantine, *times: float, suspects: tuple[ModelVersion, ...] = (KILLER,)) -> list[Quarantined]:
    return [each for now in times for each in quarantine.died(suspects, end="signal 11", now=now)]


def test_one_death_too_many_keeps_a_version_out(quarantine: Quarantine):
    """Three in a minute are put up with, the fourth is not; it is said once."""
    assert deaths(quarantine, 0.0, 1.0, 2.0) == []
    assert deaths(quarantine, 59.0, 59.5) == [KEPT_OUT]
    assert quarantine.entries() == (KEPT_OUT,)


def test_deaths_that_are_long_ago_do_not_count(quarantine: Quarantine):
    """The window slides; nothing is remembered of who was there before it."""
    assert deaths(quarantine, 0.0, 1.0, 2.0, 60.0, 61.0, 62.0, 120.5) == []
    assert repr(quarantine) == "<Quarantine [] [1 suspects]>"
    assert deaths(quarantine, 181.0, suspects=()) == []
    assert repr(quarantine) == "<Quarantine [] [0 suspects]>"


def test_a_bystander_is_kept_out_only_in_its_own_right(quarantine: Quarantine):
    """Each is judged by the deaths at which it was there itself."""
    assert deaths(quarantine, 0.0, 1.0, 2.0, suspects=(KILLER, BYSTANDER)) == []
    assert deaths(quarantine, 3.0) == [KEPT_OUT]
    assert quarantine.entries() == (KEPT_OUT,)
    assert deaths(quarantine, 4.0, suspects=(BYSTANDER,)) == [Quarantined(BYSTANDER, 4, 60.0, "signal 11")]


@pytest.mark.parametrize(("model", "version"), [("ocr", ""), ("ocr", "2.0.0")])
def test_a_person_lifts_it(quarantine: Quarantine, model: str, version: str):
    """What is lifted begins at no deaths."""
    deaths(quarantine, 0.0, 1.0, 2.0, 3.0)
    assert quarantine.lift(model, version) == [KEPT_OUT]
    assert quarantine.entries() == ()
    assert deaths(quarantine, 4.0, 5.0, 6.0) == []
    assert deaths(quarantine, 7.0) == [KEPT_OUT]


@pytest.mark.parametrize(("model", "version"), [("ocr", "1.0.0"), ("magika", ""), ("oc", "")])
def test_only_what_is_meant_is_lifted(quarantine: Quarantine, model: str, version: str):
    """Others stay where they are."""
    deaths(quarantine, 0.0, 1.0, 2.0, 3.0)
    assert quarantine.lift(model, version) == []
    assert quarantine.entries() == (KEPT_OUT,)


def test_loading_it_by_hand_forgives_a_suspect(quarantine: Quarantine):
    """Deaths before somebody looked after it do not count."""
    deaths(quarantine, 0.0, 1.0, 2.0)
    assert quarantine.lift("ocr", "") == []
    assert deaths(quarantine, 3.0) == []


def test_nothing_at_work_is_nobodys_fault(quarantine: Quarantine):
    """A worker that dies idle, however often, keeps nothing out."""
    assert deaths(quarantine, *range(20), suspects=()) == []


def test_it_travels_as_json_and_says_what_to_do():
    """What the supervisor decided reaches the worker whole, with a sentence for callers."""
    assert Quarantined.of(json.loads(json.dumps(KEPT_OUT.body()))) == KEPT_OUT
    assert KEPT_OUT.sentence == (
        "ocr@2.0.0 was running at 4 deaths of a worker within 60 s, the last one by signal 11, and is not loaded any "
        "more; 'serinus models load ocr@2.0.0' tries it again"
    )


def test_several_may_be_found_at_one_death(quarantine: Quarantine):
    """Those that were always there together cannot be told apart."""
    found = deaths(quarantine, 0.0, 1.0, 2.0, 3.0, suspects=(OTHER, KILLER))
    assert [each.version for each in found] == [OTHER, KILLER]
