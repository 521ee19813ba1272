"""Joins calls that wait into runs, and gives each caller its own rows back."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from serinus.core.predictor import Request, Response, Tensors
from serinus.serving.batch_policy import BatchPolicy, Linger, decide
from serinus.serving.batch_queue import BatchQueue, Entry
from serinus.serving.expiry import Expiry
from serinus.serving.joining import Joiner
from serinus.serving.joint_runs import BatchMetrics, JointRuns, Runner
from serinus.serving.slots import RunSlots
from serinus.telemetry.outcome import DispatchReason


class Batcher:
    """A layer that answers calls from joined runs of `runner`.

    It is work-conserving: whatever waits runs as soon as there is a slot. A call that is cancelled or past its deadline
    leaves at once and takes nobody with it; a run that fails is taken apart until only the calls at fault fail.
    Used as an async context manager; leaving it waits for the runs under way.

    Attributes:
        runner: The model.
        policy: How rows are joined.
        slots: Shared by the models of the process.
        instances: Most runs of this model at once.
        queue_timeout_s: Longest wait for a run, or None.
        priority_levels: Calls are sorted into levels 1 (first) to this.
        default_priority: The level of calls that name none.
        metrics: Told about each run.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        policy: BatchPolicy,
        slots: RunSlots,
        metrics: BatchMetrics,
        instances: int | None = None,
        queue_timeout_s: float | None = None,
        priority_levels: int = 10,
        default_priority: int = 5,
    ) -> None:
        self._runner = runner
        self._policy = policy
        self._slots = slots
        self._instances = instances or slots.count
        self._levels = priority_levels
        self._default_level = default_priority
        self._is_batched = runner.signature.is_batched
        self._joiner = Joiner(runner.signature)
        self._queue = BatchQueue()
        self._runs = JointRuns(runner, self._joiner, metrics)
        self._running_until: list[float] = []
        self._dispatch_planned = False
        self._linger_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._expiry = Expiry(self._loop, queue_timeout_s)
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.forget(self._dispatch)
        self._expiry.close()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    # What admission asks.

    @property
    def queued_calls(self) -> int:
        """Calls that wait for a run."""
        return self._queue.calls

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a run."""
        return self._queue.rows

    def predicted_finish_s(self, rows: int) -> float:
        """Seconds until a call of `rows` that came now would be answered; 0 when nothing is in its way.

        A lone call is never refused: without that rule one slow run could teach the server to refuse for ever.
        """
        ahead = self._queue.rows
        if not ahead and len(self._running_until) < self._instances:
            return 0.0
        cost = self._runner.cost
        best = self._best_rows()
        at_once = min(self._instances, self._slots.count)
        runs_ahead = -(-ahead // best)
        wait_s = runs_ahead * cost.predict_s(best) / at_once
        if self._running_until:
            wait_s += max(0.0, min(self._running_until) - self._loop.time())
        return wait_s + cost.predict_s(min(rows, best)) * -(-rows // best)

    # The way in and out of a call.

    async def predict(self, request: Request, /) -> Response:
        """Answer one call.

        Raises:
            DeadlinePassed: its deadline passed while it waited or ran.
            Overloaded: it waited longer than `queue_timeout_s`.
            InvalidInput, ModelFailed, BadModelOutput: this call's rows are at fault, or the model is.
        """
        if self._is_batched and request.rows > self._policy.max_rows:
            return await self._predict_in_parts(request)
        entry = self._enter(request, request.inputs, request.rows)
        try:
            return await entry.answer
        finally:
            self._leave(entry)

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
            parts = [await entry.answer for entry in entries]
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
        )

    def _enter(self, request: Request, inputs: Tensors, rows: int) -> Entry:
        now = self._loop.time()
        level = min(request.priority, self._levels) if request.priority else self._default_level
        part = request
        if rows != request.rows:
            part = Request(inputs=inputs, deadline=request.deadline, outputs=request.outputs, rows=rows)
        # A model without a batch axis runs each call alone: the entry itself is a key that nobody shares.
        key = self._joiner.key(inputs) if self._is_batched else id(part)
        entry = Entry(part, key, level, now, self._loop.create_future())
        self._queue.push(entry)
        self._expiry.watch(entry)
        # Not at once: calls that arrived in the same message join the same run.
        self._plan_dispatch()
        return entry

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
        queue = self._queue
        while queue.calls:
            head = queue.head()
            waiting = queue.joinable_rows(head) if self._is_batched else head.request.rows
            limit = self._best_rows()
            quick = self._runner.is_quick(max(head.request.rows, min(waiting, limit)))
            free_slots = 1 if quick else self._free_slots()
            if not free_slots:
                return
            now = self._loop.time()
            decision = decide(
                self._policy,
                waiting_rows=waiting,
                waited_s=now - head.since,
                best_rows=limit,
                free_slots=free_slots,
            )
            if isinstance(decision, Linger):
                self._linger(decision.seconds)
                return
            # Whoever was cancelled or expired in this very tick has not left yet; nothing runs after its deadline.
            taken = queue.take(head, decision.rows)
            batch = [entry for entry in taken if not entry.answer.done() and entry.request.deadline > now]
            if not batch:
                continue
            if quick:
                self._runs.run_here(batch, decision.reason, self._tasks)
                if queue.calls:
                    self._plan_dispatch()  # the other work of the loop goes first
                return
            self._slots.take()
            self._tasks.create_task(self._run_on_slot(batch, decision.reason))
            self._running_until.append(now + self._runner.cost.predict_s(decision.rows))

    def _best_rows(self) -> int:
        return self._runner.cost.best_rows(self._policy.max_rows) if self._is_batched else 1

    def _free_slots(self) -> int:
        """Runs that may start now. If others hold all slots, they call back; if we do, the end of a run does."""
        own = self._instances - len(self._running_until)
        if own > 0 and not self._slots.free:
            self._slots.call_when_free(self._dispatch)
        return min(own, self._slots.free)

    def _linger(self, seconds: float) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._linger_timer = self._loop.call_later(seconds, self._dispatch)

    async def _run_on_slot(self, batch: Sequence[Entry], reason: DispatchReason) -> None:
        try:
            await self._runs.run(batch, reason)
        finally:
            self._running_until.pop(0)
            self._slots.give_back()
            self._plan_dispatch()

    def __repr__(self) -> str:
        return (
            f"<Batcher {self._queue.calls} calls ({self._queue.rows} rows) queued, "
            f"{len(self._running_until)}/{self._instances} runs>"
        )
