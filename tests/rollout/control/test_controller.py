"""A controller, a judge and servers that count: what becomes of candidates, good and bad."""

import dataclasses

import pytest

from serinus.core.errors import StoreUnavailable
from serinus.rollout.control.controller import LOOKS_TO_WORRY
from serinus.rollout.judging.evidence import Evidence
from serinus.rollout.judging.judgement import judgement_of
from serinus.rollout.rollout import Check, Outcome, Rollout, Status, Verdict
from tests.support.fake_journal import FakeJournal
from tests.support.fleet import Fleet, Manners
from tests.support.rollouts import BASELINE, CANDIDATE, INCONCLUSIVE, begun
from tests.support.virtual_loop import virtual

SHADOW = {"shadow": {"percent": 10, "min_s": 5, "min_pairs": 200}}
FIVE = {"canary": {"weight": 5, "min_s": 5, "max_s": 60, "min_requests": 200}}
WHOLE = {"canary": {"weight": 100, "min_s": 5, "max_s": 60, "min_requests": 200}}
ERRING = Manners(errors=0.3)


def fleet_of(rollout: Rollout, *, servers: int = 1, rate: float = 1000.0) -> Fleet:
    journal = FakeJournal()
    journal.add(rollout)
    return Fleet(journal, servers=servers, rate=rate)


@virtual
async def test_a_healthy_candidate_goes_through_the_default_plan():
    """Nobody touches it: it is compared, gets more and more calls, and is stable in the end."""
    fleet = fleet_of(begun(), servers=2)
    await fleet.play(fleet.controller(), 400, until=lambda: fleet.journal.now().has_ended)
    assert fleet.journal.events == [
        "prepared", "measured", "stage", "stage", "stage", "stage", "succeeded",
    ]  # fmt: skip
    assert fleet.journal.stable == {"m": "1.1.0"}
    assert fleet.halts.halted == []
    assert fleet.now < 300


@pytest.mark.parametrize(
    ("manners", "check"),
    [
        (Manners(errors=0.3), "errors"),
        (Manners(slow=0.5), "latency"),
        (Manners(invalid=0.3), "invalid"),
    ],
)
@virtual
async def test_a_bad_candidate_gets_no_calls_from_the_look_on_that_sees_it(manners, check):
    """One look from the evidence to the halt; the end when every server has heard; stable never moved."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    controller = fleet.controller()
    await fleet.play(controller, 5)
    assert fleet.journal.events == ["prepared", "measured"]
    fleet.behave(CANDIDATE, manners)
    looks = await fleet.play(controller, 20, until=lambda: bool(fleet.halts.halted))
    exposed = sum(arm["total_exposures"] for arm in fleet.journal.written[-1].entry.numbers["arms"][1:])
    assert looks <= 2
    assert exposed <= 300
    assert fleet.journal.now().status is Status.FAILING
    assert fleet.halts.halted == [("m", (CANDIDATE,))]
    await fleet.play(controller, 3, until=lambda: fleet.journal.now().has_ended)
    assert fleet.journal.events == ["prepared", "measured", "failing", "rolled_back"]
    assert fleet.journal.stable == {}
    failed = [each["name"] for each in _verdict(fleet)["checks"] if each["outcome"] == "fail"]
    assert check in failed


@virtual
async def test_a_candidate_that_answers_differently_never_gets_a_call():
    """The copies show it: it is out before anybody got an answer of it."""
    fleet = fleet_of(begun(SHADOW, FIVE, WHOLE))
    fleet.behave(CANDIDATE, Manners(disagreements=0.5))
    await fleet.play(fleet.controller(), 20, until=lambda: fleet.journal.now().has_ended)
    assert fleet.journal.events == ["prepared", "failing", "rolled_back"]
    assert [arm["total_exposures"] for arm in fleet.journal.written[-1].entry.numbers["arms"]][1:] == [0]


@virtual
async def test_the_halt_comes_before_anything_is_awaited():
    """Between what servers said and the halt nothing waits; the write comes after."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    controller = fleet.controller()
    await fleet.play(controller, 5)
    fleet.behave(CANDIDATE, Manners(errors=1.0))
    fleet.tick()
    fleet.journal.steps.clear()
    await controller.look()
    assert fleet.journal.steps == ["beat_lease", "active", "windows", "halt", "write", "save_evidence"]


