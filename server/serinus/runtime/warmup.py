"""Runs a model before anybody waits for it: to have its costs, and to prove that rows do not disturb each other."""

import dataclasses
from collections.abc import Callable

import numpy as np

from serinus.core.errors import BadModelOutput, ModelFailed
from serinus.core.padding import Padding
from serinus.core.predictor import Tensors
from serinus.core.signature import Signature
from serinus.runtime.agreement import agree
from serinus.runtime.padding_declared import NOT_DECLARED, DeclaredPadding
from serinus.runtime.padding_proof import prove_padding
from serinus.runtime.synthetic import has_open_lengths, synthetic_row

QUICK_S = 0.1  # a run that takes longer is not made for tidiness alone
LENGTHS = (8, 32, 64, 512)  # tokens, pixels, bytes, samples of sound: one of them fits most models
REPEATS = 3  # the first runs are cold, and would say that the model is slow

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
        padding: How rows of different lengths are joined: as declared, and proven; None if they are not.
        unpadded: Why not, if that was declared; else "".
    """

    runs: int
    seconds: float
    problem: str = ""
    unjoinable: str = ""
    padding: Padding | None = None
    unpadded: str = ""

    @property
    def is_quick(self) -> bool:
        """Whether one run more costs a start nothing."""
        return self.runs > 0 and self.seconds < QUICK_S * self.runs


def warm_up(
    signature: Signature,
    run: Run,
    clock: Callable[[], float],
    *,
    samples: Tensors,
    max_rows: int,
    budget_s: float,
    padding: DeclaredPadding = NOT_DECLARED,
) -> WarmUp:
    """Run one row, another, and both together, and compare; likewise rows of different lengths, if they can be padded.

    Args:
        signature: What the model takes and gives.
        run: Runs the model.
        clock: Seconds, from any origin.
        samples: Inputs that the operator gives as an example, by name; the others are invented.
        max_rows: Rows are not joined beyond this.
        budget_s: Seconds after which no further run starts, but for the comparison of a model that started in time.
        padding: What is declared of it.
    """
    found = _WarmUp(signature, run, clock, samples, budget_s).run(max_rows)
    if not padding.fills:
        return found
    if not signature.is_batched or found.unjoinable:
        return dataclasses.replace(found, unpadded="calls are not padded: they are not joined")
    # Not counted against the budget: how a model is served must not depend on how busy the machine was at its start.
    started = clock()
    proof = prove_padding(signature, padding, run, samples)
    return dataclasses.replace(
        found, seconds=found.seconds + clock() - started, padding=proof.padding, unpadded=proof.note
    )


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
            assert spec.batch_axis is not None, "only models whose outputs all have rows are compared: this is a bug"
            rows = [np.take(joined[spec.name], [row], spec.batch_axis) for row in (0, 1)]
            if not agree(spec, rows, (left_alone[spec.name], right_alone[spec.name])):
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
