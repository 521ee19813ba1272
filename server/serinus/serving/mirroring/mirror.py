"""Copies calls to a version whose answers nobody gets, and compares what it answers with what the caller got."""

import asyncio
import dataclasses
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from serinus.core.comparison import Difference, compare
from serinus.core.criticality import Criticality
from serinus.core.errors import NotFound, ServerError
from serinus.core.predictor import Predictor, Request, Response
from serinus.core.traffic import WHOLE, TrafficSplit
from serinus.core.version import ModelVersion
from serinus.core.windows import PairWindow
from serinus.serving.admission import ByteBudget
from serinus.serving.failures import failure_of
from serinus.serving.mirroring.copy_queue import Copy, CopyQueue, held, size_of
from serinus.serving.mirroring.disagreements import Disagreement
from serinus.serving.mirroring.pair_counts import PairCounts
from serinus.telemetry.logs import get_logger
from serinus.telemetry.outcome import PairEnd
from serinus.threads import to_thread

log = get_logger("serinus.mirror")

LONGEST_WAIT_S: Final = 2.0
"""For an idle moment: bursts pass within it, and what lasts longer is load, which sheds copies first."""
LOWEST_PRIORITY: Final = 1 << 30
"""Higher than any number of levels, so that it means the last of them."""

_GATE_S = 0.005  # between looks for an idle moment; a few runs long, and 200 looks a second cost nothing
_INLINE_BYTES = 1 << 14  # comparing so much takes as long as a hop to a thread and back
_AFTER_FAULT_S = 1.0  # so that a fault which repeats does not fill the log


class MirrorMetrics(Protocol):
    """What is counted about copies of calls."""

    def mirrored(self, model: str, end: PairEnd) -> None:
        """A copy of a call of that model was compared, or could not be."""
        ...


