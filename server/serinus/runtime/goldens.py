"""Runs golden requests, and says whether a model answers them as it should."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from serinus.config.models import Tolerance
from serinus.core.comparison import furthest, short, unequal
from serinus.core.dtypes import holds_floats
from serinus.core.errors import InvalidInput, ModelRejected, ServerError
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.golden_files import as_declared, invalid, read_golden
from serinus.runtime.sources import SourceFiles

Run = Callable[[Tensors, int], Tensors]
"""Outputs for inputs of that many rows; raises ServerError."""


@dataclasses.dataclass(frozen=True, slots=True)
class GoldenRun:
    """How one golden request went; a model that fails one is not served.

    Attributes:
        name: Its path in the bundle.
        max_difference: Largest absolute difference of any output, in the outputs' units; 0.0 for what has no distance.
    """

    name: str
    max_difference: float


def run_goldens(
    names: Sequence[str], files: SourceFiles, signature: Signature, run: Run, tolerance: Tolerance
) -> tuple[GoldenRun, ...]:
    """Make each call and compare. Blocks.

    Args:
        names: Paths of the golden requests among `files`.
        files: Of the model.
        signature: What the model takes and gives.
        run: Runs the model.
        tolerance: How far an answer of floats may be from the expected one.

    Raises:
        ModelRejected: GOLDEN_MISMATCH, because an answer is another; INVALID_GOLDEN, because a file cannot be used.
        DataLost: a file is not what was registered.
    """
    return tuple(_run_one(name, files, signature, run, tolerance) for name in names)


def _run_one(name: str, files: SourceFiles, signature: Signature, run: Run, tolerance: Tolerance) -> GoldenRun:
    try:
        content = files.file(Path(name))
    except OSError as error:
        raise invalid(name, "there is no such file") from error
    given, right = read_golden(name, content)
    inputs = _declared(name, "input", signature.inputs, given)
    expected = _declared(name, "output", signature.outputs, right)
    missing = sorted(spec.name for spec in signature.inputs if not spec.optional and spec.name not in inputs)
    if missing:
        raise invalid(name, f"the input {missing[0][:64]!r} is missing")
    try:
        answer = run(inputs, _rows(name, signature, inputs))
    except InvalidInput as error:
        raise invalid(name, error.message) from error
    except ModelRejected:
        raise
    except ServerError as error:
        raise ModelRejected(f"golden request {name[:128]!r}: {error.message}", reason="GOLDEN_MISMATCH") from error
    differences = [_difference(name, output, answer[output], array, tolerance) for output, array in expected.items()]
    return GoldenRun(name, max(differences))


def _declared(name: str, kind: str, specs: Sequence[TensorSpec], arrays: Tensors) -> Tensors:
    by_name = {spec.name: spec for spec in specs}
    for tensor in arrays:
        if tensor not in by_name:
            raise invalid(name, f"the model has no {kind} {tensor[:64]!r}; it has {', '.join(by_name)[:200]}")
    return {tensor: as_declared(name, by_name[tensor], array) for tensor, array in arrays.items()}


def _rows(name: str, signature: Signature, inputs: Tensors) -> int:
    rows = {
        array.shape[axis]
        for tensor, array in inputs.items()
        if (axis := signature.input[tensor].batch_axis) is not None
    }
    if not signature.is_batched or not rows:
        return 1
    if len(rows) > 1 or 0 in rows:
        raise invalid(name, f"expected inputs of equally many rows, at least one, got {sorted(rows)}")
    return int(max(rows))


def _difference(name: str, output: str, got: Tensor, expected: Tensor, tolerance: Tolerance) -> float:
    """The largest difference.

    Raises:
        ModelRejected: it is too large.
    """
    if got.shape != expected.shape:
        raise _mismatch(name, output, f"expected the shape {list(expected.shape)}, got {list(got.shape)}")
    if not got.size:
        return 0.0
    if holds_floats(expected):
        apart = furthest(got, expected, absolute=tolerance.absolute, relative=tolerance.relative)
        if not apart.is_allowed:
            raise _mismatch(
                name,
                output,
                f"differs by {apart.difference:.3g} at {list(apart.where)}: expected {float(expected[apart.where]):.6g}"
                f" and at most {apart.allowed:.3g} from it, got {float(got[apart.where]):.6g}",
            )
        return apart.largest
    if (differing := unequal(got, expected)) is not None:
        count, where = differing
        raise _mismatch(
            name,
            output,
            f"{count} of {got.size} elements differ; at {list(where)} expected {short(expected[where])},"
            f" got {short(got[where])}",
        )
    return 0.0


def _mismatch(name: str, output: str, what: str) -> ModelRejected:
    return ModelRejected(
        f"golden request {name[:128]!r}, output {output[:64]!r}: {what}", reason="GOLDEN_MISMATCH", field=output[:64]
    )
