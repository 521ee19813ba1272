"""A worker that comes as far as another one that was told something."""

import asyncio
from collections.abc import AsyncIterator

from serinus.app.following import Following
from serinus.app.workers.in_step import InStep
from serinus.core.errors import ModelRejected
from serinus.lifecycle.models import Models
from serinus.registry.records import Snapshot
from serinus.registry.wanted import FollowMode
from tests.lifecycle.fake_servables import FakeLoader
from tests.support.records import model_record, version_record

OLD = Snapshot(1, {})
NEW = Snapshot(5, {"m": model_record(version_record("1.0.0", 1), aliases={"stable": 1})})


class Follower:
    """Sees two snapshots, the second once it may."""

    def __init__(self) -> None:
        self.sees = asyncio.Event()

    async def changes(self) -> AsyncIterator[Snapshot]:
        yield OLD
        await self.sees.wait()
        yield NEW


async def test_it_answers_when_it_serves_what_the_other_one_does():
    """Not before the database has told it what that is; a load that failed here before is tried again."""
    loader, follower = FakeLoader(), Follower()
    loader.failing[1] = ModelRejected("no memory")
    async with Models(loader, refused=lambda _reason: None, forget=lambda _version: None) as models:
        following = Following(
            models, route=lambda _model, _traffic: None, mode=FollowMode.FOLLOW, is_taken=lambda _name: False
        )
        subject = InStep(follower, following, models)
        behind = asyncio.create_task(subject.follow({"model": "m", "revision": 5}))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not behind.done()
        follower.sees.set()
        assert await behind == {}
        assert models.serving() == []
        loader.failing.clear()
        assert await subject.follow({"model": "m", "revision": 5}) == {}
        assert [str(servable.identity) for servable in models.serving()] == ["m@1.0.0"]
