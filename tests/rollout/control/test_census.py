"""Who takes part in a rollout, and what keeps them from serving it."""

import pytest

from serinus.core.windows import ServerWindow
from serinus.rollout.control.census import Census
from tests.support.rollouts import BASELINE, CANDIDATE, begun, prepared_at

CANARY = {"canary": {"weight": 5}}
GREEN = {"blue_green": {"keep_s": 60}}
ALL = {"canary": {"weight": 100}}


def window(server: str, *, cannot_load: int = 0, has_left: bool = False) -> ServerWindow:
    failures = {cannot_load: "the model file is cut off"} if cannot_load else {}
    return ServerWindow("r", server, 1, 0, 3, failures=failures, has_left=has_left)


def test_who_has_left_is_neither_alive_nor_dead():
    """It went as it should, however long it has been silent."""
    here, gone, dead = window("a"), window("b", has_left=True), window("c")
    assert Census.of([here, gone, dead], {"b", "c"}) == Census((here,), (dead,))


@pytest.mark.parametrize(
    ("rollout", "trouble"),
    [
        (begun(CANARY, ALL), "m@1.0.0 cannot be loaded on 1 of 2 servers: the model file is cut off"),
        (prepared_at(0.0, CANARY, ALL), "m@1.0.0 cannot be loaded on 1 of 2 servers: the model file is cut off"),
        (prepared_at(0.0, ALL), ""),
        (prepared_at(0.0, GREEN), ""),
    ],
)
def test_a_candidate_that_has_all_calls_does_not_need_stable(rollout, trouble):
    """Going back to what is broken would help nobody."""
    census = Census.of([window("a"), window("b", cannot_load=BASELINE.number)], ())
    assert census.trouble(rollout) == trouble


def test_trouble_of_the_dead_is_none():
    """Only who lives could send calls to a version that is broken."""
    census = Census.of([window("a", cannot_load=CANDIDATE.number)], {"a"})
    assert census.trouble(prepared_at(0.0, CANARY, ALL)) == ""
