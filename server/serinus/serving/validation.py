"""Passes on only what the model's signature allows, and counts the rows of the call."""

import numpy as np

from serinus.core.dtypes import dtype_of
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Predictor, Request, Response, Tensor
from serinus.core.signature import Signature, TensorSpec


class Validation:
    """A layer that turns away calls which do not fit `signature`, before they cost anything.

    Sets `Request.rows`. Tensors are looked at, never copied.

    Attributes:
        signature: What the model takes and gives.
        reject_nonfinite: Whether NaN and infinities in an input are refused; by default they pass.
    """

    def __init__(self, inner: Predictor, *, signature: Signature, reject_nonfinite: bool = False) -> None:
        self._inner = inner
        self._signature = signature
        self._reject_nonfinite = reject_nonfinite
        self._checks = tuple(_Check(spec) for spec in signature.inputs)
        self._outputs = frozenset(signature.output_names)

    async def predict(self, request: Request, /) -> Response:
        """Answer a call that fits.

        Raises:
            InvalidInput: it does not; the message names the tensor, what was expected and what came.
        """
        request.rows = self._rows_of(request)
        if request.outputs:
            self._check_outputs(request.outputs)
        if self._reject_nonfinite:
            self._check_finite(request)
        return await self._inner.predict(request)

    def _rows_of(self, request: Request) -> int:
        """Check every input against its spec; return the length of the batch axis that they agree on."""
        inputs = request.inputs
        rows = first = None
        found = 0
        for check in self._checks:
            tensor = inputs.get(check.name)
            if tensor is None:
                if check.optional:
                    continue
                raise self._wrong_names(request)
            found += 1
            length = check.rows_of(tensor)
            if length is None:
                continue
            if rows is None:
                rows, first = length, check.name
            elif length != rows:
                raise InvalidInput(
                    f"input {check.name!r}: expected {rows} rows as in {first!r}, got {length}",
                    reason="ROWS_DIFFER",
                    field=check.name,
                )
        if found != len(inputs):
            raise self._wrong_names(request)
        return 1 if rows is None or not self._signature.is_batched else rows

    def _wrong_names(self, request: Request) -> InvalidInput:
        required = [spec.name for spec in self._signature.inputs if not spec.optional]
        if missing := [name for name in required if name not in request.inputs]:
            others = [name[:64] for name in request.inputs if name not in self._signature.input]
            got = f", got {others[:8]}" if others else ""
            return InvalidInput(
                f"missing inputs {missing}: expected {required}{got}", reason="MISSING_INPUT", field=missing[0]
            )
        unknown = [name[:64] for name in request.inputs if name not in self._signature.input]
        return InvalidInput(
            f"unknown inputs {unknown[:8]}: expected {[spec.name for spec in self._signature.inputs]}",
            reason="UNKNOWN_INPUT",
            field=unknown[0],
        )

    def _check_outputs(self, outputs: tuple[str, ...]) -> None:
        wanted = frozenset(outputs)
        if not wanted <= self._outputs:
            unknown = [name[:64] for name in outputs if name not in self._outputs]
            raise InvalidInput(
                f"unknown outputs {unknown[:8]}: expected some of {list(self._signature.output_names)}",
                reason="UNKNOWN_OUTPUT",
                field=unknown[0],
            )
        if len(wanted) != len(outputs):
            twice = next(name for name in self._signature.output_names if outputs.count(name) > 1)
            raise InvalidInput(
                f"output {twice!r}: expected at most once, got {outputs.count(twice)} times",
                reason="DUPLICATE_OUTPUT",
                field=twice,
            )

    def _check_finite(self, request: Request) -> None:
        for name, tensor in request.inputs.items():
            if self._signature.input[name].dtype.is_float and not np.isfinite(tensor).all():
                raise InvalidInput(
                    f"input {name!r}: expected finite values, got NaN or infinity", reason="NOT_FINITE", field=name
                )


class _Check:
    """What one input must be, with everything that does not depend on the call worked out once."""

    __slots__ = ("_fixed", "_spec", "_tail", "batch_axis", "dtype", "name", "ndim", "optional")

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec
        self.name = spec.name
        self.optional = spec.optional
        self.dtype = spec.dtype.numpy
        self.ndim = len(spec.shape)
        self.batch_axis = spec.batch_axis
        self._fixed = tuple(
            (axis, dim) for axis, dim in enumerate(spec.shape) if isinstance(dim, int) and axis != spec.batch_axis
        )
        # The usual case, one free leading axis: a single comparison of tuples instead of one per axis.
        self._tail = spec.shape[1:] if spec.batch_axis == 0 and len(self._fixed) == self.ndim - 1 else None

    def rows_of(self, tensor: Tensor) -> int | None:
        """Check a tensor; return the length of its batch axis, or None if it has none."""
        shape: tuple[int, ...] = tensor.shape
        if tensor.dtype != self.dtype:
            raise InvalidInput(
                f"input {self.name!r}: expected {self._spec.dtype}, got {dtype_of(tensor)}",
                reason="WRONG_DTYPE",
                field=self.name,
            )
        if len(shape) != self.ndim:
            raise self._wrong_shape(shape)
        if self._tail is not None:
            if shape[1:] != self._tail:
                raise self._wrong_shape(shape)
            return shape[0]
        for axis, length in self._fixed:
            if shape[axis] != length:
                raise self._wrong_shape(shape)
        return None if self.batch_axis is None else shape[self.batch_axis]

    def _wrong_shape(self, shape: tuple[int, ...]) -> InvalidInput:
        return InvalidInput(
            f"input {self.name!r}: expected shape {list(self._spec.wire_shape)}, got {list(shape)}",
            reason="WRONG_SHAPE",
            field=self.name,
        )
