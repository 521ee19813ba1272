"""Runs the rows of several calls as one, hands each its share, and finds the call at fault when a run fails."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from serinus.core.errors import BadModelOutput, DeadlinePassed
from serinus.core.predictor import Predictor, Request, Response, Tensors
from serinus.core.signature import Signature
from serinus.serving.batching.batch_queue import Entry
from serinus.serving.batching.joining import Joiner
from serinus.telemetry.outcome import DispatchReason


class Costs(Protocol):
    """What a model's runs cost, as far as the server has learned."""

    def predict_s(self, rows: int, length: int = 1) -> float:
        """Seconds that a run of `rows` rows of a padded `length` (`core.lengths`) takes; 0 while nothing is known."""
        ...

    def best_rows(self, limit: int, length: int = 1) -> int:
        """The rows, at least 1 and at most `limit`, beyond which rows a second stop improving at that length."""
        ...


class Runner(Predictor, Protocol):
    """A model that can run joined rows."""

    @property
    def signature(self) -> Signature:
        """Which axes are batch axes."""
        ...

    @property
    def cost(self) -> Costs:
        """What its runs cost."""
        ...

    def is_quick(self, rows: int, length: int = 1) -> bool:
        """Whether a run of `rows` rows of that length is shorter than handing it to a thread would be."""
        ...

    def run(self, request: Request, /) -> Response:
        """Run on the calling thread."""
        ...

    async def predict_wide(self, request: Request, /) -> Response:
        """As `predict`, of a run that has the machine to itself: it may take several threads where that is faster."""
        ...


class BatchMetrics(Protocol):
    """What the batcher reports."""

    def ran(self, *, rows: int, seconds: float, reason: DispatchReason) -> None:
        """One run is over."""
        ...

    def not_finite(self, rows: int) -> None:
        """Rows of a run were answered with NaN or an infinity."""
        ...

    def poisoned(self, calls: int) -> None:
        """Calls were found to fail by themselves, which had made a joint run fail."""
        ...