@virtual
async def test_a_halt_stays_while_the_write_cannot_be_made():
    """The database goes away between the look and the write: the candidate is out all the same, here."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    controller = fleet.controller()
    await fleet.play(controller, 5)
    fleet.behave(CANDIDATE, ERRING)
    away = _away("write")
    fleet.journal.reach = away
    with pytest.raises(StoreUnavailable):
        await fleet.play(controller, 20)
    assert fleet.halts.halted == [("m", (CANDIDATE,))]
    assert fleet.journal.now().status is Status.RUNNING
    fleet.journal.reach = lambda _: None
    await fleet.play(controller, 3)
    assert fleet.journal.events[-2:] == ["failing", "rolled_back"]


@virtual
async def test_a_candidate_without_calls_is_held():
    """No calls are no evidence: at its time's end the stage waits for a person, and nothing was promoted."""
    fleet = fleet_of(begun(FIVE, WHOLE), rate=0)
    await fleet.play(fleet.controller(), 100)
    assert fleet.journal.events == ["prepared", "held"]
    assert fleet.journal.now().status is Status.WAITING
    assert "0 of 200 calls" in fleet.journal.now().reason


@virtual
async def test_a_candidate_is_not_blamed_for_what_stable_suffers_too():
    """Both fail alike, far above the ceiling: nothing fails, and only what is no worse than stable moves on."""
    fleet = fleet_of(begun(FIVE, WHOLE), rate=100)
    fleet.behave(CANDIDATE, ERRING)
    fleet.behave(BASELINE, ERRING)
    await fleet.play(fleet.controller(), 50)
    assert fleet.journal.events == ["prepared", "measured"]
    assert fleet.halts.halted == []


@virtual
async def test_a_candidate_that_is_bad_now_and_then_is_taken_out():
    """Two bad seconds in twenty, good ones between them: what was seen is not forgotten."""
    fleet = fleet_of(begun({"canary": {"weight": 5, "min_s": 300, "max_s": 600}}, WHOLE), rate=200)
    controller = fleet.controller()
    for look in range(200):
        fleet.behave(CANDIDATE, ERRING if look % 20 in {10, 11} else Manners())
        await fleet.play(controller, 1)
    assert fleet.journal.events == ["prepared", "measured", "failing", "rolled_back"]


@virtual
async def test_a_candidate_that_cannot_be_loaded_is_taken_out():
    """One server says so, and it is over before a call was sent."""
    fleet = fleet_of(begun(FIVE, WHOLE), servers=2)
    fleet.servers[0].ready = fleet.servers[1].ready = {BASELINE.number}
    controller = fleet.controller()
    await fleet.play(controller, 3)
    assert fleet.journal.events == []
    fleet.servers[1].failures = {CANDIDATE.number: "the model file is cut off"}
    await fleet.play(controller, 3)
    assert fleet.journal.events == ["failing", "rolled_back"]
    assert fleet.journal.now().reason == "m@1.1.0 cannot be loaded on 1 of 2 servers: the model file is cut off"


@virtual
async def test_calls_wait_for_the_last_server_that_lives():
    """A server that still loads holds it up; one that died does not, and is noted."""
    fleet = fleet_of(begun(FIVE, WHOLE), servers=2)
    slow = fleet.servers[1]
    slow.ready = {BASELINE.number}
    controller = fleet.controller()
    await fleet.play(controller, 5)
    assert fleet.journal.events == []
    fleet.servers.remove(slow)
    await fleet.play(controller, 20)
    assert fleet.journal.events[:2] == ["server_lost", "prepared"]


@virtual
async def test_servers_that_die_of_it_fail_it():
    """One may die of anything, the second is one too many; a fresh controller counts neither again."""
    fleet = fleet_of(begun(FIVE, WHOLE), servers=3, rate=0)
    controller = fleet.controller()
    await fleet.play(controller, 3)
    fleet.servers.pop()
    await fleet.play(controller, 15)
    assert fleet.journal.events == ["prepared", "server_lost"]
    fresh = fleet.controller("s1 again")
    await fleet.play(fresh, 30)
    assert fleet.journal.events == ["prepared", "server_lost"]
    fleet.servers.pop()
    await fleet.play(fresh, 15)
    assert fleet.journal.events[:3] == ["prepared", "server_lost", "failing"]


@virtual
async def test_a_server_that_says_goodbye_is_not_lost():
    """It left as it should, and nobody waits for it."""
    fleet = fleet_of(begun(FIVE, WHOLE), servers=2, rate=0)
    controller = fleet.controller()
    await fleet.play(controller, 3)
    fleet.servers.pop().publish(has_left=True)
    await fleet.play(controller, 30)
    assert fleet.journal.events == ["prepared"]


