"""What people may do to rollouts, and what they are told when they may not."""

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping

import pytest

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.errors import Conflict, NotFound, Refused, StoreUnavailable
from serinus.core.selector import resolve
from serinus.core.version import ModelVersion
from serinus.rollout.judging.judgement import judgement_of
from serinus.rollout.operators.rollouts import Rollouts
from serinus.rollout.rollout import Outcome, Rollout, Status, Verdict
from tests.support.fake_journal import FakeJournal
from tests.support.fleet import FakeMetrics, Fleet, Manners
from tests.support.rollouts import BASELINE, CANDIDATE, INCONCLUSIVE, OTHER, PASS, TEST, begun, prepared_at
from tests.support.virtual_loop import virtual

FIVE = {"canary": {"weight": 5, "min_s": 5, "max_s": 600, "min_requests": 200}}
WHOLE = {"canary": {"weight": 100, "min_s": 5, "max_s": 600, "min_requests": 200}}
SPEC = RolloutSpec.model_validate({"model": "m", "candidate": "1.1.0", "stages": [FIVE, WHOLE]})
FORCED = SPEC.model_copy(update={"force": True})


@dataclasses.dataclass
class FakeVersions:
    """Three versions of one model; the first is stable."""

    journal: FakeJournal
    stable: ModelVersion | None = BASELINE
    promises: Mapping[ModelVersion, float] = dataclasses.field(default_factory=dict)
    why: str = ""

    @property
    def revision(self) -> int:
        return self.journal.revision

    async def of(self, model: str) -> "FakeVersions":
        if model != "m":
            raise NotFound("there is no such model")
        return dataclasses.replace(self)

    def select(self, selector: str) -> ModelVersion:
        found = resolve(selector, [BASELINE, CANDIDATE, OTHER], {})
        if found is None:
            raise NotFound("there is no such version")
        return found

    def slo_p99_s(self, version: ModelVersion) -> float | None:
        return self.promises.get(version)

    def incompatibility(self, _: ModelVersion, __: ModelVersion) -> str:
        return self.why


class Desk:
    """Where an operator sits: commands on a journal, and a clock that stands at 100 s."""

    def __init__(self, *rollouts: Rollout, verdict: Verdict = INCONCLUSIVE) -> None:
        self.journal = FakeJournal()
        for rollout in rollouts:
            self.journal.add(rollout)
        self.versions = FakeVersions(self.journal)
        self.metrics = FakeMetrics()
        ids = map(str, itertools.count())
        self.rollouts = Rollouts(
            self.journal,
            versions=self.versions,
            metrics=self.metrics,
            clock=lambda: 100.0,
            new_id=lambda: "new" + next(ids),
            new_salt=lambda: "salt",
            judge=lambda *_: verdict,
        )


@virtual
async def test_a_rollout_begins_from_what_is_stable():
    """It is written with its plan, its split at weight 0, and who began it."""
    desk = Desk()
    view = await desk.rollouts.start(SPEC, actor="ann", expected_revision=None)
    rollout = view.stored.rollout
    assert (rollout.baseline, rollout.candidates, rollout.started_by, rollout.status) == (
        BASELINE,
        (CANDIDATE,),
        "ann",
        Status.PREPARING,
    )
    assert [(arm.version, arm.weight) for arm in view.arms] == [(BASELINE, 10_000), (CANDIDATE, 0)]
    assert desk.journal.events == ["started"]
    assert desk.metrics.decisions == [("m", "started", "preparing")]


@virtual
async def test_what_callers_were_promised_is_what_is_slow():
    """The candidate's promise before stable's."""
    desk = Desk()
    desk.versions.promises = {BASELINE: 0.2, CANDIDATE: 0.1}
    view = await desk.rollouts.start(SPEC, actor="ann", expected_revision=None)
    assert view.stored.rollout.slow_s == 0.1


@virtual
async def test_without_stable_nothing_begins():
    """The refusal says what to do."""
    desk = Desk()
    desk.versions.stable = None
    with pytest.raises(Refused, match="'serinus models alias m stable VERSION'") as refused:
        await desk.rollouts.start(SPEC, actor="ann", expected_revision=None)
    assert refused.value.reason == "NO_STABLE"


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"model": "other"}, NotFound, "NOT_FOUND"),
        ({"candidate": "9.0.0"}, NotFound, "NOT_FOUND"),
        ({"candidate": "1.0.0"}, Refused, "ALREADY_STABLE"),
    ],
)
@virtual
async def test_a_plan_for_what_is_not_there_is_refused(change, error, reason):
    """Unknown models and versions, and what is stable already."""
    with pytest.raises(error) as raised:
        await Desk().rollouts.start(SPEC.model_copy(update=change), actor="ann", expected_revision=None)
    assert raised.value.reason == reason