class JointRuns:
    """Runs batches of entries on `runner`.

    Attributes:
        runner: The model.
        joiner: Puts its rows together and takes them apart.
        metrics: Told about each run, after those who wait for it.
        clock: Event-loop time in seconds.
    """

    def __init__(self, runner: Runner, joiner: Joiner, metrics: BatchMetrics, clock: Callable[[], float]) -> None:
        self._runner = runner
        self._joiner = joiner
        self._metrics = metrics
        self._clock = clock

    def run_alone(self, request: Request) -> Response:
        """Run a quick call by itself on the event loop; what goes wrong is raised."""
        response = self._runner.run(request)
        outputs = self._joiner.checked(response.outputs, request.outputs, request.rows)
        self._report(response, request.rows, DispatchReason.IDLE)
        return Response(
            outputs,
            response.answered_by,
            compute_s=response.compute_s,
            batch_rows=request.rows,
            nonfinite_rows=response.nonfinite_rows,
        )

    def run_here(self, batch: Sequence[Entry], reason: DispatchReason) -> bool:
        """Run a quick batch on the event loop; return whether it failed and has to be taken apart by `isolate`."""
        started = self._clock()
        try:
            joined, lengths = self._joined(batch)
            response = self._runner.run(joined)
            shares = self._shares(batch, response, joined, lengths)
        except Exception as error:  # noqa: BLE001 - whatever a runner raises is its callers' to see
            return not self._blame(batch, error, reason)
        self._answer(batch, response, shares, joined.rows, started)
        self._report(response, joined.rows, reason)
        return False

    async def run(self, batch: Sequence[Entry], reason: DispatchReason) -> None:
        """Run a batch wherever the runner chooses; when this returns, every call of the batch has ended."""
        await self._run(batch, reason, self._runner.predict)

    async def run_wide(self, batch: Sequence[Entry], reason: DispatchReason) -> None:
        """As `run`, of a batch that has the machine to itself."""
        await self._run(batch, reason, self._runner.predict_wide)

    async def _run(
        self, batch: Sequence[Entry], reason: DispatchReason, predict: Callable[[Request], Awaitable[Response]]
    ) -> None:
        started = self._clock()
        # Whoever went away since the batch was put together does not run.
        batch = [entry for entry in batch if not entry.is_over(started)]
        if not batch:
            return
        try:
            joined, lengths = self._joined(batch)
            response = await predict(joined)
            shares = self._shares(batch, response, joined, lengths)
        except Exception as error:  # noqa: BLE001 - as in run_here
            if not self._blame(batch, error, reason):
                await self.isolate(batch)
        else:
            self._answer(batch, response, shares, joined.rows, started)
            self._report(response, joined.rows, reason)

    def _report(self, response: Response, rows: int, reason: DispatchReason) -> None:
        self._metrics.ran(rows=rows, seconds=response.compute_s, reason=reason)
        if response.nonfinite_rows:
            self._metrics.not_finite(response.nonfinite_rows)

    async def isolate(self, batch: Sequence[Entry]) -> None:
        """Run the halves of a batch that failed, down to single calls.

        One call at fault among n costs at most 2·log2(n), rounded up, further runs; if all are, 2·n - 2.
        """
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await asyncio.sleep(0)  # the runs of a quick model do not give way by themselves
            await self.run(half, DispatchReason.RERUN)

    def _blame(self, batch: Sequence[Entry], error: Exception, reason: DispatchReason) -> bool:
        """End the calls that `error` can be pinned on; return False if only further runs can tell which they are."""
        # 1. Nobody can say whose rows are whose, nor trust the halves of such a model.
        if isinstance(error, BadModelOutput):
            for entry in batch:
                entry.fail(BadModelOutput(error.message, reason=error.reason, field=error.field))
            return True
        # 2. Several calls, any of which may be at fault.
        if len(batch) > 1:
            return False
        # 3. A single call.
        batch[0].fail(error)
        if reason is DispatchReason.RERUN and not isinstance(error, DeadlinePassed):
            self._metrics.poisoned(1)
        return True

    def _joined(self, batch: Sequence[Entry]) -> tuple[Request, list[int]]:
        """One request with all rows, and the length of each call if some were padded."""
        first = batch[0].request
        if len(batch) == 1:
            return first, []
        parts = [entry.request.inputs for entry in batch]
        lengths = self._joiner.padded_lengths(parts)
        joined = Request(
            inputs=self._joiner.join_padded(parts) if lengths else self._joiner.join(parts),
            deadline=max([entry.request.deadline for entry in batch]),
            outputs=self._wanted_outputs(batch),
            rows=sum([entry.request.rows for entry in batch]),
        )
        return joined, lengths

    def _wanted_outputs(self, batch: Sequence[Entry]) -> tuple[str, ...]:
        """What somebody in the batch asked for; () means all."""
        wanted = {entry.request.outputs for entry in batch}
        if len(wanted) == 1:
            return wanted.pop()
        if () in wanted:
            return ()
        names = frozenset[str]().union(*wanted)
        return tuple(name for name in self._runner.signature.output_names if name in names)

    def _shares(
        self, batch: Sequence[Entry], response: Response, joined: Request, lengths: Sequence[int]
    ) -> Sequence[Tensors]:
        """The outputs of each call of the batch."""
        outputs = self._joiner.checked(response.outputs, joined.outputs, joined.rows)
        if len(batch) == 1:
            return [outputs]
        shares = self._joiner.split(outputs, [entry.request.rows for entry in batch])
        return self._joiner.cut(shares, lengths) if lengths else shares

    def _answer(
        self, batch: Sequence[Entry], response: Response, shares: Sequence[Tensors], rows: int, started: float
    ) -> None:
        for entry, share in zip(batch, shares, strict=True):
            if entry.answer.done():
                continue
            wanted = entry.request.outputs
            entry.answer.set_result(
                Response(
                    outputs={name: share[name] for name in wanted} if wanted else share,
                    answered_by=response.answered_by,
                    queue_s=started - entry.since,
                    compute_s=response.compute_s,
                    batch_rows=rows,
                    nonfinite_rows=response.nonfinite_rows,
                )
            )