@virtual
async def test_a_database_that_was_away_killed_nobody():
    """Nobody could say that they live; all get their time again."""
    fleet = fleet_of(begun(FIVE, WHOLE), servers=3, rate=0)
    controller = fleet.controller()
    await fleet.play(controller, 3)
    fleet.now += 25
    await controller.look()
    await fleet.play(controller, 3)
    assert fleet.journal.events == ["prepared"]


@virtual
async def test_a_rollback_ends_without_a_server_that_does_not_hear():
    """It says that it lives and never follows: after a while it counts for nobody."""
    fleet = fleet_of(begun(FIVE, WHOLE), servers=2)
    controller = fleet.controller()
    await fleet.play(controller, 5)
    fleet.servers[1].is_deaf = True
    fleet.behave(CANDIDATE, ERRING)
    await fleet.play(controller, 6)
    assert fleet.journal.now().status is Status.FAILING
    await fleet.play(controller, 10)
    assert fleet.journal.now().status is Status.ROLLED_BACK


@virtual
async def test_a_verdict_is_kept_for_those_who_come_later():
    """What failed it stays, though nothing is judged any more."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    fleet.behave(CANDIDATE, ERRING)
    controller = fleet.controller()
    await fleet.play(controller, 30, until=lambda: fleet.journal.now().status is Status.FAILING)
    verdict = judgement_of(await fleet.journal.evidence("r")).verdict
    assert verdict is not None
    assert verdict.reason == fleet.journal.now().reason
    assert fleet.metrics.decisions[-1] == ("m", "failing", "failing")
    assert fleet.metrics.evidence["m"]["errors"] >= verdict.checks[0].limit


@virtual
async def test_trouble_with_one_rollout_keeps_no_other_from_being_looked_at(caplog):
    """A bug in judging one: the other goes on; after ten looks the log says it as an error."""
    broken, sound = begun(FIVE, WHOLE), dataclasses.replace(begun(FIVE, WHOLE), id="q")

    def asked(_: Evidence, rollout: Rollout, __: float) -> Verdict:
        if rollout.id == "r":
            raise ZeroDivisionError
        return Verdict(Outcome.FAIL, "errors")

    fleet = fleet_of(broken)
    fleet.journal.add(sound)
    controller = fleet.controller(asked=asked)
    await fleet.play(controller, 2)
    fleet.journal.publish(dataclasses.replace(_window(fleet), rollout="q"))
    await fleet.play(controller, 2 * LOOKS_TO_WORRY)
    assert fleet.journal.now("q").status is not Status.PREPARING
    assert fleet.journal.now("r").status is Status.RUNNING
    levels = [record.levelname for record in caplog.records if "not judged" in record.getMessage()]
    assert levels == ["WARNING", "ERROR"]


@virtual
async def test_nothing_is_promoted_on_what_is_no_number():
    """The judge says pass, on NaN: that is trouble and no pass."""
    check = Check("errors", 2, Outcome.PASS, float("nan"), 250.0, None, None, None, None, 10, "fine")
    fleet = fleet_of(begun(FIVE, WHOLE))
    await fleet.play(fleet.controller(asked=lambda *_: Verdict(Outcome.PASS, "fine", (check,))), 100)
    assert fleet.journal.events == ["prepared"]


@virtual
async def test_evidence_that_cannot_be_read_holds_the_rollout():
    """Nothing is known, so nothing moves; other rollouts do."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    await fleet.play(fleet.controller(), 3)
    fleet.journal.spoil_evidence()
    await fleet.play(fleet.controller("s2"), 100)
    assert fleet.journal.now().status is Status.RUNNING
    assert fleet.journal.now().stage == 0


@virtual
async def test_evidence_is_saved_once_a_look_and_only_if_it_is_news():
    """A rollout that nobody calls costs no writes but those of the lease."""
    fleet = fleet_of(begun(FIVE, WHOLE), rate=0)
    controller = fleet.controller(asked=lambda *_: INCONCLUSIVE)
    await fleet.play(controller, 5)
    fleet.journal.steps.clear()
    await controller.look()
    await controller.look()
    assert fleet.journal.steps == ["beat_lease", "active", "windows"] * 2


def _verdict(fleet: Fleet) -> dict[str, list[dict[str, object]]]:
    return fleet.journal.written[-1].entry.numbers["verdict"]


def _window(fleet: Fleet):
    return fleet.journal._windows["r"]["s1"]


def _away(*methods: str):
    def reach(point: str) -> None:
        if point in methods:
            raise StoreUnavailable("the database is away")

    return reach
