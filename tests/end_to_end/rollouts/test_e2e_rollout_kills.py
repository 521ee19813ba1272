"""kill -9 of the server that controls a rollout, and of another one, at every point: it goes on or is taken back."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from serinus.runtime.sabotage import Fault
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import Unavailable
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, times
from tests.end_to_end.rollouts.callers import Question, Tally
from tests.end_to_end.rollouts.stages import canary, ended, events, plan
from tests.end_to_end.rollouts.twins import OUT, Sentinel, Twins, asking_both, twins
from tests.end_to_end.rollouts.versions import BAD, faulty, question, two_versions
from tests.registry.databases import migrated_url

STAGES = canary(30, 60, 100)
LONGEST_S = 60.0
STOPPED_S = 2.5  # a server is missed after one
MIXED = [question(v1_0_0=2, v1_1_0=3), question(v1_0_0=2, v1_1_0=3), question(BAD, v1_0_0=2)]


async def _rolled_out(
    pair: Twins, victim: str, questions: Sequence[Question], point: str, candidate: str = "1.1.0"
) -> tuple[pb.Rollout, list[int]]:
    """Start a rollout, kill one server when the journal has an entry, and see the rollout to its end.

    Args:
        pair: The servers.
        victim: "controller" or "other".
        questions: What callers ask both all the while.
        point: Event of the journal, or seconds after the start.
        candidate: Of the rollout.
    """
    first = pair.alive["first"]
    async with asking_both(pair, questions) as tallies:
        started = await first.client.admin.start_rollout(plan(candidate, STAGES, force=True))
        sentinel = Sentinel(pair, started.id, candidate)
        watching = asyncio.create_task(sentinel.watch())
        try:
            controller = await pair.controller()  # before the point: nobody is it once the rollout has ended
            await _reached(pair, started.id, point)
            other = "second" if controller == "first" else "first"
            killed = controller if victim == "controller" else other
            await pair.kill(killed)
            rollout = await asyncio.wait_for(watching, LONGEST_S)
        finally:
            watching.cancel()
        kept = next(iter(pair.alive))
        calls = len(tallies[kept].took_s)
        await eventually(lambda: _more(tallies[kept], calls + 5))
    tallies[kept].assert_untroubled()
    assert {type(error) for error in tallies[killed].failed} <= {Unavailable}
    await pair.start(killed)
    return rollout, sentinel.statuses


def _moment(seed: int) -> str:
    """Some moment between the start of a rollout and its last stage."""
    return str(random.Random(seed).uniform(0, 1.2))


async def _reached(pair: Twins, rollout: str, point: str) -> None:
    """Wait for an entry of the journal, or for seconds."""
    if point[0].isdigit():
        await asyncio.sleep(float(point))
        return
    client = pair.alive["first"].client

    async def is_reached() -> bool:
        return point in [event for event, _ in await events(client, rollout)]

    await eventually(is_reached)


async def _more(tally: Tally, calls: int) -> bool:
    return len(tally.took_s) >= calls


async def _settles_on(pair: Twins, factor: float) -> None:
    """Every server that lives serves that version alone, once it has heard of the rollout's end."""
    for each in pair.alive.values():
        await eventually(lambda each=each: _serves_alone(each, factor))


async def _serves_alone(each: Place, factor: float) -> bool:
    return all([await each.serves("m", factor) for _ in range(20)])


async def _has_stayed_with(pair: Twins, factor: float) -> None:
    """Every server that lives serves that version alone from its first answer on, also one that was just started."""
    for each in pair.alive.values():
        await eventually(lambda each=each: each.serves("m", factor, "stable"))
        assert [await each.factor("m") for _ in range(20)] == [factor] * 20


