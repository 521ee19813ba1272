"""Says how long a call that came now would wait and run, from what waits, what runs, and what runs cost."""

from collections.abc import Callable

from serinus.core.predictor import Request, Tensors
from serinus.serving.batching.batch_queue import BatchQueue
from serinus.serving.batching.joint_runs import Costs
from serinus.serving.batching.running import RunsUnderWay


class Forecast:
    """Predicts for one model; an upper bound as far as its costs are known, because calls that leave are not foreseen.

    Attributes:
        queue: What waits.
        running: What runs.
        cost: Of runs.
        most_rows: No run holds more.
        best_rows: Rows of the runs that those who wait now will share, by their length.
        length: Of the rows of a call (`core.lengths`).
        clock: Event-loop time in seconds.
    """

    def __init__(
        self,
        queue: BatchQueue,
        running: RunsUnderWay,
        cost: Callable[[], Costs],
        *,
        most_rows: int,
        best_rows: Callable[[int], int],
        length: Callable[[Tensors], int],
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._running = running
        self._cost = cost
        self._most_rows = most_rows
        self._best_rows = best_rows
        self._length = length
        self._clock = clock

    def is_clear(self) -> bool:
        """Whether nothing is in a call's way.

        Such a call is never refused for a prediction: one slow run could teach the server to refuse for ever.
        """
        return not self._queue.calls and not self._running.is_full()

    def wait_s(self, level: int, request: Request) -> float:
        """Seconds until a run would take the call; 0 when nothing is in its way."""
        return 0.0 if self.is_clear() else self._runs_ahead(level, request)[0]

    def finish_s(self, level: int, request: Request) -> float:
        """Seconds until the call would be answered; 0 when nothing is in its way."""
        if self.is_clear():
            return 0.0
        wait_s, shared = self._runs_ahead(level, request)
        rows, most = request.rows, self._most_rows
        own_s = self._cost().predict_s(min(shared + rows, most), self._length(request.inputs)) * self._running.pace
        if rows > most:
            parts = -(-rows // most)
            own_s *= -(-parts // self._running.at_once)
        return own_s + wait_s

    def _runs_ahead(self, level: int, request: Request) -> tuple[float, int]:
        """Seconds of the runs before the call's own, and the last rows ahead, which share its run as far as known."""
        queue, running = self._queue, self._running
        length = queue.positions // queue.rows if queue.rows else 1  # those who share a run are of similar lengths
        best = self._best_rows(length)
        full_runs, shared = divmod(queue.rows_ahead(level, request), best)
        wait_s = full_runs * self._cost().predict_s(best, length) * running.pace / running.at_once if full_runs else 0.0
        return wait_s + running.next_start() - self._clock(), shared
