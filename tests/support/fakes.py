"""Hand-written stand-ins for what surrounds the serving layers: a model, its costs, its metrics, its callers.

The tagged model has one input `x` of shape [rows, 1] and gives it back as output `y`, so that each answer shows whose
rows it carries.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.errors import ModelFailed
from serinus.core.lengths import length_of
from serinus.core.predictor import Request, Response, Tensor, Tensors
from serinus.core.signature import Dim, Signature, TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.telemetry.outcome import DispatchReason, Outcome

T = TypeVar("T")
FAKE_VERSION = ModelVersion("fake", Version(1), 1)
FAR = 1e6
"""A deadline that no test reaches, in seconds of the virtual loop."""


def spec(name: str, *shape: Dim, dtype: DType = DType.INT64, batch_axis: int | None = 0) -> TensorSpec:
    """A tensor spec in one line."""
    return TensorSpec(name, dtype, shape, batch_axis)


TAGGED = Signature((spec("x", "n", 1),), (spec("y", "n", 1),))
TAGGED_LENGTHS = Signature((spec("x", "n", "length"),), (spec("y", "n", "length"),))
TAGGED_ALONE = Signature((spec("x", "n", 1, batch_axis=None),), (spec("y", "n", 1, batch_axis=None),))


def request(*tags: int, length: int = 1, deadline: float = FAR, priority: int = 0, size_bytes: int = 0) -> Request:
    """A call whose rows hold `tags`."""
    x = np.repeat(np.array(tags, np.int64).reshape(-1, 1), length, axis=1)
    return Request({"x": x}, deadline, priority=priority, size_bytes=size_bytes, rows=len(tags))


def tags_of(tensors: Tensors, name: str = "y") -> list[int]:
    """The first element of each row."""
    return [int(row.flat[0]) for row in tensors[name]]


@dataclasses.dataclass
class FakeCosts:
    """Costs that a test sets: every run takes `run_s`, each row `row_s` more, and each of its positions `position_s`.

    Beyond `best` rows it does not pay.
    """

    run_s: float = 1.0
    row_s: float = 0.0
    best: int = 1_000_000
    position_s: float = 0.0

    def predict_s(self, rows: int, length: int = 1) -> float:
        """Seconds of a run."""
        return self.run_s + rows * (self.row_s + length * self.position_s)

    def best_rows(self, limit: int, length: int = 1) -> int:  # noqa: ARG002 - the same at every length
        """Rows worth running together."""
        return min(limit, self.best)


class FakeRunner:
    """A model that takes as long as its costs say, or else `seconds`, and does what `model` says.

    Attributes:
        runs: The tags of each run that was started, in order.
        requests: What the runs were given.
        wide: The tags of those of them that had the machine to themselves.
        under_way: Runs that have not ended.
        most_at_once: The most of them that there ever were.
        poison: Tags whose run fails.
        gate: While it is not set, runs wait for it instead of for their time.
    """

    def __init__(
        self,
        signature: Signature = TAGGED,
        *,
        cost: FakeCosts | None = None,
        model: Callable[[Tensors], Mapping[str, Tensor]] = lambda inputs: {"y": inputs["x"]},
        quick_rows: int = 0,
        poison: Collection[int] = (),
        error: Callable[[], Exception] = lambda: ModelFailed("poison"),
        gate: asyncio.Event | None = None,
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self.signature = signature
        self.cost = cost or FakeCosts()
        self.poison = poison
        self.gate = gate
        self.runs: list[list[int]] = []
        self.requests: list[Request] = []
        self.wide: list[list[int]] = []
        self.under_way = 0
        self.most_at_once = 0
        self._model = model
        self._quick_rows = quick_rows
        self._error = error
        self._seconds = seconds

    def is_quick(self, rows: int, length: int = 1) -> bool:  # noqa: ARG002 - the same at every length
        """Up to `quick_rows` rows run on the event loop."""
        return rows <= self._quick_rows

    def run(self, request: Request, /) -> Response:
        """Run without waiting."""
        self._start(request)
        return self._end(request)

    async def predict(self, request: Request, /) -> Response:
        """Run at once if that is quick, else for as long as the costs, or the gate, say."""
        if self.is_quick(request.rows):
            return self.run(request)
        self._start(request)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            else:
                await asyncio.sleep(self._seconds() if self._seconds else self._run_s(request))
        finally:
            self.under_way -= 1
        return self._end(request)

    async def predict_wide(self, request: Request, /) -> Response:
        """Run as ever, and write it down."""
        self.wide.append(tags_of(request.inputs, next(iter(request.inputs))))
        return await self.predict(request)

    def _start(self, request: Request) -> None:
        first = next(iter(request.inputs))
        self.requests.append(request)
        self.runs.append(tags_of(request.inputs, first))

    def _end(self, request: Request) -> Response:
        first = next(iter(request.inputs))
        if not set(self.poison).isdisjoint(tags_of(request.inputs, first)):
            raise self._error()
        return Response(self._model(request.inputs), FAKE_VERSION, compute_s=self._run_s(request))

    def _run_s(self, request: Request) -> float:
        return self.cost.predict_s(request.rows, length_of(self.signature, request.inputs))


class FakeBatchMetrics:
    """Writes down what the batcher reports.

    Attributes:
        runs: Rows and reason of each run that went well.
        poison: Calls found to be at fault.
        nonfinite: Rows answered with NaN or an infinity.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[int, DispatchReason]] = []
        self.poison = 0
        self.nonfinite = 0

    def not_finite(self, rows: int) -> None:
        """Write down rows."""
        self.nonfinite += rows

    def ran(self, *, rows: int, seconds: float, reason: DispatchReason) -> None:
        """Write down a run."""
        assert seconds >= 0
        self.runs.append((rows, reason))

    def poisoned(self, calls: int) -> None:
        """Count calls."""
        self.poison += calls


