"""The predict stack under random traffic: what befalls one call hurts no other, and nothing is kept."""

import asyncio
import dataclasses
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.errors import DeadlinePassed, Draining, ModelFailed, Overloaded
from serinus.core.predictor import Predictor, Request, Response
from serinus.serving.admission import Admission, ByteBudget
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.batcher import Batcher
from serinus.serving.batching.slots import RunSlots
from serinus.serving.lease import Leases
from serinus.serving.measured import Measured
from serinus.serving.validation import Validation
from tests.support.fakes import (
    FAR,
    TAGGED_LENGTHS,
    FakeBatchMetrics,
    FakeCallMetrics,
    FakeCosts,
    FakeRunner,
    request,
    tags_of,
)
from tests.support.virtual_loop import run_virtual

GRAIN_S = 0.001 + 1e-9
# Times lie on a grid, so that arrivals, cancellations, deadlines and ends of runs often fall into one tick.
times = st.integers(0, 12).map(lambda quarters: quarters / 4)


@dataclasses.dataclass(frozen=True)
class Plan:
    """One call of the scenario: when it comes, what it brings, and what befalls it."""

    model: int
    arrives: float
    rows: int
    length: int
    priority: int
    patience_s: float
    cancelled_after_s: float | None
    poison: bool


plans = st.builds(
    Plan,
    model=st.integers(0, 1),
    arrives=times,
    rows=st.integers(0, 7),
    length=st.integers(1, 2),
    priority=st.integers(0, 3),
    patience_s=st.one_of(st.just(FAR), times),
    cancelled_after_s=st.one_of(st.none(), times),
    poison=st.sampled_from([False, False, False, True]),
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """How the server is set up, and when its models are left."""

    slots: int
    instances: int | None
    max_rows: int
    best_rows: int
    linger_s: float
    preferred_rows: tuple[int, ...]
    quick_rows: int
    queue_timeout_s: float | None
    max_calls: int
    predicted_run_s: float
    durations: tuple[float, ...]
    left_at: float


scenes = st.builds(
    Setting,
    slots=st.integers(1, 3),
    instances=st.sampled_from([None, 1, 2]),
    max_rows=st.integers(1, 6),
    best_rows=st.integers(1, 8),
    linger_s=st.sampled_from([0.0, 0.0, 0.25, 0.6]),
    preferred_rows=st.sampled_from([(), (2,), (2, 4)]),
    quick_rows=st.sampled_from([0, 0, 1, 100]),
    queue_timeout_s=st.sampled_from([None, 0.0, 0.5]),
    max_calls=st.sampled_from([1000, 3]),
    predicted_run_s=st.sampled_from([0.0, 0.0, 1.0]),
    durations=st.lists(st.sampled_from([0.0, 0.25, 0.5, 3.0]), min_size=1, max_size=6).map(tuple),
    left_at=st.sampled_from([FAR / 2, FAR / 2, 0.0, 1.0, 1.5]),
)


@dataclasses.dataclass
class Call:
    """A call that was made."""

    plan: Plan
    tags: list[int]
    wish: Request
    end: Response | BaseException | None = None
    ended_at: float = -1.0

    @property
    def cancelled_at(self) -> float:
        after_s = self.plan.cancelled_after_s
        return FAR if after_s is None else self.plan.arrives + after_s


class WatchedRunner(FakeRunner):
    """Notes when each run starts."""

    def __init__(self, setting: Setting, poison: set[int]) -> None:
        durations = itertools.cycle(setting.durations)
        super().__init__(
            TAGGED_LENGTHS,
            cost=FakeCosts(run_s=setting.predicted_run_s, best=setting.best_rows),
            quick_rows=setting.quick_rows,
            poison=poison,
            seconds=lambda: next(durations),
        )
        self.started_at: list[float] = []

    def _start(self, request: Request) -> None:
        self.started_at.append(asyncio.get_running_loop().time())
        super()._start(request)


class World:
    """Two models that share slots and memory, the calls to them, and what must be true of all of it."""

    def __init__(self, setting: Setting, plan: list[Plan]) -> None:
        self.setting = setting
        self.loop = asyncio.get_running_loop()
        self.slots = RunSlots(setting.slots)
        self.budget = ByteBudget(10_000)
        self.metrics = [FakeCallMetrics(), FakeCallMetrics()]
        self.calls: list[Call] = []
        tags = itertools.count(1)
        for each in sorted(plan, key=lambda each: each.arrives):
            own = list(itertools.islice(tags, each.rows))
            deadline = each.arrives + each.patience_s
            wish = request(*own, length=each.length, deadline=deadline, priority=each.priority, size_bytes=7)
            self.calls.append(Call(each, own, wish))
        poison = {call.tags[-1] for call in self.calls if call.plan.poison and call.tags}
        self.runners = [WatchedRunner(setting, poison) for _ in range(2)]
        self.batchers: list[Batcher] = []
        self.leases: list[Leases] = []
        self.reports: list[dict] = []
        self.loop.set_exception_handler(lambda _, context: self.reports.append(context))

    async def live(self) -> None:
        async with self._batcher(0) as first, self._batcher(1) as second:
            self.batchers = [first, second]
            stacks = [self._stack(model) for model in range(2)]
            tasks = [asyncio.create_task(self._make(call, stacks[call.plan.model])) for call in self.calls]
            watch = asyncio.create_task(self._watch())
            await asyncio.wait([*tasks, watch], timeout=self.setting.left_at)
        await asyncio.gather(*tasks, watch)

    def _batcher(self, model: int) -> Batcher:
        setting = self.setting
        return Batcher(
            self.runners[model],
            policy=BatchPolicy(setting.max_rows, setting.linger_s, setting.preferred_rows),
            slots=self.slots,
            metrics=FakeBatchMetrics(),
            instances=setting.instances,
            queue_timeout_s=setting.queue_timeout_s,
            clock=self.loop.time,
        )

    def _stack(self, model: int) -> Predictor:
        leases = Leases(self.batchers[model])
        self.leases.append(leases)
        admission = Admission(
            leases,
            budget=self.budget,
            backlog=self.batchers[model],
            max_calls=self.setting.max_calls,
            clock=self.loop.time,
        )
        checked = Validation(admission, signature=TAGGED_LENGTHS)
        return Measured(checked, metrics=self.metrics[model], clock=self.loop.time)

    async def _make(self, call: Call, stack: Predictor) -> None:
        await asyncio.sleep(call.plan.arrives)
        call.wish.arrived = self.loop.time()
        task = asyncio.create_task(stack.predict(call.wish))
        await asyncio.sleep(0)  # the call has begun before anything befalls it
        if call.plan.cancelled_after_s is not None:
            self.loop.call_at(call.cancelled_at, task.cancel)
        (call.end,) = await asyncio.gather(task, return_exceptions=True)
        call.ended_at = self.loop.time()

    async def _watch(self) -> None:
        """Look between the moments at which anything happens whether rows wait that could run."""
        await asyncio.sleep(0.125)
        for _ in range(16):
            await asyncio.sleep(0.25)
            free = self.slots.free and not self.setting.linger_s
            for batcher, runner in zip(self.batchers, self.runners, strict=True):
                may_run = runner.under_way < (self.setting.instances or self.setting.slots)
                assert not (free and may_run and batcher.queued_calls), "rows wait while a slot is free"

    # What must be true.

    def check(self) -> None:
        assert self.reports == []
        for call in self.calls:
            self._check_end(call)
        for runner in self.runners:
            self._check_runs(runner)
        self._check_nothing_is_kept()

    def _check_end(self, call: Call) -> None:
        plan, end = call.plan, call.end
        assert call.ended_at <= call.wish.deadline + GRAIN_S
        assert call.ended_at <= max(call.cancelled_at, plan.arrives)
        match end:
            case Response():
                assert (tags_of(end.outputs), end.outputs["y"].shape) == (call.tags, (plan.rows, plan.length))
                assert not (plan.poison and call.tags)
            case asyncio.CancelledError():
                assert call.ended_at == call.cancelled_at
            case DeadlinePassed():
                assert call.ended_at >= call.wish.deadline
            case ModelFailed():
                assert plan.poison
            case Overloaded(reason="QUEUE_TIMEOUT"):
                assert self.setting.queue_timeout_s is not None
            case Overloaded(reason="QUEUE_FULL"):
                assert self.setting.max_calls == 3
            case Overloaded(reason="TOO_LATE"):
                assert self.setting.predicted_run_s > 0
            case Draining():
                assert call.ended_at >= self.setting.left_at
            case _:
                raise AssertionError(f"{call} ended with {end!r}")

    def _check_runs(self, runner: WatchedRunner) -> None:
        owner = {tag: call for call in self.calls for tag in call.tags}
        for tags, started_at in zip(runner.runs, runner.started_at, strict=True):
            owners = [owner[tag] for tag in tags]
            assert len(tags) <= self.setting.max_rows
            assert len({call.plan.length for call in owners}) <= 1
            assert all(started_at < call.wish.deadline for call in owners), "ran after its deadline"
            assert all(started_at <= call.cancelled_at for call in owners), "ran after it was cancelled"
        if not self.setting.quick_rows:
            assert runner.most_at_once <= min(self.setting.instances or 3, self.setting.slots)

    def _check_nothing_is_kept(self) -> None:
        for batcher, runner, leases in zip(self.batchers, self.runners, self.leases, strict=True):
            assert (batcher.queued_calls, batcher.queued_rows, runner.under_way, leases.held) == (0, 0, 0, 0)
            assert repr(batcher._expiry) == "<Expiry 0 watched>"
        assert repr(self.slots) == f"<RunSlots {self.setting.slots}/{self.setting.slots} free, 0 waiting>"
        assert self.budget.used == 0
        assert sum(len(metrics.events) for metrics in self.metrics) == len(self.calls)


@settings(max_examples=200, deadline=None)
@given(scenes, st.lists(plans, max_size=25))
def test_every_call_ends_once_with_its_own_rows_or_its_own_error(setting: Setting, plan: list[Plan]):
    """Random arrivals, cancellations, deadlines, poison, run times, slots and moments of leaving."""

    async def scenario() -> None:
        world = World(setting, plan)
        await world.live()
        world.check()

    run_virtual(scenario())


@settings(max_examples=100, deadline=None)
@given(scenes, st.lists(plans, min_size=1, max_size=15), st.integers(0, 40), times)
def test_a_cancelled_owner_leaves_nobody_waiting(setting: Setting, plan: list[Plan], ticks: int, at: float):
    """Stopped at any tick, the models end every call and keep nothing."""

    async def scenario() -> None:
        world = World(dataclasses.replace(setting, left_at=FAR / 2), plan)
        owner = asyncio.create_task(world.live())
        await asyncio.sleep(at)
        for _ in range(ticks):
            await asyncio.sleep(0)
        owner.cancel()
        await asyncio.wait([owner])
        await asyncio.sleep(FAR / 4)
        assert world.reports == []
        for call in world.calls:
            assert call.end is not None or not world.leases
        if world.batchers:
            world._check_nothing_is_kept()

    run_virtual(scenario())
