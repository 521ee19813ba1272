"""What one worker does about versions that workers died of."""

from collections.abc import AsyncIterator

import pytest

from serinus.app.workers.kept_out import KeptOut
from serinus.config.models import VersionSpec
from serinus.core.errors import ModelRejected
from serinus.core.version import ModelVersion, Version
from serinus.lifecycle.models import Models
from serinus.lifecycle.servable import MakeRoom
from serinus.workers.quarantine import Quarantined
from tests.lifecycle.fake_servables import FakeLoader, FakeServable, model_plan
from tests.support.fakes import settle

KILLER = ModelVersion("m", Version(2), 2)
ENTRY = Quarantined(KILLER, 4, 60.0, "signal 11")


class World:
    """Models whose loader asks first, as the server's does."""

    def __init__(self) -> None:
        self.kept_out = KeptOut()
        self.loader = FakeLoader()
        self.models = Models(self._load, refused=lambda _reason: None, forget=lambda _version: None)

    async def _load(self, spec: VersionSpec, make_room: MakeRoom) -> FakeServable:
        self.kept_out.admit(spec.identity)
        return await self.loader(spec, make_room)

    @property
    def states(self) -> list[tuple[str, str, str]]:
        return [(str(each.identity), str(each.state), each.reason) for each in self.models.index()]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.models:
        yield made


READY_1 = ("m@1.0.0", "READY", "")
KEPT_OUT_2 = ("m@2.0.0", "UNAVAILABLE", ENTRY.sentence)


async def test_what_serves_goes_and_is_not_loaded_again(world: World):
    """Whatever is wanted of the model meanwhile; its other versions serve."""
    world.models.apply(model_plan("m", 1, 2))
    await world.models.settled("m")
    world.kept_out.replace([ENTRY], world.models)
    await world.models.closed("m")
    assert world.states == [KEPT_OUT_2, READY_1]
    world.models.apply(model_plan("m", 1, 2, max_batch_size=4))
    with pytest.raises(ModelRejected) as caught:
        await world.models.settled("m")
    assert (caught.value.reason, world.states) == ("QUARANTINED", [KEPT_OUT_2, READY_1])


async def test_a_worker_that_starts_loads_everything_else(world: World):
    """It hears of it before it loads."""
    world.kept_out.replace([ENTRY], world.models)
    with pytest.raises(ModelRejected):
        await world.models.reload(model_plan("m", 1, 2))
    assert world.states == [KEPT_OUT_2, READY_1]
    assert [number for _, number in world.loader.started] == [1]


async def test_what_is_forgiven_is_loaded_again(world: World):
    """Without anybody asking this worker."""
    world.models.apply(model_plan("m", 1, 2))
    await world.models.settled("m")
    world.kept_out.replace([ENTRY], world.models)
    world.kept_out.replace([], world.models)
    await settle()
    assert world.states == [("m@2.0.0", "READY", ""), READY_1]


async def test_the_same_list_again_changes_nothing(world: World):
    """Every list is whole, and may come twice."""
    world.models.apply(model_plan("m", 1, 2))
    await world.models.settled("m")
    for _ in range(2):
        world.kept_out.replace([ENTRY], world.models)
    assert len(world.loader.started) == 2
