"""Makes the outputs of a fallback that is always the same answer, in the element types and rows that the call wants."""

import dataclasses
from typing import Final

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.predictor import Request, Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.core.traffic import Constant

_MOST_BYTES: Final = 64 << 20  # of one answer; rows can be empty, and so be many more than the message has bytes


@dataclasses.dataclass(frozen=True, slots=True)
class _Output:
    """One output of one row.

    Attributes:
        value: The tensor; along `batch_axis` it has one row.
        batch_axis: None if it is the same for any number of rows.
    """

    value: Tensor
    batch_axis: int | None

    @property
    def size_bytes(self) -> int:
        """What it takes in an answer."""
        if self.value.dtype == np.object_:
            return sum(len(text) for text in self.value.ravel().tolist())
        return self.value.nbytes


class ConstantAnswers:
    """A `Constant` in the terms of one signature.

    Raises:
        ValueError: it does not fit the signature.
    """

    def __init__(self, constant: Constant, signature: Signature) -> None:
        self._row_axes = tuple((spec.name, spec.batch_axis) for spec in signature.inputs if spec.batch_axis is not None)
        self._outputs = {
            spec.name: _Output(_one_row(spec, constant.outputs[spec.name]), spec.batch_axis)
            for spec in signature.outputs
            if spec.name in constant.outputs
        }
        self._names = signature.output_names

    def answer(self, request: Request) -> Tensors | None:
        """The outputs that a call wants, in its order; None if they are not all known, or would be too large."""
        rows = self._rows_of(request)
        wanted = request.outputs or self._names
        if rows is None or any(name not in self._outputs for name in wanted):
            return None
        outputs = [self._outputs[name] for name in wanted]
        if sum(each.size_bytes for each in outputs) * rows > _MOST_BYTES:
            return None
        return {name: _repeated(each, rows) for name, each in zip(wanted, outputs, strict=True)}

    def _rows_of(self, request: Request) -> int | None:
        """Read from the inputs: validation has not seen a call whose version was not asked. None if they differ."""
        lengths = {_length(request.inputs.get(name), axis) for name, axis in self._row_axes if name in request.inputs}
        if len(lengths) > 1:
            return None
        return lengths.pop() if lengths else 1


def _length(tensor: Tensor | None, axis: int) -> int | None:
    if tensor is None or axis >= tensor.ndim:
        return None
    return int(tensor.shape[axis])


def _one_row(spec: TensorSpec, value: object) -> Tensor:
    tensor = _texts(value) if spec.dtype is DType.BYTES else _numbers(spec.dtype, value)
    if spec.batch_axis is not None:
        tensor = np.expand_dims(tensor, spec.batch_axis)
    fixed = [dim if isinstance(dim, int) and axis != spec.batch_axis else -1 for axis, dim in enumerate(spec.shape)]
    if tensor.ndim != len(fixed) or any(dim not in {-1, len_} for dim, len_ in zip(fixed, tensor.shape, strict=True)):
        raise ValueError(f"output {spec.name!r}: expected shape {list(spec.wire_shape)}, got {list(tensor.shape)}")
    return tensor


def _numbers(dtype: DType, value: object) -> Tensor:
    read = np.array(value)
    if read.dtype.kind not in ("iuf" if dtype.is_float else "b" if dtype is DType.BOOL else "iu"):
        raise ValueError(f"expected {dtype}, got {read.dtype}")
    tensor: Tensor = read.astype(dtype.numpy)
    if not dtype.is_float and not np.array_equal(tensor, read):
        raise ValueError(f"expected {dtype}, got numbers that it cannot hold")
    return tensor


def _texts(value: object) -> Tensor:
    read = np.array(value, np.object_)
    texts = read.ravel().tolist()
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("expected text")
    return np.array([text.encode() for text in texts], np.object_).reshape(read.shape)


def _repeated(output: _Output, rows: int) -> Tensor:
    if output.batch_axis is None:
        return output.value
    return np.repeat(output.value, rows, axis=output.batch_axis)
