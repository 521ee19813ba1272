"""Holds the rows that models are calibrated and compared with: real ones, for invented ones would prove nothing."""

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec

MOST_BYTES = 1 << 29  # half a gigabyte in memory, while several models are
MOST_ROWS = 256  # a disagreement in one row of a hundred shows; more rows take longer and change little
FEW_ROWS = 8  # half of fewer would show a model too little


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Real inputs of one model.

    Attributes:
        inputs: Tensor by input name.
        batch_axes: Where rows are, by input name; an input without is the same for all rows.
        rows: How many there are; 1 for a model without a batch axis, whose inputs are one sample.
    """

    inputs: Tensors
    batch_axes: Mapping[str, int]
    rows: int

    def take(self, first: int, rows: int) -> dict[str, Tensor]:
        """Inputs of `rows` rows from `first` on; after the last row the first one follows."""
        wanted = np.arange(first, first + rows) % self.rows
        return {
            name: np.ascontiguousarray(np.take(tensor, wanted, self.batch_axes[name]))
            if name in self.batch_axes
            else tensor
            for name, tensor in self.inputs.items()
        }

    def sample(self, rows: int) -> "Calibration":
        """At most `rows` of the rows, always the same ones."""
        if rows >= self.rows:
            return self
        return self._kept(sample_rows(self.rows, rows))

    def half(self) -> "Calibration":
        """Half of the rows; all of a few."""
        return self if self.rows < FEW_ROWS else self.sample(self.rows // 2)

    def _kept(self, rows: npt.NDArray[np.intp]) -> "Calibration":
        inputs = {
            name: np.take(tensor, rows, self.batch_axes[name]) if name in self.batch_axes else tensor
            for name, tensor in self.inputs.items()
        }
        return Calibration(inputs, self.batch_axes, len(rows))


def sample_rows(rows: int, wanted: int) -> npt.NDArray[np.intp]:
    """Ascending numbers of at most `wanted` out of `rows` rows, always the same ones.

    Not the first, and not every n-th: data are often sorted by class, or alternate between classes.
    """
    return np.sort(np.random.default_rng(0).permutation(rows)[:wanted])


def write_calibration(inputs: Tensors, path: Path, most_bytes: int = MOST_BYTES) -> None:
    """Write the arrays to an .npz file, for `read_calibration`; text loses NUL characters at its end.

    Raises:
        InvalidInput: there are none, or too much of them.
    """
    if not inputs:
        raise InvalidInput(
            "nothing to calibrate and compare with: expected --calibration, golden requests or --traffic-rows",
            reason="NO_CALIBRATION",
            field="calibration",
        )
    if (size_bytes := sum(tensor.nbytes for tensor in inputs.values())) > most_bytes:
        raise _bad(f"expected at most {most_bytes} bytes, got {size_bytes}")
    arrays = {name: tensor.astype(np.bytes_) if tensor.dtype.hasobject else tensor for name, tensor in inputs.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_calibration(path: Path, most_bytes: int = MOST_BYTES) -> Tensors:
    """The arrays of an .npz file by name.

    Raises:
        InvalidInput: it holds something else, or too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # What it would unpack to is known before anything is unpacked.
            size_bytes = sum(entry.file_size for entry in archive.infolist())
        if size_bytes > most_bytes:
            raise _bad(f"expected at most {most_bytes} bytes, got {size_bytes}")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise _bad("expected an .npz file of arrays without Python objects") from error


def check_calibration(inputs: Tensors, signature: Signature, most_rows: int = MOST_ROWS) -> Calibration:
    """The rows of `inputs`, at most `most_rows` of them, in the types that the model takes.

    Raises:
        InvalidInput: a name, a type or a shape does not fit the model, or there are no rows.
    """
    missing = [spec.name for spec in signature.inputs if not spec.optional and spec.name not in inputs]
    if missing:
        raise _bad(f"missing inputs: {', '.join(missing)}")
    for name in inputs:
        if name not in signature.input:
            raise _bad(f"the model has no input {name[:64]!r}; it has {', '.join(signature.input)}")
    tensors = {name: _fitting(signature.input[name], tensor) for name, tensor in inputs.items()}
    if not signature.is_batched:
        return Calibration(tensors, {}, 1)
    axes = {name: axis for name in tensors if (axis := signature.input[name].batch_axis) is not None}
    counts = {name: tensors[name].shape[axis] for name, axis in axes.items()}
    if len(set(counts.values())) != 1:
        got = ", ".join(f"{name} has {count}" for name, count in counts.items()) or "none"
        raise _bad(f"expected the same number of rows in each input, got {got}")
    if not (rows := next(iter(counts.values()))):
        raise _bad("expected at least one row, got none")
    return Calibration(tensors, axes, rows).sample(most_rows)


def _fitting(spec: TensorSpec, tensor: Tensor) -> Tensor:
    # 1. text, which .npz files hold as fixed-width strings; 2. BF16, which they hold as raw pairs of bytes; 3. the rest
    if spec.dtype is DType.BYTES and tensor.dtype.kind in "SUO":
        texts = np.empty(tensor.size, np.object_)
        texts[:] = [text.encode() if isinstance(text, str) else bytes(text) for text in tensor.ravel().tolist()]
        tensor = texts.reshape(tensor.shape)
    elif spec.dtype is DType.BF16 and tensor.dtype.kind == "V" and tensor.dtype.itemsize == spec.dtype.numpy.itemsize:
        tensor = tensor.view(spec.dtype.numpy)
    if tensor.dtype != spec.dtype.numpy:
        raise _bad(f"input {spec.name!r}: expected {spec.dtype}, got {tensor.dtype}")
    fits = len(tensor.shape) == len(spec.shape) and all(
        not isinstance(dim, int) or dim == length for dim, length in zip(spec.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise _bad(f"input {spec.name!r}: expected shape {list(spec.wire_shape)}, got {list(tensor.shape)}")
    return tensor


def _bad(message: str) -> InvalidInput:
    return InvalidInput(f"calibration data: {message}", reason="INVALID_CALIBRATION", field="calibration")
