"""Joins calls that wait into runs, and gives each caller its own rows back."""

import asyncio
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from serinus.core.errors import Draining, Overloaded
from serinus.core.lengths import length_of
from serinus.core.padding import Padding
from serinus.core.predictor import Request, Response, Tensors
from serinus.serving.batching.batch_policy import BatchPolicy, Linger, decide
from serinus.serving.batching.batch_queue import BatchQueue, Entry
from serinus.serving.batching.expiry import EDGE, Expiry, in_time
from serinus.serving.batching.forecast import Forecast
from serinus.serving.batching.grouping import candidates_for, group
from serinus.serving.batching.joining import Joiner
from serinus.serving.batching.joint_runs import BatchMetrics, JointRuns, Runner
from serinus.serving.batching.running import RunsUnderWay
from serinus.serving.batching.slots import RunSlots
from serinus.serving.room import Room
from serinus.telemetry.outcome import DispatchReason

_NEVER = float("inf")


class Batcher:
    """A layer that answers calls from joined runs of `runner`.

    It is work-conserving: whatever waits runs as soon as there is a slot. A call that is cancelled or past its deadline
    leaves at once and takes nobody with it; a run that fails is taken apart until only the calls at fault fail.
    Used as an async context manager. Leaving it ends the calls that still wait, as draining, and waits for the runs
    under way; being cancelled meanwhile ends those too.

    Attributes:
        runner: The model.
        policy: How rows are joined.
        padding: How rows of different lengths are joined; None if only those of equal lengths are.
        slots: Shared by the models of the process.
        instances: Most runs of this model at once.
        queue_timeout_s: Longest wait for a run, or None.
        priority_levels: Calls are sorted into levels 1 (first) to this.
        default_priority: The level of calls that name none.
        stood_s: The queue has stood when it has not been empty for so long.
        metrics: Told about each run.
        clock: The loop's time in seconds; not `loop.time`, because uvloop counts whole milliseconds.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        policy: BatchPolicy,
        padding: Padding | None = None,
        slots: RunSlots,
        metrics: BatchMetrics,
        instances: int | None = None,
        queue_timeout_s: float | None = None,
        priority_levels: int = 10,
        default_priority: int = 5,
        stood_s: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._policy = policy
        self._levels = priority_levels
        self._default_level = default_priority
        self._is_batched = runner.signature.is_batched
        self._has_lengths = bool(runner.signature.open_axes)
        self._pads = padding is not None
        self._joiner = Joiner(runner.signature, padding)
        self._clock = clock
        self._queue = BatchQueue(stood_s=stood_s)
        self._runs = JointRuns(runner, self._joiner, metrics, clock)
        self._running = RunsUnderWay(slots, instances, self._dispatch, clock)
        self._forecast = Forecast(
            self._queue,
            self._running,
            lambda: runner.cost,
            most_rows=policy.max_rows,
            best_rows=self._best_rows,
            length=self._length,
            clock=clock,
        )
        self._dispatch_planned = False
        self._linger_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._expiry = Expiry(self._loop, clock, queue_timeout_s)
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._running.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._linger(_NEVER)
        for entry in self._queue.drain():
            entry.fail(_draining())
        try:
            await self._running.__aexit__(kind, error, trace)
        finally:
            self._expiry.close()  # not before: the runs under way keep their deadlines

    # What admission asks.

    @property
    def queued_calls(self) -> int:
        """Calls that wait for a run."""
        return self._queue.calls

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a run."""
        return self._queue.rows

    def predicted_finish_s(self, request: Request) -> float:
        """Seconds until a call that came now would be answered; 0 when nothing is in its way."""
        return self._forecast.finish_s(self._level(request), request)

    def predicted_wait_s(self, request: Request) -> float:
        """Seconds until a run would take a call that came now; 0 when nothing is in its way."""
        return self._forecast.wait_s(self._level(request), request)

    def make_room(self, request: Request) -> Room:
        """End the call that is to give way to `request`, now that all places are taken, if there is one."""
        room, evicted = self._queue.give_way(request)
        if evicted is not None:
            retry_after_s = self.predicted_wait_s(evicted.request)
            evicted.fail(
                Overloaded("another call took its place in the queue", reason="EVICTED", retry_after_s=retry_after_s)
            )
        return room

    # The way in and out of a call.

    async def predict(self, request: Request, /) -> Response:
        """Answer one call.

        Raises:
            DeadlinePassed: its deadline passed while it waited or ran.
            Overloaded: it waited longer than `queue_timeout_s`.
            Draining: the batcher was left before a run took the call.
            InvalidInput, ModelFailed, BadModelOutput: this call's rows are at fault, or the model is.
        """
        if self._is_batched and request.rows > self._policy.max_rows:
            return await self._predict_in_parts(request)
        # Nobody to join and nobody to wait for: the way through the queue would cost more than the run.
        if request.alone and not self._queue.calls and self._may_run_alone(request):
            return self._runs.run_alone(request)
        entry = self._enter(request, request.inputs, request.rows)
        try:
            return await entry.answer
        finally:
            self._leave(entry)

    def _may_run_alone(self, request: Request) -> bool:
        if self._policy.linger_s or self._closed:
            return False
        if self._has_lengths:
            return self._runner.is_quick(request.rows, self._length(request.inputs))
        return self._runner.is_quick(request.rows)

    async def _predict_in_parts(self, request: Request) -> Response:
        """Answer a call of more than `max_rows` rows from several runs."""
        most = self._policy.max_rows
        entries = [
            self._enter(
                request,
                self._joiner.rows_between(request.inputs, start, start + most),
                min(most, request.rows - start),
            )
            for start in range(0, request.rows, most)
        ]
        try:
            parts = await asyncio.gather(*[entry.answer for entry in entries])
        finally:
            for entry in entries:
                entry.answer.cancel()
                self._leave(entry)
        return Response(
            outputs=self._joiner.join([part.outputs for part in parts]),
            answered_by=parts[0].answered_by,
            queue_s=max(part.queue_s for part in parts),
            compute_s=sum(part.compute_s for part in parts),
            batch_rows=max(part.batch_rows for part in parts),
            nonfinite_rows=sum(part.nonfinite_rows for part in parts),
        )

    def _enter(self, request: Request, inputs: Tensors, rows: int) -> Entry:
        if self._closed:
            raise _draining()
        now = self._clock()
        part = request if rows == request.rows else dataclasses.replace(request, inputs=inputs, rows=rows)
        # A model without a batch axis runs each call alone: its identity is a key that nobody shares.
        key = self._joiner.key(inputs) if self._is_batched else id(part)
        entry = Entry(part, key, self._level(request), now, self._loop.create_future(), self._length(inputs))
        self._queue.push(entry)
        self._expiry.watch(entry)
        # Not at once: calls that arrived in the same message join the same run.
        self._plan_dispatch()
        return entry

    def _level(self, request: Request) -> int:
        return min(request.priority, self._levels) if request.priority else self._default_level

    def _length(self, inputs: Tensors) -> int:
        return length_of(self._runner.signature, inputs) if self._has_lengths else 1

    def _leave(self, entry: Entry) -> None:
        self._expiry.forget(entry)
        self._queue.discard(entry)
        if entry.answer.done() and not entry.answer.cancelled():
            entry.answer.exception()  # seen, even when the caller was cancelled before it could look

    # From the queue to runs.

    def _plan_dispatch(self) -> None:
        if not self._dispatch_planned:
            self._dispatch_planned = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Start as many runs as there are rows and slots for."""
        self._dispatch_planned = False
        while self._queue.calls and self._start_next():
            pass

    def _start_next(self) -> bool:
        """Start the most urgent run that need not wait; return whether there may be another to start now."""
        now = self._clock()
        wake = _NEVER
        for head in self._queue.heads():
            rows, limit = head.request.rows, self._best_rows(head.length)
            waiting = self._queue.joinable_rows(head) if self._is_batched else rows
            quick = self._runner.is_quick(max(rows, min(waiting, limit)), head.length)
            free_slots = 1 if quick else self._running.free()
            if not free_slots and not self._may_stand_ready(waiting, limit, head.length):
                return False
            decision = decide(
                self._policy,
                now=now,
                since=head.since,
                waiting_rows=waiting,
                best_rows=limit,
                free_slots=max(1, free_slots),
            )
            if isinstance(decision, Linger):
                wake = min(wake, decision.until)
                continue
            taken = self._take_quick(head, decision.rows) if quick else self._take(head, decision.rows)
            # Whoever was cancelled or expired in this very tick has not left yet.
            batch = [entry for entry in taken if not entry.is_over(now)]
            if quick and batch:
                self._run_here(batch, decision.reason)
                return False
            if batch:
                self._start_on_slot(batch, decision.reason)
            return True
        self._linger(wake)
        return False

    def _may_stand_ready(self, waiting: int, limit: int, length: int) -> bool:
        """Whether so many rows that wait are a run that nobody could join any more, and that is worth preparing."""
        return waiting >= limit and self._running.may_stand_ready(self._runner.cost.predict_s(limit, length))

    def _take(self, head: Entry, rows: int) -> Sequence[Entry]:
        """Take out of the queue who shares a run of at most `rows` rows with `head`."""
        if not self._pads or rows <= head.request.rows:
            return self._queue.take(head, rows)
        candidates = list(itertools.islice(self._queue.joinable(head), candidates_for(rows)))
        cost = self._runner.cost
        chosen = group(
            [(entry.request.rows, entry.length) for entry in candidates],
            limit=rows,
            predict_s=cost.predict_s,
            best_rows=cost.best_rows,
        )
        taken = [candidates[index] for index in chosen]
        self._queue.remove(taken)
        return taken

    def _take_quick(self, head: Entry, rows: int) -> Sequence[Entry]:
        """As `_take`, where the run is over sooner than the best company would be found: whoever is no longer."""
        if not self._pads or rows <= head.request.rows:
            return self._queue.take(head, rows)
        candidates = itertools.islice(self._queue.joinable(head), candidates_for(rows))
        taken: list[Entry] = []
        for entry in candidates:
            if entry.length <= head.length:
                if taken and entry.request.rows > rows:
                    break
                taken.append(entry)
                rows -= entry.request.rows
        self._queue.remove(taken)
        return taken

    def _start_on_slot(self, batch: Sequence[Entry], reason: DispatchReason) -> None:
        rows, length = sum([entry.request.rows for entry in batch]), max([entry.length for entry in batch])
        run_s = self._runner.cost.predict_s(rows, length)
        if len(batch) == 1 and self._forecast.is_clear():
            # It may run if there is any hope: one slow run could otherwise teach the server to refuse for ever.
            expected_s = self._running.least_s(run_s)
        else:
            expected_s = run_s * self._running.pace * (EDGE if self._queue.calls else 1.0)
        if (fewer := in_time(batch, self._running.next_start() + expected_s)) is not batch:
            self._queue.put_back(fewer)  # others may take the places of those who could not wait
            return
        run = self._runs.run_wide if self._running.has_machine and not self._queue.calls else self._runs.run
        self._running.start_on_slot(functools.partial(run, batch, reason), batch, run_s)

    def _run_here(self, batch: Sequence[Entry], reason: DispatchReason) -> None:
        if self._queue.calls:
            self._plan_dispatch()  # the other work of the loop goes first
        if self._runs.run_here(batch, reason):
            self._running.start(functools.partial(self._runs.isolate, batch), batch)

    def _best_rows(self, length: int) -> int:
        return self._runner.cost.best_rows(self._policy.max_rows, length) if self._is_batched else 1

    def _linger(self, until: float) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._linger_timer = None if until == _NEVER else self._loop.call_at(until, self._dispatch)

    def __repr__(self) -> str:
        return f"<Batcher {self._queue.calls} calls ({self._queue.rows} rows) queued, {self._running.count} runs>"


def _draining() -> Draining:
    return Draining("the model stopped serving before the call ran")
