"""The only server of a rollout goes and comes back: what it knew, and what it must not believe."""

from pathlib import Path

from serinus_api.v1 import admin_pb2 as pb
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, times
from tests.end_to_end.rollouts.callers import Tally, calling
from tests.end_to_end.rollouts.stages import canary, ended, exposed, plan, quick_place, weight
from tests.end_to_end.rollouts.twins import KILLS
from tests.end_to_end.rollouts.versions import question, two_versions

BOTH = question(v1_0_0=2, v1_1_0=3)


async def test_a_rollout_goes_on_when_its_only_server_comes_back(forks: Nursery, home: Path):
    """Killed in the middle of a stage: what was counted is not forgotten, nor is the stage; one death is forgiven."""
    async with quick_place(forks, home / "one", tables=KILLS) as one:
        await two_versions(one, times(3))
        async with calling(one.client, "m", [BOTH]):
            started = await one.client.admin.start_rollout(plan("1.1.0", canary(20, 50, 100, min_requests=60)))
            await eventually(lambda: _has_calls(one, started.id))
            before = await one.client.admin.get_rollout(started.id)
            await one.server.kill()
    async with quick_place(forks, home / "one", tables=KILLS) as one:
        again = await one.client.admin.get_rollout(started.id)
        assert (again.stage, again.status) == (1, pb.ROLLOUT_STATUS_RUNNING)
        assert exposed(again, "1.1.0") >= exposed(before, "1.1.0") >= 60
        async with calling(one.client, "m", [BOTH]) as tally:
            succeeded = await ended(one.client, started.id)
        tally.assert_untroubled()
        assert succeeded.status == pb.ROLLOUT_STATUS_SUCCEEDED
        assert await one.factor("m") == 3


async def _has_calls(one: Place, rollout: str) -> bool:
    """Whether the second stage has counted something."""
    seen = await one.client.admin.get_rollout(rollout)
    return seen.stage == 1 and seen.arms[1].exposures > 10


async def test_a_server_that_starts_without_its_database_sends_nothing_to_a_candidate(forks: Nursery, home: Path):
    """Row 75: what it remembers of a rollout may be over; stable answers until the registry can be read."""
    away, state = home / "away", home / "one" / "state"
    async with quick_place(forks, home / "one") as one:
        await two_versions(one, times(3))
        started = await one.client.admin.start_rollout(plan("1.1.0", canary(50, 100, min_requests=10**6)))
        await eventually(lambda: _is_half(one))
    _move(state, away)
    nothing = state / "registry.db"
    nothing.mkdir()  # a database that cannot be opened; one that is not there would be made
    async with quick_place(forks, home / "one") as one:
        for _ in range(30):
            assert await one.factor("m") == 2
        nothing.rmdir()
        _move(away, state)
        await eventually(lambda: _is_half(one))
        async with calling(one.client, "m", [BOTH]) as tally:
            await eventually(lambda: _both_answer(tally))
        promoted = await one.client.admin.promote_rollout(started.id, force=True)
        assert promoted.status == pb.ROLLOUT_STATUS_SUCCEEDED
        await eventually(lambda: one.serves("m", 3))


def _move(source: Path, target: Path) -> None:
    """Take a database to another folder."""
    target.mkdir(exist_ok=True)
    for file in source.glob("registry.db*"):
        file.rename(target / file.name)


async def _is_half(one: Place) -> bool:
    return await weight(one, "1.1.0") == 0.5


async def _both_answer(tally: Tally) -> bool:
    return tally.answered.keys() == {"1.0.0", "1.1.0"}
