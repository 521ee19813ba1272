"""How much is answered in time of more calls than can be answered: the real admission and batcher, a model that varies.

Open loop: calls come when they come, whatever became of those before them; a call counts if its answer came in time.
"""

import asyncio
import dataclasses
import random
from collections.abc import Callable

import pytest

from serinus.core.criticality import Criticality
from serinus.core.errors import DeadlinePassed, Overloaded
from serinus.core.predictor import Request, Response
from serinus.serving.admission import Admission, ByteBudget
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.slots import RunSlots
from tests.serving.batching.batchers import batcher
from tests.support.fakes import FakeCosts, FakeRunner, request
from tests.support.virtual_loop import run_virtual

BEST = 8
COST = FakeCosts(run_s=0.04, row_s=0.01, best=BEST)
FULL_RUN_S = COST.predict_s(BEST)
SLOTS = 2
CAPACITY = BEST / FULL_RUN_S  # rows a second of one slot
PATIENCE_S = 10 * FULL_RUN_S


@dataclasses.dataclass
class Tally:
    """What became of the calls that came between two moments.

    Attributes:
        offered: Calls.
        answered: In time.
        refused: By reason.
        latencies: Seconds, of the answered.
    """

    offered: int = 0
    answered: int = 0
    refused: dict[str, int] = dataclasses.field(default_factory=dict)
    latencies: list[float] = dataclasses.field(default_factory=list)


class Server:
    """One model, whose runs take up to a third more or less than they do on average."""

    def __init__(self, seed: int, *, slowness: float = 1.0) -> None:
        self.slowness = slowness
        self.rng = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.runner = FakeRunner(cost=COST, seconds=self._seconds)
        self.calls: dict[asyncio.Task[Response], Request] = {}
        self.ends: list[tuple[Request, Response | BaseException, float]] = []
        self.started: list[tuple[float, float]] = []

    def _seconds(self) -> float:
        last = self.runner.requests[-1]
        self.started.append((self.loop.time(), last.deadline))
        return COST.predict_s(last.rows) * self.slowness * self.rng.uniform(0.7, 1.3)

    async def offer(self, layer: Admission, rate: float, until: float, make: Callable[[float], Request]) -> None:
        """Poisson arrivals."""
        while (at := self.loop.time() + self.rng.expovariate(rate)) < until:
            await asyncio.sleep(at - self.loop.time())
            wish = make(self.loop.time())
            task = self.loop.create_task(layer.predict(wish))
            self.calls[task] = wish
            task.add_done_callback(self._note)

    def _note(self, task: asyncio.Task[Response]) -> None:
        end = task.exception() or task.result()
        self.ends.append((self.calls.pop(task), end, self.loop.time()))

    def tally(self, start: float, end: float, of: Callable[[Request], bool] = lambda _: True) -> Tally:
        tally = Tally()
        for wish, outcome, at in self.ends:
            if not (start <= wish.arrived < end and of(wish)):
                continue
            tally.offered += 1
            match outcome:
                case Response() if at <= wish.deadline:
                    tally.answered += 1
                    tally.latencies.append(at - wish.arrived)
                case Overloaded(reason=reason):
                    tally.refused[reason] = tally.refused.get(reason, 0) + 1
                case DeadlinePassed() | Response():
                    tally.refused["LATE"] = tally.refused.get("LATE", 0) + 1
                case _:
                    raise AssertionError(f"{wish} ended with {outcome!r}")
        return tally


def usual(now: float) -> Request:
    wish = request(1, deadline=now + PATIENCE_S)
    wish.arrived = now
    return wish


async def served(server: Server, *loads: tuple[float, float], make: Callable[[float], Request] = usual) -> None:
    """Offer each load, in multiples of the capacity, until the given time; then nothing is left."""
    async with batcher(server.runner, slots=RunSlots(SLOTS), policy=BatchPolicy(max_rows=64)) as inner:
        layer = Admission(
            inner, budget=ByteBudget(1 << 30), backlog=inner, max_calls=4096, clock=asyncio.get_running_loop().time
        )
        for factor, until in loads:
            await server.offer(layer, factor * SLOTS * CAPACITY, until, make)
        await asyncio.sleep(2 * PATIENCE_S)
        assert (repr(inner), server.calls) == ("<Batcher 0 calls (0 rows) queued, 0 runs>", {})


@pytest.mark.parametrize("factor", [1, 2, 5, 10])
@pytest.mark.parametrize("slowness", [1.0, 1.3])
def test_what_can_be_answered_is_answered(factor: int, slowness: float):
    """However much more there is, and where everything takes longer than was learned; hardly a row runs for nothing."""

    async def scenario() -> None:
        server = Server(seed=factor, slowness=slowness)
        await served(server, (factor, 14.0))
        tally = server.tally(4.0, 12.0)
        possible = min(tally.offered, SLOTS * CAPACITY / slowness * 8.0)
        assert tally.answered >= 0.97 * possible
        assert all(started < deadline for started, deadline in server.started), "ran after its deadline"
        ran = sum(len(tags) for tags in server.runner.runs)
        assert ran - sum(isinstance(end, Response) for _, end, _ in server.ends) <= 0.02 * ran
        # Who is refused is told at once; nobody waits for nothing.
        assert set(tally.refused) <= {"TOO_LATE", "LATE"}
        assert tally.refused.get("LATE", 0) <= 0.01 * tally.offered

    run_virtual(scenario())


def test_an_overload_is_over_when_it_is_over():
    """Two seconds later calls are answered as if nothing had been."""

    async def scenario() -> None:
        server = Server(seed=1)
        await served(server, (10, 8.0), (0.5, 20.0))
        after = server.tally(10.0, 20.0)
        assert (after.answered, after.refused) == (after.offered, {})
        assert sorted(after.latencies)[len(after.latencies) // 2] < 2 * FULL_RUN_S

    run_virtual(scenario())


def test_critical_calls_get_through_an_overload():
    """A tenth of the load is critical, half of it sheddable: the first is all answered, of the last next to nothing."""

    async def scenario() -> None:
        server = Server(seed=2)

        def mixed(now: float) -> Request:
            wish = usual(now)
            wish.criticality = server.rng.choices(list(Criticality), [1, 4, 5])[0]
            return wish

        await served(server, (5, 14.0), make=mixed)
        tallies = {
            each: server.tally(4.0, 12.0, lambda wish, each=each: wish.criticality is each) for each in Criticality
        }
        shares = {each: tally.answered / tally.offered for each, tally in tallies.items()}
        assert shares[Criticality.CRITICAL] >= 0.97
        assert shares[Criticality.DEFAULT] >= 0.2
        assert shares[Criticality.SHEDDABLE] <= 0.02

    run_virtual(scenario())


def test_a_flood_of_one_tenant_leaves_the_others_their_share():
    """Who sends a twentieth of what comes, and less than its share of what can be answered, is answered."""

    async def scenario() -> None:
        server = Server(seed=3)

        def flooded(now: float) -> Request:
            wish = usual(now)
            wish.tenant = server.rng.choices(["flood", "small"], [95, 5])[0]
            return wish

        await served(server, (5, 14.0), make=flooded)
        tallies = {
            each: server.tally(4.0, 12.0, lambda wish, each=each: wish.tenant == each) for each in ("flood", "small")
        }
        assert tallies["small"].answered >= 0.99 * tallies["small"].offered
        assert sum(tally.answered for tally in tallies.values()) >= 0.97 * SLOTS * CAPACITY * 8.0

    run_virtual(scenario())
