"""What is counted about one version of one model."""

import dataclasses
from collections.abc import Callable

from serinus.core.version import ModelVersion
from serinus.telemetry.histogram import Histogram
from serinus.telemetry.outcome import DispatchReason, Outcome, Shed

_MOST_BATCH_SIZES = 256
_NS = 1_000_000_000


@dataclasses.dataclass(slots=True)
class BatchStat:
    """Runs of one batch size.

    Attributes:
        count: Runs.
        seconds: Time of all of them.
    """

    count: int = 0
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class CountAndTime:
    """How often something happened, and how many nanoseconds it took in all."""

    count: int
    ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class InferenceStatistics:
    """The counters of Triton's ModelStatistics, in its words.

    `queue` and the three compute phases count each answered call once: perf_analyzer stops when their counts differ,
    and picks the version whose queue count rose. `compute_input` takes no time, because decoding is not timed apart;
    `compute_output` is the encoding of answers.
    """

    success: CountAndTime
    fail: CountAndTime
    queue: CountAndTime
    compute_input: CountAndTime
    compute_infer: CountAndTime
    compute_output: CountAndTime


class ModelMetrics:
    """The counters of one version, written by the event loop alone and readable by any thread.

    Callers keep the handle that `Metrics.model` gave them; no method here looks anything up or raises.

    Attributes:
        version: Whose counters these are.
        request: From arrival to answer, of answered calls.
        queue: From admission to the start of the run, of answered calls.
        compute: The run that held the call's rows, of answered calls.
        encode: Turning an answer into bytes.
        answered_calls: Calls that were answered.
        rows: Rows of answered calls.
        batches: Runs of the model.
        batches_by: The same by what started them.
        batch_rows: Rows of all runs.
        batch_sizes: Runs by number of rows; once there are very many, the next power of two stands for a new one.
        unanswered_by: Calls that ended without an answer.
        unanswered_s: Time spent on them.
        shed_by: Those of them that were refused while refusing was cheap, by why.
        poison_calls: Calls that failed the batch they were in.
        nonfinite_rows: Rows that the model answered with NaN or an infinity.
        last_answer_unix_s: When a call was last answered; 0.0 if none was.
    """

    __slots__ = (
        "_clock",
        "_queue_calls",
        "_queue_rows",
        "answered_calls",
        "batch_rows",
        "batch_sizes",
        "batches",
        "batches_by",
        "compute",
        "encode",
        "last_answer_unix_s",
        "nonfinite_rows",
        "poison_calls",
        "queue",
        "request",
        "rows",
        "shed_by",
        "unanswered_by",
        "unanswered_s",
        "version",
    )

    def __init__(self, version: ModelVersion, *, clock: Callable[[], float]) -> None:
        self.version = version
        self.request = Histogram()
        self.queue = Histogram()
        self.compute = Histogram()
        self.encode = Histogram()
        self.answered_calls = 0
        self.rows = 0
        self.batches = 0
        self.batches_by = dict.fromkeys(DispatchReason, 0)
        self.batch_rows = 0
        self.batch_sizes: dict[int, BatchStat] = {}
        self.unanswered_by = dict.fromkeys(Outcome, 0)
        self.unanswered_s = 0.0
        self.shed_by = dict.fromkeys(Shed, 0)
        self.poison_calls = 0
        self.nonfinite_rows = 0
        self.last_answer_unix_s = 0.0
        self._clock = clock
        self._queue_calls: Callable[[], int] | None = None
        self._queue_rows: Callable[[], int] | None = None

    def __repr__(self) -> str:
        unanswered = sum(self.unanswered_by.values())
        return f"<ModelMetrics {self.version} [{self.answered_calls} answered, {unanswered} unanswered]>"

    def answered(self, *, request_s: float, queue_s: float, compute_s: float, rows: int) -> None:
        """A call was answered; called once for each."""
        self.request.observe(request_s)
        self.queue.observe(queue_s)
        self.compute.observe(compute_s)
        self.answered_calls += 1
        self.rows += rows
        self.last_answer_unix_s = self._clock()

    def encoded(self, seconds: float) -> None:
        """An answer was turned into bytes."""
        self.encode.observe(seconds)

    def unanswered(self, outcome: Outcome, request_s: float = 0.0) -> None:
        """A call ended without an answer, `request_s` after it arrived; called once for each."""
        self.unanswered_by[outcome] += 1
        if request_s > 0.0:
            self.unanswered_s += request_s

    def shed(self, reason: str) -> None:
        """An unanswered call was refused, for a reason such as "QUEUE_FULL"."""
        self.shed_by[Shed.of(reason)] += 1

    def ran(self, *, rows: int, seconds: float, reason: DispatchReason) -> None:
        """The model ran once, and gave an answer; a run that fails has no time of its own to report."""
        self.batches += 1
        self.batches_by[reason] += 1
        self.batch_rows += rows
        stat = self.batch_sizes.get(rows) or self._batch_size(rows)
        stat.count += 1
        if seconds > 0.0:
            stat.seconds += seconds

    def poisoned(self, calls: int) -> None:
        """`calls` of one batch were found to fail by themselves; their batch-mates were answered."""
        self.poison_calls += calls

    def not_finite(self, rows: int) -> None:
        """The model answered `rows` rows with NaN or an infinity."""
        self.nonfinite_rows += rows

    def watch_queue(self, calls: Callable[[], int], rows: Callable[[], int]) -> None:
        """Read the queue's length from now on with these functions, which may be called from any thread."""
        self._queue_calls = calls
        self._queue_rows = rows

    @property
    def queue_calls(self) -> int | None:
        """Calls that wait for a run now; None when nobody says."""
        return reading(self._queue_calls)

    @property
    def queue_rows(self) -> int | None:
        """Rows that wait for a run now; None when nobody says."""
        return reading(self._queue_rows)

    def statistics(self) -> InferenceStatistics:
        """The counters as Triton's clients read them."""
        answered = self.answered_calls
        return InferenceStatistics(
            success=CountAndTime(answered, int(self.request.sum_s * _NS)),
            fail=CountAndTime(sum(self.unanswered_by.values()), int(self.unanswered_s * _NS)),
            queue=CountAndTime(answered, int(self.queue.sum_s * _NS)),
            compute_input=CountAndTime(answered, 0),
            compute_infer=CountAndTime(answered, int(self.compute.sum_s * _NS)),
            compute_output=CountAndTime(answered, int(self.encode.sum_s * _NS)),
        )

    def _batch_size(self, rows: int) -> BatchStat:
        # One series per number of rows that callers choose would have no bound; powers of two do.
        size = rows if len(self.batch_sizes) < _MOST_BATCH_SIZES else power_of_two(rows)
        return self.batch_sizes.setdefault(size, BatchStat())


def power_of_two(rows: int) -> int:
    """The least power of two that is not below `rows`."""
    return 1 << max(rows - 1, 0).bit_length()


def reading(gauge: Callable[[], int] | None) -> int | None:
    """What a gauge says now, or None: whoever owns the gauge may be gone or broken, and a scrape shows the others."""
    if gauge is None:
        return None
    try:
        return int(gauge())
    except Exception:  # noqa: BLE001 - the gauge is foreign code; this is the outermost frame that may fail because of it
        return None
