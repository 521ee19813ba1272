"""What people do to a rollout and its servers over gRPC, at the same time as others, and who is told of it."""

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import numpy as np
import pytest

from serinus_api.v1 import admin_pb2 as pb
from serinus_client import AsyncClient, Conflict, Refused, SerinusError
from tests.end_to_end.clients.process import child_server
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, refusal, times
from tests.end_to_end.rollouts.callers import calling
from tests.end_to_end.rollouts.stages import QUICK, canary, ended, events, pair, plan, quick_place, until
from tests.end_to_end.rollouts.versions import BAD, GOOD, looping, question, two_versions
from tests.support.receivers import receiving

ENDLESS = canary(50, 100, min_requests=10**6)
BOTH = question(v1_0_0=2, v1_1_0=3)
COMMANDS = 12
LONG = 100_000  # turns: a fifth of a second
SECRET_OF_HOOKS = b"a secret of twenty-odd bytes"


@pytest.fixture(scope="module")
async def one(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server; its registry stands at the end, and its log has no error."""
    async with quick_place(forks, tmp_path_factory.mktemp("operators") / "one") as made:
        yield made


async def test_of_operators_who_have_seen_the_same_one_is_heard(forks: Nursery, home: Path):
    """Row 92: the others are told so, with the revision to read; nothing of what they wanted has happened."""
    async with pair(forks, home) as (first, second):
        await two_versions(first, times(3))
        started = await first.client.admin.start_rollout(plan("1.1.0", ENDLESS))
        running = await until(first.client, started.id, pb.ROLLOUT_STATUS_RUNNING)
        paused = await first.client.admin.pause_rollout(started.id, expected_revision=running.revision, actor="ann")
        late = second.client.admin.promote_rollout(
            started.id, force=True, expected_revision=running.revision, actor="bob"
        )
        error = await refusal(late, Conflict, "REVISION_MISMATCH", started.id)
        assert error.current_revision == paused.revision
        assert (await second.client.admin.get_rollout(started.id)).status == pb.ROLLOUT_STATUS_PAUSED
        seen, before = paused.revision, await events(first.client, started.id)
        ends = await asyncio.gather(
            *(_command((first, second)[number % 2], started.id, number, seen) for number in range(COMMANDS)),
            return_exceptions=True,
        )
        losers = [end for end in ends if isinstance(end, Conflict)]
        (winner,) = [end for end in ends if isinstance(end, pb.Rollout)]
        assert len(losers) == COMMANDS - 1, ends
        assert {loser.current_revision for loser in losers} == {winner.revision}
        assert len(await events(first.client, started.id)) == len(before) + 1


def _command(place: Place, rollout: str, number: int, seen: int) -> Awaitable[pb.Rollout]:
    """One of several things that a person may want of a paused rollout."""
    admin, actor = place.client.admin, f"person {number}"
    if number % 3 == 0:
        return admin.resume_rollout(rollout, expected_revision=seen, actor=actor)
    if number % 3 == 1:
        return admin.promote_rollout(rollout, force=True, expected_revision=seen, actor=actor)
    return admin.abort_rollout(rollout, expected_revision=seen, actor=actor)


async def test_what_a_rollout_uses_is_its_own_while_it_goes_on(one: Place):
    """Row 78: nobody else shares the calls out, starts another one, or takes a version away; the sentence says why."""
    await two_versions(one, times(3), model="owned")
    await one.register("owned", "1.2.0", times(4))
    admin, registry = one.client.admin, one.client.registry
    started = await admin.start_rollout(plan("1.1.0", ENDLESS, model="owned"))
    await until(one.client, started.id, pb.ROLLOUT_STATUS_RUNNING)
    await refusal(admin.start_rollout(plan("1.2.0", ENDLESS, model="owned")), Refused, "ROLLOUT_ACTIVE", started.id)
    await refusal(admin.set_split("owned", [pb.SplitArm(version="1.2.0", weight=5)]), Refused, "ROLLOUT_ACTIVE")
    await refusal(registry.set_alias("owned", "stable", "1.2.0"), Refused, "ROLLOUT_ACTIVE", started.id)
    for version in ("1.0.0", "1.1.0"):
        await refusal(registry.delete("owned", version), Refused, "IN_USE")
        await refusal(admin.unload_model("owned", version), Refused, "ROLLOUT_ACTIVE", started.id)
    async with calling(one.client, "owned", [BOTH]) as tally:
        await eventually(lambda: _have_answered(tally.answered, "1.0.0", "1.1.0"))
    tally.assert_untroubled()
    await admin.abort_rollout(started.id, actor="ann", reason="enough")
    entries = [(entry.action, entry.actor) async for entry in admin.list_audit(model="owned")]
    assert entries[-1] == ("rollout.aborted", "ann")
    assert [action for action, _ in entries[3:]] == ["rollout.start", "rollout.prepared", "rollout.aborted"]


async def _have_answered(answered: dict[str, int], *versions: str) -> bool:
    return answered.keys() == set(versions)


async def test_a_person_approves_pauses_and_resumes(one: Place):
    """The weights stay while the clock stands, and nothing moves before the person says so."""
    stages = [*canary(50, min_requests=20), {"approval": {"note": "ask ann"}}, *canary(100)]
    await two_versions(one, times(3), model="approved")
    admin = one.client.admin
    async with calling(one.client, "approved", [BOTH]) as tally:
        started = await admin.start_rollout(plan("1.1.0", stages, model="approved"))
        waiting = await until(one.client, started.id, pb.ROLLOUT_STATUS_WAITING)
        assert (waiting.stage, [arm.weight for arm in waiting.arms]) == (1, [50, 50])
        promoted = await admin.promote_rollout(started.id, actor="ann")
        assert (promoted.stage, promoted.status) == (2, pb.ROLLOUT_STATUS_RUNNING)
        paused = await admin.pause_rollout(started.id, actor="ann")
        calls = tally.answered["1.1.0"]
        await eventually(lambda: _is_past(tally.answered, calls + 100))
        assert (await admin.get_rollout(started.id)).revision == paused.revision
        await admin.resume_rollout(started.id, actor="ann")
        succeeded = await ended(one.client, started.id)
    tally.assert_untroubled()
    assert succeeded.status == pb.ROLLOUT_STATUS_SUCCEEDED


async def _is_past(answered: dict[str, int], calls: int) -> bool:
    return answered["1.1.0"] >= calls


async def test_a_receiver_hears_everything_in_order(forks: Nursery, home: Path):
    """From the start to the end, signed, once, though its first answer is a failure."""
    (home / "hook").write_bytes(SECRET_OF_HOOKS)
    async with receiving() as receiver:
        receiver.statuses.append(503)
        hooks = (
            f'{QUICK}[webhooks]\nurls = ["http://127.0.0.1:{receiver.port}/hook"]\nhosts = ["127.0.0.1"]\n'
            f'secret_file = "{home / "hook"}"\n'
        )
        async with quick_place(forks, home / "one", tables=hooks) as one:
            await two_versions(one, times(3))
            async with calling(one.client, "m", [BOTH]):
                started = await one.client.admin.start_rollout(plan("1.1.0", canary(50, 100)))
                await ended(one.client, started.id)
            happened = [event for event, _ in await events(one.client, started.id)]
            await receiver.has(len(happened) + 1)
        bodies = [json.loads(request.body) for request in receiver.requests]
        assert [body["event"] for body in bodies[1:]] == happened == ["started", "prepared", "stage", "succeeded"]
        assert bodies[0] == bodies[1]
        assert {body["rollout"] for body in bodies} == {started.id}
        for request in receiver.requests:
            said = dict(part.split("=") for part in request.headers["serinus-signature"].split(","))
            digest = hmac.new(SECRET_OF_HOOKS, said["t"].encode() + b"." + request.body, "sha256").hexdigest()
            assert said["v1"] == digest
        sent = [request.headers["idempotency-key"] for request in receiver.requests]
        assert sent[0] == sent[1]
        assert len(set(sent)) == len(happened)


async def test_a_server_that_is_told_to_leave_answers_what_it_has_and_ends_well(forks: Nursery, home: Path):
    """In the middle of a canary, with calls in flight to both versions: exit code 0, and no server is missed."""
    folder = home / "one"
    folder.mkdir()
    with child_server(folder, f"\n{QUICK}") as server:
        async with AsyncClient(server.target) as client:
            one = Place(folder, server, client, None, None)
            await two_versions(one, looping(1, LONG), stable=looping(1, LONG))
            started = await client.admin.start_rollout(plan("1.1.0", ENDLESS))
            await eventually(lambda: _has_candidate(one))
            x = {"x": np.array([[BAD, 0]], np.float32)}
            calls = [asyncio.create_task(client.call("m", x, routing_key=f"caller {number}")) for number in range(8)]
            await client.model_info("m")  # what was sent before has arrived
            await client.admin.drain(actor="ann")
            answers = await asyncio.gather(*calls)
            assert {answer.version for answer in answers} == {"1.0.0", "1.1.0"}
            assert all(np.array_equal(answer.outputs["y"], x["x"]) for answer in answers)
            assert await asyncio.to_thread(server.wait) == 0
    async with quick_place(forks, folder) as one:
        await eventually(lambda: _has_candidate(one))
        going_on = await one.client.admin.get_rollout(started.id)
        assert going_on.status == pb.ROLLOUT_STATUS_RUNNING
        assert "died" not in going_on.reason


async def _has_candidate(one: Place) -> bool:
    """Whether the candidate gets calls by weight."""
    with contextlib.suppress(SerinusError):
        answer = await one.client.call("m", {"x": np.array([[GOOD, 0]], np.float32)})
        return (answer.version, answer.route) == ("1.1.0", "weight")
    return False