@virtual
async def test_a_candidate_that_callers_cannot_use_is_refused():
    """What the registry says against it is what the operator reads."""
    desk = Desk()
    desk.versions.why = "output y is gone"
    with pytest.raises(Refused, match="output y is gone") as refused:
        await desk.rollouts.start(SPEC, actor="ann", expected_revision=None)
    assert refused.value.reason == "INCOMPATIBLE"


@pytest.mark.parametrize(
    ("stages", "slo_s", "is_refused"),
    [
        ([{"blue_green": {}}], None, True),
        ([{"approval": {}}, {"canary": {"weight": 100}}], None, True),
        ([{"blue_green": {}}], 0.1, False),
        ([{"shadow": {}}, {"blue_green": {}}], None, False),
    ],
)
@virtual
async def test_a_plan_that_could_never_say_what_is_slow_is_refused(stages, slo_s, is_refused):
    """Stable's own calls say it, and where it gets none a promise or a limit must."""
    desk = Desk()
    desk.versions.promises = {} if slo_s is None else {BASELINE: slo_s}
    spec = RolloutSpec.model_validate({"model": "m", "candidate": "1.1.0", "stages": stages})
    start = desk.rollouts.start(spec, actor="ann", expected_revision=None)
    if not is_refused:
        await start
        return
    with pytest.raises(Refused, match=r"set guardrails\.latency\.limit_s") as refused:
        await start
    assert refused.value.reason == "NO_LIMIT"


@virtual
async def test_what_has_failed_is_tried_again_only_by_force():
    """Even when another candidate was tried since."""
    failed = dataclasses.replace(begun(FIVE, WHOLE), status=Status.ROLLED_BACK, reason="errors: 9 of 20 calls")
    another = dataclasses.replace(
        begun(FIVE, WHOLE), id="q", candidates=(OTHER,), status=Status.SUCCEEDED, chosen=OTHER.number
    )
    desk = Desk(failed, another)
    with pytest.raises(Refused, match=r"m@1.1.0 has failed before; --force, .* \(errors: 9 of 20 calls\)") as refused:
        await desk.rollouts.start(SPEC, actor="ann", expected_revision=None)
    assert refused.value.reason == "LAST_FAILED"
    await desk.rollouts.start(FORCED, actor="ann", expected_revision=None)
    assert desk.journal.events == ["started"]


@virtual
async def test_what_was_aborted_may_be_tried_again():
    """A person took it out, not the judge."""
    desk = Desk(dataclasses.replace(begun(FIVE, WHOLE), status=Status.ABORTED))
    await desk.rollouts.start(SPEC, actor="ann", expected_revision=None)
    assert desk.journal.events == ["started"]


@virtual
async def test_a_model_has_one_rollout_at_a_time():
    """Whoever comes second is told."""
    desk = Desk(begun(FIVE, WHOLE))
    with pytest.raises(Refused) as refused:
        await desk.rollouts.start(FORCED, actor="ann", expected_revision=None)
    assert refused.value.reason == "ROLLOUT_ACTIVE"


@virtual
async def test_a_start_that_others_overtake_reads_again():
    """What is stable by then counts; who names a revision is told instead."""
    desk = Desk()

    def overtaken(point: str) -> None:
        if point == "begin":
            desk.journal.reach = lambda _: None
            desk.journal.revision += 1
            desk.versions.stable = OTHER

    desk.journal.reach = overtaken
    view = await desk.rollouts.start(SPEC, actor="ann", expected_revision=None)
    assert view.stored.rollout.baseline == OTHER
    with pytest.raises(Conflict) as conflict:
        await desk.rollouts.start(FORCED, actor="ann", expected_revision=3)
    assert conflict.value.current_revision == desk.journal.revision


@virtual
async def test_commands_move_a_rollout_and_say_so():
    """Pause, resume, force: each is one entry with who did it and what was known."""
    desk = Desk(prepared_at(10, FIVE, WHOLE))
    await desk.rollouts.pause("r", actor="bob", expected_revision=None)
    await desk.rollouts.resume("r", actor="bob", expected_revision=None)
    view = await desk.rollouts.force_promote("r", actor="cat", expected_revision=None)
    assert [(each.entry.event, each.actor, each.fence) for each in desk.journal.written] == [
        ("paused", "bob", None),
        ("resumed", "bob", None),
        ("promoted", "cat", None),
    ]
    assert desk.journal.stable == {"m": "1.1.0"}
    assert (view.stored.rollout.status, view.arms[1].weight) == (Status.SUCCEEDED, 10_000)
    verdict = desk.journal.written[0].entry.numbers["verdict"]
    assert verdict == {"outcome": "inconclusive", "reason": INCONCLUSIVE.reason, "winner": 0, "checks": []}


@virtual
async def test_only_what_has_passed_is_promoted_without_force():
    """The judge is asked about the stage as it is now."""
    desk = Desk(prepared_at(10, FIVE, WHOLE))
    with pytest.raises(Refused) as refused:
        await desk.rollouts.promote("r", actor="bob", expected_revision=None)
    assert refused.value.reason == "NOT_PASSED"
    desk = Desk(prepared_at(10, FIVE, WHOLE), verdict=PASS)
    view = await desk.rollouts.promote("r", actor="bob", expected_revision=None)
    assert (view.stored.rollout.stage, view.verdict) == (1, None)