async def test_a_good_version_is_promoted_whoever_dies_whenever(forks: Nursery, home: Path):
    """Once in each rollout, at an entry of the journal; the next one takes the old version back."""
    async with twins(forks, home) as pair:
        await two_versions(pair.alive["first"], times(3))
        await eventually(lambda: pair.alive["second"].serves("m", 2))
        for round_, (victim, point) in enumerate(
            [("controller", "prepared"), ("controller", "stage"), ("other", _moment(1))]
        ):
            candidate, factor = (("1.1.0", 3), ("1.0.0", 2))[round_ % 2]
            rollout, _ = await _rolled_out(pair, victim, MIXED[:1], point, candidate)
            assert rollout.status == pb.ROLLOUT_STATUS_SUCCEEDED, rollout
            await _settles_on(pair, factor)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_bad_version_is_taken_back_whoever_dies_whenever(forks: Nursery, home: Path, kind: str):
    """And weight 0 never comes back: not in the registry, and not on a server that starts again."""
    registry = ""
    if kind == "postgresql":
        url = await migrated_url(kind, home)
        registry = f'[registry]\ndatabase = "{url}"\nartifacts = "{home / "artifacts"}"\n'
    points = [("controller", "failing"), ("other", _moment(2))]
    async with twins(forks, home, registry) as pair:
        first = pair.alive["first"]
        await two_versions(first, faulty(first, 3, Fault.ERRS))
        await eventually(lambda: pair.alive["second"].serves("m", 2))
        for victim, point in points if kind == "sqlite" else points[:1]:
            rollout, statuses = await _rolled_out(pair, victim, MIXED, point)
            assert rollout.status == pb.ROLLOUT_STATUS_ROLLED_BACK, rollout
            assert statuses[-1] in OUT
            await _has_stayed_with(pair, 2)


async def test_a_controller_that_stood_still_does_no_harm_when_it_goes_on(forks: Nursery, home: Path):
    """Stopped for longer than others wait, maybe in the middle of a write: they took over, or waited for that write; in
    the end each step was taken once, and all serve the same."""
    async with twins(forks, home) as pair:
        await two_versions(pair.alive["first"], times(3))
        await eventually(lambda: pair.alive["second"].serves("m", 2))
        client = pair.alive["first"].client
        async with asking_both(pair, MIXED[:1]) as tallies:
            started = await client.admin.start_rollout(plan("1.1.0", STAGES))
            controller = pair.alive[await pair.controller()]
            await _reached(pair, started.id, "stage")
            process = (await controller.server.look()).pid
            os.kill(process, signal.SIGSTOP)
            try:
                await asyncio.sleep(STOPPED_S)
            finally:
                os.kill(process, signal.SIGCONT)
            succeeded = await ended(client, started.id)
        for tally in tallies.values():
            tally.assert_untroubled()
        assert succeeded.status == pb.ROLLOUT_STATUS_SUCCEEDED
        happened = [event for event, _ in await events(client, started.id) if event != "server_lost"]
        assert happened == ["started", "prepared", "stage", "stage", "succeeded"]
        await _settles_on(pair, 3)


async def test_a_version_whose_servers_die_again_and_again_is_taken_back(forks: Nursery, home: Path):
    """Row 83: nobody saw it fail a call, but who had it loaded died twice."""
    async with twins(forks, home) as pair:
        await two_versions(pair.alive["first"], times(3))
        await eventually(lambda: pair.alive["second"].serves("m", 2))
        client = pair.alive["first"].client
        started = await client.admin.start_rollout(plan("1.1.0", canary(30, 100, min_requests=10**6)))
        for servers, entry in ((2, "server_lost"), (3, "failing")):
            # Nobody can miss a server that has never said anything.
            await eventually(lambda servers=servers: _have_published(home, servers))
            await pair.kill("second")
            await _reached(pair, started.id, entry)
            await pair.start("second")
        rolled_back = await ended(client, started.id)
        assert rolled_back.status == pb.ROLLOUT_STATUS_ROLLED_BACK
        assert "servers that had it loaded died 2 times" in rolled_back.reason
        await _has_stayed_with(pair, 2)


async def _have_published(home: Path, servers: int) -> bool:
    """Whether so many servers, each start counts, have said something of the rollout."""
    with contextlib.closing(sqlite3.connect(f"file:{home}/state/registry.db?mode=ro", uri=True)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM rollout_windows").fetchone()
    return found >= servers
