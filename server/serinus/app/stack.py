"""Builds the layers around one loaded version; their order is the life of a predict request."""

import asyncio
from time import monotonic

from serinus.config.models import ModelOptions
from serinus.config.sections import OverloadSettings
from serinus.runtime.freed_memory import FreedMemory
from serinus.runtime.model import OnnxModel
from serinus.serving.admission import Admission, ByteBudget
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.batcher import Batcher
from serinus.serving.batching.slots import RunSlots
from serinus.serving.lease import Leases
from serinus.serving.measured import Measured
from serinus.serving.pressure import Pressure
from serinus.serving.sampling import Sampling
from serinus.serving.validation import Validation
from serinus.telemetry.model_metrics import ModelMetrics

TIMER_S = 0.001  # what event loops round their timers to: a shorter linger would last as long as this
ABANDON_S = 5.0  # what a run may take that nobody waits for any more; its thread is left to it after that


class ServedVersion:
    """A loaded version with every layer around it; satisfies `lifecycle.Servable`.

    Started by `start`, ended by `close`; in between its batcher lives in a task of the server's.

    Attributes:
        model: What is served, the innermost predictor.
    """

    def __init__(
        self,
        model: OnnxModel,
        options: ModelOptions,
        *,
        metrics: ModelMetrics,
        budget: ByteBudget,
        slots: RunSlots,
        freed: FreedMemory,
        pressure: Pressure | None = None,
        stood_s: float = OverloadSettings().stood_s,
    ) -> None:
        self.identity = model.identity
        self.signature = model.signature
        self.options = options
        self.metrics = metrics
        self.max_rows = options.batching.max_rows if model.signature.is_batched else 1
        self.labels = options.labels
        self.size_bytes = model.size_bytes
        self.model = model
        self._freed = freed
        self._closing = asyncio.Event()
        self._batcher = Batcher(
            model,
            policy=BatchPolicy(
                max_rows=options.batching.max_rows,
                linger_s=options.batching.linger_s if options.batching.linger_s >= TIMER_S else 0.0,
                preferred_rows=options.batching.preferred_rows,
            ),
            padding=model.padding,
            slots=slots,
            metrics=metrics,
            instances=options.instances,
            queue_timeout_s=options.queue.timeout_s,
            priority_levels=options.queue.priority_levels,
            default_priority=options.queue.default_priority,
            stood_s=stood_s,
        )
        self._leases = Leases(self._batcher)
        admission = Admission(
            self._leases,
            budget=budget,
            backlog=self._batcher,
            max_calls=options.queue.max_calls,
            max_wait_s=options.queue.max_wait_s,
            pressure=pressure,
            clock=monotonic,
        )
        self._sampling = Sampling(admission, signature=model.signature, pressure=pressure)
        validation = Validation(self._sampling, signature=model.signature, reject_nonfinite=options.reject_nonfinite)
        # Handed out as it is: one more frame on the way of every call would say nothing.
        self._measured = Measured(validation, metrics=metrics, clock=monotonic)
        self.predict = self._measured.predict
        self.collect = self._sampling.collect

    @property
    def calls(self) -> int:
        """Calls inside."""
        return self._leases.held

    @property
    def last_used_s(self) -> float:
        """When a call last left it, or else when it was loaded; `time.monotonic()`."""
        return self._measured.last_used_s

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to take calls."""
        started = asyncio.Event()
        self._life = tasks.create_task(self._live(started))
        try:
            await started.wait()
        except BaseException:
            self._life.cancel()  # nobody will close what its starter gave up
            raise

    async def _live(self, started: asyncio.Event) -> None:
        async with self._batcher:
            self.metrics.watch_queue(calls=lambda: self._batcher.queued_calls, rows=lambda: self._batcher.queued_rows)
            started.set()
            await self._closing.wait()

    async def close(self) -> None:
        """Refuse new calls, wait for those inside, give the session back."""
        await self._leases.close()
        self._closing.set()
        # All calls have left by now: a run that goes on does so for nobody, and perhaps for ever.
        await asyncio.wait((self._life,), timeout=ABANDON_S)
        if not self._life.done():
            self._life.cancel()
            await asyncio.wait((self._life,))
        self.model.close()
        await self._freed.add(self.size_bytes)

    def __repr__(self) -> str:
        return f"<ServedVersion {self.identity} {self._leases!r} {self._batcher!r}>"
