"""Runs the rows of several calls as one, hands each its share, and finds the call at fault when a run fails."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from serinus.core.errors import Draining
from serinus.core.predictor import Predictor, Request, Response
from serinus.core.signature import Signature
from serinus.serving.batch_queue import Entry
from serinus.serving.joining import Joiner
from serinus.telemetry.outcome import DispatchReason


class Costs(Protocol):
    """What a model's runs cost, as far as the server has learned."""

    def predict_s(self, rows: int) -> float:
        """Seconds that a run of `rows` rows takes; 0 when nothing is known yet."""
        ...

    def best_rows(self, limit: int) -> int:
        """The rows, at most `limit`, beyond which rows a second stop improving."""
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

    def is_quick(self, rows: int) -> bool:
        """Whether a run of `rows` rows is shorter than handing it to a thread would be."""
        ...

    def run(self, request: Request, /) -> Response:
        """Run on the calling thread."""
        ...


class BatchMetrics(Protocol):
    """What the batcher reports."""

    def ran(self, *, rows: int, seconds: float, reason: DispatchReason) -> None:
        """One run is over."""
        ...

    def poisoned(self, calls: int) -> None:
        """Calls were found to fail by themselves, which had made a joint run fail."""
        ...


class JointRuns:
    """Runs batches of entries on `runner`; every entry of a batch is answered or failed when its run is over."""

    def __init__(self, runner: Runner, joiner: Joiner, metrics: BatchMetrics) -> None:
        self._runner = runner
        self._joiner = joiner
        self._metrics = metrics

    def run_here(self, batch: Sequence[Entry], reason: DispatchReason, tasks: asyncio.TaskGroup) -> None:
        """Run a quick batch on the event loop; `tasks` takes the search for the call at fault, should it fail."""
        started = asyncio.get_running_loop().time()
        try:
            response = self._runner.run(self._joined(batch))
        except Exception as error:  # noqa: BLE001 - whatever a runner raises is its callers' to see
            if len(batch) == 1:
                batch[0].fail(error)
            else:
                tasks.create_task(self._isolate(batch))
        else:
            self._metrics.ran(rows=response.batch_rows, seconds=response.compute_s, reason=reason)
            self._answer(batch, response, started)

    async def run(self, batch: Sequence[Entry], reason: DispatchReason) -> None:
        """Run a batch wherever the runner chooses."""
        started = asyncio.get_running_loop().time()
        try:
            response = await self._runner.predict(self._joined(batch))
        except asyncio.CancelledError:
            for entry in batch:
                entry.fail(Draining("the server stopped while the call ran"))
            raise
        except Exception as error:  # noqa: BLE001 - as in run_here
            if len(batch) == 1:
                batch[0].fail(error)
            else:
                await self._isolate(batch)
        else:
            self._metrics.ran(rows=response.batch_rows, seconds=response.compute_s, reason=reason)
            self._answer(batch, response, started)

    async def _isolate(self, batch: Sequence[Entry]) -> None:
        """Run the halves of a batch that failed, down to single calls.

        One call at fault among n costs at most 2·log2(n) further runs; if all are, 2·n - 2.
        """
        now = asyncio.get_running_loop().time
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if wanted := [entry for entry in half if not entry.answer.done() and entry.request.deadline > now()]:
                await self.run(wanted, DispatchReason.RERUN)
                if len(half) == 1 and _failed(half[0]):
                    self._metrics.poisoned(1)

    def _joined(self, batch: Sequence[Entry]) -> Request:
        first = batch[0].request
        if len(batch) == 1:
            return first
        return Request(
            inputs=self._joiner.join([entry.request.inputs for entry in batch]),
            deadline=max([entry.request.deadline for entry in batch]),
            outputs=self._wanted_outputs(batch),
            rows=sum([entry.request.rows for entry in batch]),
        )

    def _wanted_outputs(self, batch: Sequence[Entry]) -> tuple[str, ...]:
        """What somebody in the batch asked for; () means all."""
        wanted = {entry.request.outputs for entry in batch}
        if len(wanted) == 1:
            return wanted.pop()
        if () in wanted:
            return ()
        names = frozenset[str]().union(*wanted)
        return tuple(name for name in self._runner.signature.output_names if name in names)

    def _answer(self, batch: Sequence[Entry], response: Response, started: float) -> None:
        if len(batch) == 1:
            shares = [response.outputs]
        else:
            shares = self._joiner.split(response.outputs, [entry.request.rows for entry in batch])
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
                    batch_rows=response.batch_rows,
                )
            )


def _failed(entry: Entry) -> bool:
    answer = entry.answer
    return answer.done() and not answer.cancelled() and answer.exception() is not None
