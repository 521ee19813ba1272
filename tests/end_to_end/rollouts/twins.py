"""Two servers on one registry, each of which can be killed and come back, and somebody who watches the weights."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from serinus_api.v1 import admin_pb2 as pb
from serinus_client import NO_RETRIES, AsyncClient, SerinusError
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import PAUSE_S, Place, eventually
from tests.end_to_end.rollouts.callers import Question, Tally, calling
from tests.end_to_end.rollouts.stages import one_of, quick_place

KILLS = "[rollouts]\ninterval_s = 0.1\nlost_after_s = 1\n"
"""A server that is killed is missed within a second or two."""

OUT = frozenset({pb.ROLLOUT_STATUS_FAILING, pb.ROLLOUT_STATUS_ROLLED_BACK, pb.ROLLOUT_STATUS_ABORTED})
"""Where the candidate gets no call any more."""


class Twins:
    """The servers "first" and "second".

    Attributes:
        alive: Those that live, by name.
    """

    def __init__(self, forks: Nursery, home: Path, registry: str = "") -> None:
        self.alive: dict[str, Place] = {}
        self._forks = forks
        self._home = home
        self._registry = registry
        self._stacks: list[contextlib.AsyncExitStack] = []

    async def start(self, name: str) -> Place:
        """Start one, on what an earlier one of that name has left."""
        stack = contextlib.AsyncExitStack()
        self._stacks.append(stack)
        if self._registry:
            block = quick_place(self._forks, self._home / name, tables=KILLS + self._registry, database=None)
        else:
            block = one_of(self._forks, self._home, name, tables=KILLS)
        self.alive[name] = await stack.enter_async_context(block)
        return self.alive[name]

    async def kill(self, name: str) -> None:
        """SIGKILL; its clients stay open, because somebody may be asking."""
        await self.alive.pop(name).server.kill()

    async def stop(self) -> None:
        """Let those that live drain."""
        self.alive.clear()
        while self._stacks:
            await self._stacks.pop().aclose()

    async def controller(self) -> str:
        """Which one controls the rollouts; waits until one does."""
        found: list[str] = []

        async def is_known() -> bool:
            for name, each in self.alive.items():
                if (await each.client.admin.server_status()).workers[0].controls_rollouts:
                    found.append(name)
            return bool(found)

        await eventually(is_known)
        return found[0]


@contextlib.asynccontextmanager
async def twins(forks: Nursery, home: Path, registry: str = "") -> AsyncIterator[Twins]:
    """Both servers alive; those that live at the end must end well.

    Args:
        forks: Starts them.
        home: Holds the state folder of both.
        registry: A `[registry]` table, where each is to have a state folder of its own.
    """
    made = Twins(forks, home, registry)
    try:
        await made.start("first")
        await made.start("second")
        yield made
    finally:
        await made.stop()


class Sentinel:
    """Sees every weight that the registry ever has while a rollout goes on.

    Attributes:
        statuses: Where it stood, in order, each once.
    """

    def __init__(self, pair: Twins, rollout: str, candidate: str) -> None:
        self.statuses: list[int] = []
        self._pair = pair
        self._rollout = rollout
        self._candidate = candidate

    async def watch(self) -> pb.Rollout:
        """Look until the rollout has ended; AssertionError if its candidate gets calls after it was taken out."""
        while True:
            for each in list(self._pair.alive.values()):
                with contextlib.suppress(SerinusError):
                    seen = await self._look(each)
                    if seen.HasField("ended_at"):
                        return seen
            await asyncio.sleep(PAUSE_S)

    async def _look(self, each: Place) -> pb.Rollout:
        """Status first: a weight that is read later than FAILING must be 0."""
        seen = await each.client.admin.get_rollout(self._rollout)
        traffic = await each.client.admin.get_split("m")
        if seen.status not in self.statuses[-1:]:
            self.statuses.append(seen.status)
        if OUT & set(self.statuses):
            weights = {arm.version: arm.weight for arm in traffic.arms}
            assert not weights.get(self._candidate), f"it is out, and gets {weights}"
            assert seen.status in OUT, "it is out, and comes back"
        return seen


@contextlib.asynccontextmanager
async def asking_both(pair: Twins, questions: Sequence[Question]) -> AsyncIterator[dict[str, Tally]]:
    """Callers of both servers; those of one that is killed hear of it, and nobody else of anything."""
    async with contextlib.AsyncExitStack() as stack:
        tallies = {}
        for name, each in pair.alive.items():
            client = await stack.enter_async_context(AsyncClient(each.server.address, retry=NO_RETRIES))
            tallies[name] = await stack.enter_async_context(calling(client, "m", questions))
        yield tallies
