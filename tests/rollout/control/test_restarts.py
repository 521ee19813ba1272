"""A controller that dies anywhere leaves a rollout that goes on, goes back, or waits for a person."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.rollout.documents import rollout_document, rollout_of
from serinus.rollout.machine.effects import effects
from serinus.rollout.machine.machine import advance
from serinus.rollout.rollout import WITHOUT_CALLS, Event, Followed, Judged, Measured, Prepared, Rollout, Status, Verdict
from tests.support.rollout_strategies import specs
from tests.support.rollouts import FAIL, INCONCLUSIVE, PASS, TEST, begun, begun_as

TICK_S = 5.0
LONGEST_S = 3600.0

Judge = Callable[[Rollout], Verdict]


class Died(Exception):
    """The controller's process ended here."""


@dataclasses.dataclass
class World:
    """What outlives controllers: the journal, the clock, and what the servers would tell.

    Attributes:
        judge: What it says of a rollout.
        document: What the journal holds.
        at: Seconds.
        deaths: Points at which a controller dies, counted over all controllers; points lie before and after each write.
        points: So many were passed.
        written: Each rollout that was ever written.
    """

    judge: Judge
    document: str
    deaths: frozenset[int]
    at: float = 0.0
    points: int = 0
    written: list[Rollout] = dataclasses.field(default_factory=list)

    def point(self) -> None:
        """Die here, if it is the time."""
        self.points += 1
        if self.points in self.deaths:
            raise Died

    def run_controller(self) -> None:
        """Look every few seconds until the rollout ends or waits for a person, or until the process dies."""
        rollout = rollout_of(json.loads(self.document))
        while not is_settled(rollout) and self.at < LONGEST_S:
            self.at += TICK_S
            for event in self.events(rollout):
                after = advance(rollout, event)
                if after is not rollout:
                    self.point()
                    self.document = json.dumps(rollout_document(after))
                    self.written.append(after)
                    self.point()
                rollout = after

    def events(self, rollout: Rollout) -> Iterator[Event]:
        """What a controller finds out about a rollout by looking."""
        match rollout.status:
            case Status.PREPARING:
                yield Prepared(self.at)
            case Status.FAILING:
                yield Followed(self.at)
            case _:
                yield Measured(self.at, 0.1)
                yield Judged(self.at, self.judge(rollout))


def is_settled(rollout: Rollout) -> bool:
    """Whether nobody but a person would do anything about it."""
    return rollout.has_ended or rollout.status is Status.WAITING


def live(rollout: Rollout, judge: Judge, deaths: Sequence[int] = ()) -> World:
    """The world after as many controllers as it takes."""
    world = World(judge, json.dumps(rollout_document(rollout)), frozenset(deaths))
    for _ in itertools.repeat(None, len(deaths) + 1):
        try:
            world.run_controller()
        except Died:
            continue
    return world


def check(world: World) -> Rollout:
    """Where the rollout came to rest; no weight came back on the way."""
    rollout = rollout_of(json.loads(world.document))
    assert is_settled(rollout), rollout
    for before, after in itertools.pairwise(world.written):
        if before.status in WITHOUT_CALLS:
            assert after.status in WITHOUT_CALLS
            split = effects(after).split
            assert split is None or split.versions() == (after.baseline,)
    return rollout


def good(_rollout: Rollout) -> Verdict:
    """A healthy candidate."""
    return PASS


def unclear(_rollout: Rollout) -> Verdict:
    """Not enough calls."""
    return INCONCLUSIVE


def bad_in(stage: int) -> Judge:
    """Healthy before a stage, and bad in it, whoever looks."""
    return lambda rollout: FAIL if rollout.stage >= stage else PASS


PLAN = [
    {"shadow": {"min_s": 5, "max_s": 60}},
    {"canary": {"weight": 5, "min_s": 10, "max_s": 60}},
    {"canary": {"weight": 100, "min_s": 10, "max_s": 60}},
]
SWITCH = [{"shadow": {"min_s": 5, "max_s": 60}}, {"blue_green": {"keep_s": 10, "max_s": 60}}]
WITH_TEST = [{"ab": {**TEST["ab"], "max_s": 120}}]
ROLLOUTS = {
    "good": (begun(*PLAN), good, Status.SUCCEEDED),
    "bad in the shadow": (begun(*PLAN), bad_in(0), Status.ROLLED_BACK),
    "bad canary": (begun(*PLAN), bad_in(1), Status.ROLLED_BACK),
    "bad with all calls": (begun(*PLAN), bad_in(2), Status.ROLLED_BACK),
    "unclear": (begun(*PLAN), unclear, Status.WAITING),
    "unclear and not wanted": (begun(*PLAN, on_inconclusive="rollback"), unclear, Status.ROLLED_BACK),
    "good switch": (begun(*SWITCH), good, Status.SUCCEEDED),
    "bad switch": (begun(*SWITCH), bad_in(1), Status.ROLLED_BACK),
    "asked": (begun({"approval": {}}, *PLAN), good, Status.WAITING),
    "test": (begun(*WITH_TEST), good, Status.WAITING),
}


@pytest.mark.parametrize(("rollout", "judge", "end"), ROLLOUTS.values(), ids=ROLLOUTS)
def test_a_controller_that_dies_at_any_write_changes_no_end(rollout, judge, end):
    """Before the write or after it: whoever comes next does the same, and writes nothing twice."""
    undisturbed = live(rollout, judge)
    assert check(undisturbed).status is end
    whole = [(after.status, after.stage, after.chosen) for after in undisturbed.written]
    for death in range(1, undisturbed.points + 1):
        world = live(rollout, judge, [death])
        assert check(world).status is end
        assert [(after.status, after.stage, after.chosen) for after in world.written] == whole


@pytest.mark.parametrize(("rollout", "judge", "end"), ROLLOUTS.values(), ids=ROLLOUTS)
def test_controllers_that_die_at_every_other_write_come_to_the_same_end(rollout, judge, end):
    """Each of them gets one write done."""
    assert check(live(rollout, judge, range(2, 60, 2))).status is end


@settings(max_examples=100, deadline=None)
@given(specs(), st.data())
def test_whatever_the_plan_and_the_judge_a_rollout_comes_to_rest(spec, data):
    """Controllers die where they like, and the judge may think better of it in between."""
    rollout = begun_as(spec)
    numbers = [0, *(version.number for version in (*rollout.candidates, rollout.baseline))]
    said = [dataclasses.replace(verdict, winner=winner) for verdict in (PASS, FAIL, INCONCLUSIVE) for winner in numbers]
    # Most verdicts are no failures, or few rollouts would come far.
    verdicts = data.draw(st.lists(st.sampled_from([*said, *[PASS] * len(said)]), min_size=1, max_size=12))
    endless = itertools.cycle(verdicts)
    deaths = data.draw(st.lists(st.integers(1, 20), max_size=4, unique=True))
    check(live(rollout, lambda _rollout: next(endless), deaths))
