"""Rollouts where nothing is plain: no calls, failures that come and go, failures of everybody, versions that do not
load."""

import itertools
from collections.abc import AsyncIterator

import pytest

from serinus.runtime.sabotage import Fault
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import InvalidInput, ServerFault
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, refusal, times
from tests.end_to_end.rollouts.callers import calling
from tests.end_to_end.rollouts.stages import (
    canary,
    ended,
    events,
    evidence,
    exposed,
    plan,
    quick_place,
    until,
)
from tests.end_to_end.rollouts.versions import BAD, GOOD, faulty, question, two_versions
from tests.support.disks import sha256

HELD = pb.ROLLOUT_STATUS_WAITING
CALM = question(v1_0_0=2, v1_1_0=3)
METRIC = {"metrics": [{"name": "conversion", "higher_is": "better"}]}


@pytest.fixture(scope="module")
async def one(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server on which each test has a model of its own; its registry stands at the end, and its log has no error."""
    folder = tmp_path_factory.mktemp("hard") / "one"
    async with quick_place(forks, folder, errors=("load failed",)) as made:
        yield made


async def test_a_version_that_nobody_calls_is_held_and_never_promoted(one: Place):
    """Row 85: its time is over, it has failed nothing, and that is no pass; a person is asked, or it is taken out."""
    await two_versions(one, times(3), model="idle")
    admin = one.client.admin
    started = await admin.start_rollout(plan("1.1.0", canary(50, 100, max_s=1), model="idle"))
    held = await until(one.client, started.id, HELD)
    assert "0 of 25 calls of idle@1.1.0" in held.reason, held.reason
    assert (held.stage, exposed(held, "1.1.0")) == (0, 0)
    assert await one.factor("idle", "stable") == 2
    await admin.abort_rollout(started.id)
    hasty = plan("1.1.0", canary(50, 100, max_s=1), on_inconclusive="rollback", model="idle")
    rolled_back = await ended(one.client, (await admin.start_rollout(hasty)).id)
    assert rolled_back.status == pb.ROLLOUT_STATUS_ROLLED_BACK
    assert "neither passed nor failed within 1 s" in rolled_back.reason
    assert await one.factor("idle") == 2


async def test_a_version_about_which_a_metric_is_missing_is_held(one: Place):
    """Row 85: calls are fine, but nobody reports what is required; and NaN is no report."""
    await two_versions(one, times(3), model="unmeasured")
    spec = plan("1.1.0", canary(50, 100, max_s=2), guardrails=METRIC, model="unmeasured")
    async with calling(one.client, "unmeasured", [CALM]) as tally:
        held = await until(one.client, (await one.client.admin.start_rollout(spec)).id, HELD)
    tally.assert_untroubled()
    nan = one.client.admin.report_metric("unmeasured", "1.1.0", "conversion", [float("nan")])
    await refusal(nan, InvalidInput, "NOT_FINITE", "nan")
    (metric,) = [check for check in held.verdict.checks if check.name == "conversion"]
    assert metric.outcome == pb.OUTCOME_INCONCLUSIVE, held
    assert held.stage == 0


async def test_a_version_that_fails_now_and_then_is_rolled_back(one: Place):
    """Row 86: bad for a moment, good for a longer one, and so on; what was seen of it is not forgotten, and once it is
    out it gets no call, however good it is now."""
    await two_versions(one, faulty(one, 3, Fault.ERRS), model="flapping")
    calm, storm = question(GOOD, v1_0_0=2, v1_1_0=3), question(BAD, v1_0_0=2)
    weather = itertools.cycle([calm] * 60 + [storm] * 6)
    async with calling(one.client, "flapping", lambda: next(weather)) as tally:
        started = await one.client.admin.start_rollout(
            plan("1.1.0", canary(30, 100, min_requests=2000), model="flapping")
        )
        rolled_back = await ended(one.client, started.id)
        answered = tally.answered["1.1.0"]
        weather = itertools.repeat(calm)
        calls = len(tally.took_s)
        await eventually(lambda: _is(len(tally.took_s) > calls + 50))
    tally.assert_untroubled()
    assert rolled_back.status == pb.ROLLOUT_STATUS_ROLLED_BACK
    assert tally.answered["1.1.0"] == answered
    assert set(tally.rescued) <= {"error", "breaker"}


async def test_a_version_that_breaks_once_it_has_all_calls_is_not_promoted(one: Place):
    """Stable, which is kept, answers at once: few calls fail then, because the breaker lets few through, and that is no
    reason to pass."""
    await two_versions(one, faulty(one, 3, Fault.ERRS), model="switched")
    stages = [{"blue_green": {"min_requests": 20, "keep_s": 1.5, "max_s": 3}}]
    weather = itertools.repeat(CALM)
    async with calling(one.client, "switched", lambda: next(weather)) as tally:
        started = await one.client.admin.start_rollout(plan("1.1.0", stages, model="switched"))
        await eventually(lambda: _is(tally.answered["1.1.0"] >= 100))
        weather = itertools.repeat(question(BAD, v1_0_0=2))
        held = await until(one.client, started.id, HELD)
    tally.assert_untroubled()
    assert "breakers of 1 servers keep calls from it" in held.reason, held
    assert set(tally.rescued) == {"error", "breaker"}
    await one.client.admin.abort_rollout(started.id)
    await eventually(lambda: one.serves("switched", 2))


async def test_a_version_is_not_blamed_for_what_fails_with_stable_too(one: Place):
    """Row 87: both fail with a third of the calls; who called hears of the error, and the rollout is held."""
    await two_versions(one, faulty(one, 3, Fault.ERRS), stable=faulty(one, 2, Fault.ERRS), model="shared")
    spec = plan("1.1.0", canary(50, 100, max_s=3), guardrails={"errors": {"ceiling": 0.2}}, model="shared")
    weather = itertools.cycle([CALM, CALM, question(BAD)])
    async with calling(one.client, "shared", lambda: next(weather)) as tally:
        held = await until(one.client, (await one.client.admin.start_rollout(spec)).id, HELD)
    assert tally.wrong == []
    assert {type(error) for error in tally.failed} == {ServerFault}
    assert exposed(held, "1.1.0") >= 40
    (errors,) = [check for check in held.verdict.checks if check.name == "errors"]
    assert errors.outcome == pb.OUTCOME_INCONCLUSIVE
    assert errors.candidate > 0.2
    assert "stable is above 20 % too" in errors.sentence, errors


async def test_a_version_that_cannot_be_loaded_never_gets_a_call(one: Place):
    """Rows 83 and 93: its file is not what was registered; stable goes on, and the reason says which version it is."""
    await two_versions(one, times(3, padding=1000), model="broken")
    digest = sha256(times(3, padding=1000))
    blob = one.folder / "state" / "artifacts" / "sha256" / digest[:2] / digest[2:]
    blob.chmod(0o600)
    blob.write_bytes(times(3, padding=1001)[: blob.stat().st_size])
    async with calling(one.client, "broken", [question(v1_0_0=2)]) as tally:
        started = await one.client.admin.start_rollout(plan("1.1.0", canary(50, 100), model="broken"))
        rolled_back = await ended(one.client, started.id)
    tally.assert_untroubled()
    assert rolled_back.status == pb.ROLLOUT_STATUS_ROLLED_BACK
    assert "broken@1.1.0 cannot be loaded on 1 of 1 servers" in rolled_back.reason
    assert [event for event, _ in await events(one.client, started.id)] == ["started", "failing", "rolled_back"]
    assert exposed(rolled_back, "1.1.0") == 0
    assert (await evidence(one.client, started.id))["arms"][1]["version"] == "1.1.0"


async def _is(truth: bool) -> bool:  # noqa: FBT001 - `eventually` asks again and again
    return truth
