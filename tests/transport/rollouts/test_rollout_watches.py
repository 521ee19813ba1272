"""Rollouts streamed to those who watch."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from serinus.core.errors import Overloaded, StoreUnavailable
from serinus.rollout.rollout import Status
from serinus.transport.rollouts.watches import MOST_WATCHERS, RolloutWatches
from serinus_api.v1 import admin_pb2 as pb
from tests.support.fakes import settle
from tests.transport.registry.registry_on_grpc import refusal, refused_field
from tests.transport.rollouts.rollout_fakes import FakeRollouts, changed
from tests.transport.rollouts.rollouts_on_grpc import Operated, operating


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    async with operating() as made:
        yield made


async def test_a_watch_ends_with_its_rollout(operated: Operated):
    """Each message is the whole rollout."""
    operated.rollouts.views = [changed(), changed(status=Status.SUCCEEDED, stage=4)]
    async with asyncio.timeout(20):
        seen = [answer.rollout async for answer in operated.watch(pb.WatchRolloutRequest(id="r1"))]
    assert [(each.status, each.stage, len(each.arms)) for each in seen] == [
        (pb.ROLLOUT_STATUS_RUNNING, 1, 2),
        (pb.ROLLOUT_STATUS_SUCCEEDED, 4, 2),
    ]
    assert {each.spec_yaml for each in seen} == {"model: m\ncandidate: 1.1.0\n"}
    assert operated.rollouts.asked == [("watch", ("r1",), {})]


async def test_the_newest_of_a_model_is_watched_by_its_id(operated: Operated):
    """Another one that starts meanwhile is another watch."""
    async with asyncio.timeout(20):
        async for _ in operated.watch(pb.WatchRolloutRequest(model="m")):
            pass
    assert operated.rollouts.asked == [("newest", ("m",), {}), ("watch", ("r1",), {})]


async def test_whoever_leaves_is_watched_for_no_more(operated: Operated):
    """Nothing is read for nobody."""
    operated.rollouts.ends = False
    call = operated.watch(pb.WatchRolloutRequest(id="r1"))
    async with asyncio.timeout(20):
        await call.read()
        assert operated.rollouts.watched == 1
        call.cancel()
        while operated.rollouts.watched:
            await settle()


async def test_a_drain_ends_watches(operated: Operated):
    """Another server goes on with them."""
    operated.rollouts.ends = False
    call = operated.watch(pb.WatchRolloutRequest(id="r1"))
    async with asyncio.timeout(20):
        await call.read()
        operated.drain.begin()
        assert (await refusal(call))[0] is grpc.StatusCode.UNAVAILABLE
    assert operated.rollouts.watched == 0


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        (pb.WatchRolloutRequest(), "MISSING_NAME", "id"),
        (pb.WatchRolloutRequest(id="\n"), "CONTROL_CHARACTER", "id"),
        (pb.WatchRolloutRequest(model="../m"), "INVALID_NAME", "model"),
    ],
)
async def test_what_cannot_be_watched_is_refused(operated: Operated, asked: pb.WatchRolloutRequest, reason, field):
    """With the field at fault."""
    assert await refused_field(operated.watch(asked)) == (reason, field)


async def test_a_database_that_is_away_ends_a_watch_with_when_to_come_back(operated: Operated):
    """As it does any call."""
    operated.rollouts.failure = StoreUnavailable("the database is away")
    assert await refusal(operated.watch(pb.WatchRolloutRequest(id="r1"))) == (
        grpc.StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE: the database is away",
    )


async def test_only_so_many_watch_at_once():
    """Whoever leaves makes room."""
    rollouts = FakeRollouts()
    watches = RolloutWatches(rollouts)
    asked = pb.WatchRolloutRequest(id="r1")
    watching = [watches.watch(asked) for _ in range(MOST_WATCHERS)]
    for watch in watching:
        await anext(watch)
    with pytest.raises(Overloaded) as refused:
        await anext(watches.watch(asked))
    assert (refused.value.reason, refused.value.message) == (
        "TOO_MANY_WATCHERS",
        "256 watch rollouts, the limit is 256",
    )
    await watching.pop().aclose()
    late = watches.watch(asked)
    await anext(late)
    for watch in [*watching, late]:
        await watch.aclose()
    assert rollouts.watched == 0