class Mirrors:
    """Makes calls once more, to a mirrored version, when nothing else is to do.

    An async context manager; leaving it ends everything, copies that wait and those that run. Callers never wait for
    it, and no fault of it, or of the mirrored version, reaches them. All methods belong to the event loop.

    Attributes:
        inner: Answers calls that name a version.
        budget_bytes: Memory that copies may hold together.
        is_idle: Whether no call waits for a run. While it is not so, copies wait, `LONGEST_WAIT_S` at most.
        row_axes: Batch axis by output of a version; an output that has none, or is not named, is one row.
        has_memory: Whether there is memory for copies; while there is not, none is taken.
        metrics: What is counted.
        rng: Draws the calls that are copied, and the examples that are kept.
        clock: The clock of deadlines, in seconds.
        unix_clock: Seconds since 1970.
        max_waiting: Most copies that wait.
        at_once: Most copies that run; a version that hangs holds no more than these.
    """

    def __init__(
        self,
        inner: Predictor,
        *,
        budget_bytes: int,
        is_idle: Callable[[], bool],
        row_axes: Callable[[ModelVersion], Mapping[str, int | None]],
        has_memory: Callable[[], bool] = lambda: True,
        metrics: MirrorMetrics,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
        max_waiting: int = 64,  # what a small model answers within the longest wait
        at_once: int = 1,  # a second one would compete with calls rather than with copies
    ) -> None:
        self._inner = inner
        self._is_idle = is_idle
        self._row_axes = row_axes
        self._has_memory = has_memory
        self._metrics = metrics
        self._draw = rng.random
        self._clock = clock
        self._unix_clock = unix_clock
        self._at_once = at_once
        self._counts = PairCounts(rng)
        self._queue = CopyQueue(ByteBudget(budget_bytes), most=max_waiting)
        self._some = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        self._silent_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._tasks = asyncio.TaskGroup()
        self._workers: list[asyncio.Task[None]] = []
        self._left: dict[asyncio.Task[Response], ModelVersion] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._workers = [self._tasks.create_task(self._work()) for _ in range(self._at_once)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            for call in self._left:
                call.cancel()
            await asyncio.gather(*self._left, return_exceptions=True)
            if self._expiry is not None:
                self._expiry.cancel()
            while self._queue:
                self._queue.release(self._queue.pop())

    # On the path of every call that the baseline answers.

    def offer(self, request: Request, response: Response, split: TrafficSplit) -> None:
        """The baseline of `split` has answered `request`: copy the call if it is drawn and there is room.

        Returns at once and never raises. Neither of the two is changed. An answer that a fallback gave is not copied.
        """
        plan = split.mirror
        if plan is None or self._draw() * WHOLE >= plan.share:
            return
        try:
            self._take(request, response, split)
        except Exception as error:  # noqa: BLE001 - the outermost frame of mirroring on the path of an answered call
            self._complain("call not mirrored", error, split.baseline)

    def _take(self, request: Request, response: Response, split: TrafficSplit) -> None:
        plan, seen, now = split.mirror, split.observation, self._clock()
        assert plan is not None, "a call is mirrored without a plan: this is a bug"
        is_baselines = response.fallback is None and response.answered_by.number == split.baseline.number
        if not is_baselines or not self._workers:
            return
        copy = Copy(
            request=request,
            outputs=response.outputs,
            baseline_s=response.queue_s + response.compute_s,
            plan=plan,
            rollout=seen.rollout if seen is not None else "",
            segment=seen.segment if seen is not None else 0,
            since=now,
            size_bytes=size_of(request.inputs) + size_of(response.outputs),
        )
        if not self._has_memory() or not self._queue.has_room(copy.size_bytes):
            self._end(copy, PairEnd.DROPPED)
            return
        inputs, inputs_bytes = held(request.inputs)
        copy.outputs, outputs_bytes = held(response.outputs)
        copy.size_bytes = inputs_bytes + outputs_bytes
        if not self._queue.has_room(copy.size_bytes):
            self._end(copy, PairEnd.DROPPED)
            return
        # The memory is counted here, so that it takes no other call's place in the server's own bound.
        copy.request = dataclasses.replace(
            request,
            inputs=inputs,
            model=plan.version.model,
            version=plan.version.number_text,
            priority=LOWEST_PRIORITY,
            criticality=Criticality.SHEDDABLE,
            alone=False,
            size_bytes=0,
        )
        self._queue.push(copy)
        self._some.set()
        if self._expiry is None:
            self._expiry = self._loop.call_later(LONGEST_WAIT_S, self._drop_late)

    def _drop_late(self) -> None:
        """Drop what has waited too long; not left to the workers, which a version that hangs can hold up."""
        now = self._clock()
        late = list(self._queue.expired(now - LONGEST_WAIT_S))
        oldest = self._queue.since()
        left_s = None if oldest is None else max(oldest + LONGEST_WAIT_S - now, _GATE_S)
        self._expiry = None if left_s is None else self._loop.call_later(left_s, self._drop_late)
        for copy in late:
            self._end(copy, PairEnd.DROPPED)

    # What the calls do not see.

    async def _work(self) -> None:
        while True:
            try:
                copy = await self._next()
                try:
                    await self._run(copy)
                finally:
                    self._queue.release(copy)
            except Exception as error:  # noqa: BLE001 - a task's outermost frame: neither mirror nor server ends
                self._complain("mirror failed", error)
                await asyncio.sleep(_AFTER_FAULT_S)
            # A model that runs on the event loop would otherwise let nobody in until all copies are made.
            await asyncio.sleep(0)

    async def _next(self) -> Copy:
        """The copy that has waited longest, once no call waits for a run."""
        while True:
            if not self._queue:
                self._some.clear()
                await self._some.wait()
            elif self._is_idle():
                return self._queue.pop()
            else:
                # Looks again after a while instead of being told: only a busy server pays for it, and every batcher
                # would otherwise tell of every run.
                await asyncio.sleep(_GATE_S)

    async def _run(self, copy: Copy) -> None:
        """Make the call, compare, count."""
        request, plan = copy.request, copy.plan
        request.arrived = started = self._clock()
        request.deadline = math.inf  # it ends with its run, so that one that was left is known to be over
        try:
            async with asyncio.timeout(plan.timeout_s):
                response = await self._answer(request, plan.version)
        except TimeoutError:
            self._failed(copy, started, f"no answer within {plan.timeout_s:g} s")
        except ServerError as error:
            if _never_ran(error):
                self._end(copy, PairEnd.DROPPED)
            else:
                self._failed(copy, started, error.message)
        except Exception as error:  # noqa: BLE001 - whatever the layers of the mirrored version raise is its failure
            self._complain("mirrored version failed", error, plan.version)
            self._failed(copy, started, "an internal error")
        else:
            await self._answered(copy, response)

    async def _answer(self, request: Request, version: ModelVersion) -> Response:
        """What `version` answers, once all calls to it that were left are over.

        Being cancelled leaves the call: its run has a thread that only its end gives back, and a version that hangs
        would have them all.
        """
        while left := [call for call, asked in self._left.items() if asked == version]:
            await asyncio.wait(left)
        call = self._loop.create_task(self._inner.predict(request))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if not call.done():
                self._left[call] = version
                call.add_done_callback(self._left.pop)
            raise

    async def _answered(self, copy: Copy, response: Response) -> None:
        plan = copy.plan
        if response.answered_by.number != plan.version.number:
            self._end(copy, PairEnd.DROPPED)  # whoever answered in its place says nothing about it
            return
        difference = await self._difference(copy, response)
        mirrored_s = response.queue_s + response.compute_s
        if difference is None:
            self._end(copy, PairEnd.SAME, mirrored_s)
            return
        self._end(copy, PairEnd.DIFFERENT, mirrored_s)
        self._keep(copy, response, difference.sentence)

    async def _difference(self, copy: Copy, response: Response) -> Difference | None:
        axes = self._row_axes(copy.plan.version)
        arguments = copy.outputs, response.outputs, copy.plan.likeness, axes
        if size_of(copy.outputs) <= _INLINE_BYTES:
            return compare(*arguments)
        return await to_thread(compare, *arguments)

    def _failed(self, copy: Copy, started: float, why: str) -> None:
        self._end(copy, PairEnd.FAILED, self._clock() - started)
        self._keep(copy, None, f"{copy.plan.version} failed: {why[:200]}")

    def _end(self, copy: Copy, end: PairEnd, mirrored_s: float = 0.0) -> None:
        self._metrics.mirrored(copy.plan.version.model, end)
        self._counts.add(copy.rollout, copy.segment, end, baseline_s=copy.baseline_s, mirrored_s=mirrored_s)

    def _keep(self, copy: Copy, response: Response | None, sentence: str) -> None:
        found = Disagreement(
            at=self._unix_clock(),
            request_id=copy.request.request_id,
            inputs=copy.request.inputs,
            baseline=copy.outputs,
            candidate={} if response is None else response.outputs,
            sentence=sentence,
        )
        self._counts.keep(copy.rollout, found)

    def _complain(self, event: str, error: Exception, version: ModelVersion | None = None) -> None:
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _AFTER_FAULT_S
            log.error(event, version=None if version is None else str(version), exc_info=error)

    # What others ask.

    def pairs(self, rollout: str, segment: int) -> PairWindow:
        """What was counted in a segment of a rollout; nothing if it is not the newest one that copies were made in."""
        return self._counts.window(rollout, segment)

    def disagreements(self, rollout: str) -> Sequence[Disagreement]:
        """An even sample of the calls that were answered differently since the rollout began, a few."""
        return self._counts.examples(rollout)

    def __repr__(self) -> str:
        return f"<Mirrors {self._queue!r}>"


def _never_ran(error: ServerError) -> bool:
    """Whether the mirrored version was not even asked: no room, not there."""
    failure = failure_of(error)
    return isinstance(error, NotFound) or (failure is not None and not failure.is_versions)