class FakeCallMetrics:
    """Writes down what happened to calls.

    Attributes:
        events: (outcome or "answered", seconds) of each call, in order of leaving.
        sheds: Reasons of refusals.
    """

    def __init__(self) -> None:
        self.sheds: list[str] = []
        self.events: list[tuple[Outcome | str, float]] = []

    def answered(self, *, request_s: float, queue_s: float, compute_s: float, rows: int) -> None:
        """Write down an answer."""
        assert min(queue_s, compute_s, rows) >= 0
        self.events.append(("answered", request_s))

    def unanswered(self, outcome: Outcome, request_s: float) -> None:
        """Write down an end without an answer."""
        self.events.append((outcome, request_s))

    def shed(self, reason: str) -> None:
        """Write down a refusal."""
        self.sheds.append(reason)


@dataclasses.dataclass
class FakePredictor:
    """The next layer in: keeps each call until `gate` is set, then answers with `answer` or raises it.

    Attributes:
        calls: The requests that came in.
    """

    answer: Response | Exception = dataclasses.field(default_factory=lambda: Response({}, FAKE_VERSION))
    gate: asyncio.Event | None = None
    calls: list[Request] = dataclasses.field(default_factory=list)

    async def predict(self, request: Request, /) -> Response:
        """Answer, or raise."""
        self.calls.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def outcomes(calls: Sequence[asyncio.Task[Response]]) -> list[list[int] | type[BaseException]]:
    """How each call ended: the tags of its answer, or the class of its error."""
    ends = await asyncio.gather(*calls, return_exceptions=True)
    return [tags_of(end.outputs) if isinstance(end, Response) else type(end) for end in ends]


async def settle() -> None:
    """Let everything that is ready run; a few rounds, because one thing makes the next ready."""
    for _ in range(10):
        await asyncio.sleep(0)


def answering(question: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """The same question for the event loop, answered at once."""

    async def answer() -> T:
        return question()

    return answer