@pytest.mark.parametrize(("selector", "stable"), [("1.2.0", "1.2.0"), ("3", "1.2.0"), ("stable", "1.0.0")])
@virtual
async def test_the_winner_of_a_test_is_named_as_any_version_is(selector, stable):
    """By version, number, or as what is stable."""
    desk = Desk(prepared_at(10, TEST))
    await desk.rollouts.force_promote("r", actor="bob", expected_revision=None, version=selector)
    assert desk.journal.stable == {"m": stable}


@virtual
async def test_a_version_that_takes_no_part_cannot_win():
    """The refusal names those that do."""
    desk = Desk(prepared_at(10, TEST))
    with pytest.raises(NotFound, match=r"'2.0.0' takes no part in the rollout: expected one of 1.1.0, 1.2.0, 1.0.0"):
        await desk.rollouts.force_promote("r", actor="bob", expected_revision=None, version="2.0.0")


@virtual
async def test_nothing_that_is_broken_stands_in_the_way_of_an_abort():
    """No evidence can be read: the candidate is taken out all the same."""
    desk = Desk(prepared_at(10, FIVE, WHOLE))
    desk.journal.spoil_evidence()
    view = await desk.rollouts.abort("r", actor="bob", expected_revision=None, reason="I do not like it")
    assert view.stored.rollout.status is Status.ABORTED
    assert desk.journal.written[-1].entry.reason == "bob has aborted it: I do not like it"


@virtual
async def test_a_database_that_is_away_is_said_to_be():
    """The command is not done, and whoever gave it knows."""
    desk = Desk(prepared_at(10, FIVE, WHOLE))

    def away(_: str) -> None:
        raise StoreUnavailable("the database is away")

    desk.journal.reach = away
    with pytest.raises(StoreUnavailable):
        await desk.rollouts.abort("r", actor="bob", expected_revision=None)
    assert desk.journal.written == []


@virtual
async def test_of_two_operators_who_saw_the_same_one_is_refused():
    """Both name what they have seen; the second is told to look again."""
    desk = Desk(prepared_at(10, FIVE, WHOLE))
    seen = (await desk.journal.get("r")).revision
    ended = await asyncio.gather(
        desk.rollouts.force_promote("r", actor="ann", expected_revision=seen),
        desk.rollouts.abort("r", actor="bob", expected_revision=seen),
        return_exceptions=True,
    )
    assert [type(each).__name__ for each in ended].count("Conflict") == 1
    assert len(desk.journal.events) == 1


@virtual
async def test_commands_that_race_with_the_controller_are_all_done():
    """Without a revision they are about the rollout as it is: each is tried again until it is written."""
    journal = FakeJournal()
    journal.add(begun(FIVE, WHOLE))
    fleet = Fleet(journal, rate=1000)
    rollouts = Rollouts(
        journal,
        versions=FakeVersions(journal),
        metrics=FakeMetrics(),
        clock=lambda: fleet.now,
        new_id=str,
        new_salt=str,
    )
    controller = fleet.controller()
    await fleet.play(controller, 3)
    for look in range(40):
        command = rollouts.resume if look % 2 else rollouts.pause
        fleet.tick()
        await asyncio.gather(controller.look(), command("r", actor="ann", expected_revision=None))
        assert journal.now().status is (Status.RUNNING if look % 2 else Status.PAUSED)
    fleet.behave(CANDIDATE, Manners(errors=1.0))
    fleet.tick()
    await asyncio.gather(
        controller.look(), rollouts.abort("r", actor="ann", expected_revision=None), return_exceptions=True
    )
    await fleet.play(controller, 12, until=lambda: journal.now().has_ended)
    assert journal.now().status in {Status.ABORTED, Status.ROLLED_BACK}
    assert journal.stable == {}


@virtual
async def test_a_verdict_of_the_stage_before_promotes_nothing():
    """The controller has just moved it on: what passed was another stage."""
    fleet = Fleet(_with(begun(FIVE, WHOLE)), rate=1000)
    controller = fleet.controller()
    await fleet.play(controller, 100, until=lambda: fleet.journal.now().stage == 1)
    rollouts = Rollouts(
        fleet.journal,
        versions=FakeVersions(fleet.journal),
        metrics=FakeMetrics(),
        clock=lambda: fleet.now,
        new_id=str,
        new_salt=str,
    )
    verdict = judgement_of(await fleet.journal.evidence("r")).verdict
    assert verdict is not None
    assert verdict.outcome is Outcome.PASS
    with pytest.raises(Refused) as refused:
        await rollouts.promote("r", actor="ann", expected_revision=None)
    assert refused.value.reason == "NOT_PASSED"


def _with(rollout: Rollout) -> FakeJournal:
    journal = FakeJournal()
    journal.add(rollout)
    return journal
