"""Runs a model before anybody waits for it: to have its costs, and to prove that rows do not disturb each other."""

import dataclasses
from collections.abc import Callable

import numpy as np

from serinus.core.errors import BadModelOutput, ModelFailed
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.synthetic import has_open_lengths, synthetic_row

LENGTHS = (8, 32, 64, 512)  # tokens, pixels, bytes, samples of sound: one of them fits most models
REPEATS = 3  # the first runs are cold, and would say that the model is slow
RELATIVE, ABSOLUTE = 1e-2, 1e-3  # what another order of summation may change, half precision included

Run = Callable[[Tensors, int], Tensors]
"""Outputs for inputs of that many rows; raises ModelFailed or BadModelOutput."""


@dataclasses.dataclass(frozen=True, slots=True)
class WarmUp:
    """What a warm-up found.

    Attributes:
        runs: Runs that succeeded.
        seconds: Time it took.
        problem: Why it could not do all it wanted; "" if it could. The model is served all the same.
        unjoinable: Why rows must not be joined; "" if nothing speaks against it.
    """

    runs: int
    seconds: float
    problem: str = ""
    unjoinable: str = ""


def warm_up(
    signature: Signature,
    run: Run,
    clock: Callable[[], float],
    *,
    samples: Tensors,
    max_rows: int,
    budget_s: float,
) -> WarmUp:
    """Run one row, another, and both together, and compare.

    Args:
        signature: What the model takes and gives.
        run: Runs the model.
        clock: Seconds, from any origin.
        samples: Inputs that the operator gives as an example, by name; the others are invented.
        max_rows: Rows are not joined beyond this.
        budget_s: Seconds after which no further run starts, but for the comparison of a model that started in time.
    """
    return _WarmUp(signature, run, clock, samples, budget_s).run(max_rows)


class _WarmUp:
    """One warm-up: what is given, and the count of its runs."""

    def __init__(
        self,
        signature: Signature,
        run: Run,
        clock: Callable[[], float],
        samples: Tensors,
        budget_s: float,
    ) -> None:
        self._signature = signature
        self._run = run
        self._clock = clock
        self._samples = samples
        self._started = clock()
        self._budget_s = budget_s
        self._runs = 0
        # Always the same values: a model that passes once passes at every start.
        self._rng = np.random.default_rng(0)

    def run(self, max_rows: int) -> WarmUp:
        try:
            return self._guess_lengths(max_rows)
        except BadModelOutput as error:
            return self._report(unjoinable=f"requests are not joined: {error.message}")

    def _guess_lengths(self, max_rows: int) -> WarmUp:
        lengths = LENGTHS if has_open_lengths(self._signature, self._samples) else LENGTHS[:1]
        for length in lengths:
            left, right = self._row(0, length), self._row(1, length)
            try:
                alone = self._outputs(left, 1)
            except ModelFailed:
                if self._late():
                    break
                continue
            if self._signature.is_batched and max_rows > 1:
                return self._compare(left, alone, right)
            return self._repeat([(left, 1)])
        return self._report(problem="the model fails on invented inputs; give sample inputs to have it warmed up")

    def _compare(self, left: Tensors, left_alone: Tensors, right: Tensors) -> WarmUp:
        if self._late():
            return self._report(problem="one run takes so long that joined runs were not compared with single ones")
        axes = {name: self._signature.input[name].batch_axis for name in left}
        # What belongs to no row is the same for both, or they could not have been joined.
        right = {name: left[name] if axis is None else right[name] for name, axis in axes.items()}
        both = {
            name: left[name] if axis is None else np.concatenate([left[name], right[name]], axis)
            for name, axis in axes.items()
        }
        try:
            right_alone = self._outputs(right, 1)
        except ModelFailed:
            return self._report(problem="the model fails on some invented inputs; joined runs were not compared")
        try:
            joined = self._outputs(both, 2)
        except ModelFailed:
            return self._report(unjoinable="requests are not joined: the model fails on two rows at once")
        for spec in self._signature.outputs:
            if not _agree(spec, joined[spec.name], (left_alone[spec.name], right_alone[spec.name])):
                return self._report(
                    unjoinable=f"requests are not joined: in a run of two rows, the output {spec.name!r} of one row"
                    " depends on the other"
                )
        return self._repeat([(left, 1), (both, 2)])

    def _repeat(self, calls: list[tuple[Tensors, int]]) -> WarmUp:
        for _ in range(REPEATS):
            for inputs, rows in calls:
                if self._late():
                    return self._report()
                try:
                    self._outputs(inputs, rows)
                except ModelFailed:
                    return self._report(problem="the model does not always answer the same inputs")
        return self._report()

    def _row(self, row: int, length: int) -> Tensors:
        return synthetic_row(self._signature, row=row, length=length, samples=self._samples, rng=self._rng)

    def _outputs(self, inputs: Tensors, rows: int) -> Tensors:
        outputs = self._run(inputs, rows)
        self._runs += 1
        return outputs

    def _late(self) -> bool:
        return self._clock() - self._started >= self._budget_s

    def _report(self, *, problem: str = "", unjoinable: str = "") -> WarmUp:
        return WarmUp(self._runs, self._clock() - self._started, problem, unjoinable)


def _agree(spec: TensorSpec, joined: Tensor, alone: tuple[Tensor, Tensor]) -> bool:
    """Whether each row of `joined` is what that row gives alone."""
    assert spec.batch_axis is not None, "only models whose outputs all have rows are compared: this is a bug"
    for row, expected in enumerate(alone):
        got = np.take(joined, [row], spec.batch_axis)
        if got.shape != expected.shape:
            return False
        if not (_close(got, expected) if spec.dtype.is_float else np.array_equal(got, expected)):
            return False
    return True


def _close(got: Tensor, expected: Tensor) -> bool:
    wide_got, wide_expected = got.astype(np.float64), expected.astype(np.float64)
    # Outputs that are small throughout, such as the shares of thousands of classes, need a finer measure.
    finite = np.abs(wide_expected[np.isfinite(wide_expected)])
    absolute = max(1e-6, min(ABSOLUTE, RELATIVE * float(finite.max(initial=0.0))))
    return np.allclose(wide_got, wide_expected, rtol=RELATIVE, atol=absolute, equal_nan=True)
