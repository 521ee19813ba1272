"""Finds the kinds of operators that lose by quantization: leaves out whichever helps most, and again, and measures."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx

from serinus.runtime.quantization.agreement import Agreement
from serinus.runtime.quantization.preparing import PreparedModel
from serinus.runtime.quantization.ranges import Ranges, static_operators
from serinus.runtime.quantization.recipes import NotApplicable, check_static, write_static

MOST_TRIALS = 10

_WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_ARITHMETIC = ("Add", "Mul", "Sigmoid", "Softmax", "LeakyRelu", "Where", "CumSum", "LayerNormalization")
_NORMALS = ("InstanceNormalization", "BatchNormalization", "EmbedLayerNormalization")


@dataclasses.dataclass(frozen=True)
class Trial:
    """How one form did.

    Attributes:
        is_close: Whether its answers are within the bounds.
        agreement: With the float model.
        slowness: Of a run, as a multiple of the float model's.
    """

    is_close: bool
    agreement: Agreement
    slowness: float

    @property
    def merit(self) -> tuple[bool, float]:
        """Larger is better: closeness first, then speed; among those too far off, the nearest."""
        return self.is_close, -self.slowness if self.is_close else self.agreement.min_cosine


Evaluate = Callable[[Path], Trial]


def write_excluding(
    model: PreparedModel,
    find_ranges: Callable[[], Ranges],
    path: Path,
    evaluate: Evaluate,
    is_late: Callable[[], bool],
) -> tuple[str, ...]:
    """Write the best static form that leaves out some kinds of operators; which these are.

    Args:
        model: Where to start.
        find_ranges: Finds those of all its tensors.
        path: Where to write; trials lie beside it.
        evaluate: Measures a form.
        is_late: Whether no further form may be tried.

    Raises:
        NotApplicable: there is one kind alone, or leaving out any only made it worse.
    """
    check_static(model)
    groups = _groups(model.path)
    if len(groups) < 2:  # noqa: PLR2004 - nothing is left without the only one
        raise NotApplicable("the model has one kind of operator alone: there is nothing to leave out")
    trials = _Trials(model, find_ranges(), path, evaluate, groups)
    best: tuple[str, ...] = ()
    trials.run(best)
    while len(best) + 1 < len(groups):
        for label in groups:
            if label not in best and not is_late() and trials.count < MOST_TRIALS:
                trials.run((*best, label))
        before, best = best, trials.best()
        if best == before:
            break
    if not best:
        raise NotApplicable("leaving out any kind of operator only made it slower, or its answers worse")
    trials.keep(best)
    return best


class _Trials:
    def __init__(
        self,
        model: PreparedModel,
        ranges: Ranges,
        path: Path,
        evaluate: Evaluate,
        groups: Mapping[str, Sequence[str]],
    ) -> None:
        self._model = model
        self._ranges = ranges
        self._path = path
        self._evaluate = evaluate
        self._groups = groups
        self._done: dict[tuple[str, ...], Trial] = {}

    def run(self, labels: tuple[str, ...]) -> Trial:
        excluded = [name for label in labels for name in self._groups[label]]
        file = self._file(labels)
        write_static(self._model, self._ranges, file, excluded=excluded)
        self._done[labels] = self._evaluate(file)
        return self._done[labels]

    @property
    def count(self) -> int:
        """Trials made."""
        return len(self._done)

    def best(self) -> tuple[str, ...]:
        return max(self._done, key=lambda labels: self._done[labels].merit)

    def keep(self, labels: tuple[str, ...]) -> None:
        self._file(labels).replace(self._path)

    def _file(self, labels: tuple[str, ...]) -> Path:
        return self._path.with_name(f"trial-{'-'.join(labels) or 'nothing'}.onnx")


def _groups(path: Path) -> dict[str, list[str]]:
    """Names of nodes by the kind that they are left out as; only kinds that the model has. Five at most."""
    nodes = [node for node in onnx.load(path).graph.node if node.op_type in static_operators()]
    weighted = [node.name for node in nodes if node.op_type in _WEIGHTED]
    groups = {
        "convolutions": [node.name for node in nodes if node.op_type in {"Conv", "ConvTranspose"}],
        "multiplications": [node.name for node in nodes if node.op_type in {"MatMul", "Gemm"}],
        "arithmetic": [node.name for node in nodes if node.op_type in (*_ARITHMETIC, *_NORMALS)],
        # The first sees raw inputs and the last makes the answer: their rounding shows most.
        "ends": [weighted[0], weighted[-1]] if len(weighted) > len(_WEIGHTED) else [],
        "others": [node.name for node in nodes if node.op_type not in (*_WEIGHTED, *_ARITHMETIC, *_NORMALS)],
    }
    return {label: names for label, names in groups.items() if names}
