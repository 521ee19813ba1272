"""Reads what a model takes and gives from its session, and finds the axis that counts rows."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Protocol

from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected
from serinus.core.signature import Dim, Signature, TensorSpec

_DTYPES = {
    "tensor(bool)": DType.BOOL,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(float16)": DType.FP16,
    "tensor(bfloat16)": DType.BF16,
    "tensor(float)": DType.FP32,
    "tensor(double)": DType.FP64,
    "tensor(string)": DType.BYTES,
}


class Declared(Protocol):
    """An input or output as onnxruntime describes it."""

    @property
    def name(self) -> str:
        """As the model file names it."""
        ...

    @property
    def type(self) -> str:
        """Such as `tensor(float)`."""
        ...

    @property
    def shape(self) -> Sequence[int | str | None]:
        """A length, a symbol, or None for each axis."""
        ...


class Declares(Protocol):
    """A session, as far as it says what it takes and gives."""

    def get_inputs(self) -> Sequence[Declared]:
        """What must be fed."""
        ...

    def get_overridable_initializers(self) -> Sequence[Declared]:
        """What may be fed."""
        ...

    def get_outputs(self) -> Sequence[Declared]:
        """What comes out."""
        ...


def read_signature(session: Declares, without_rank: frozenset[str]) -> Signature:
    """What the model of a session takes and gives, before anything is known of rows.

    Args:
        session: Of the model.
        without_rank: Names of tensors whose number of axes the file does not say.

    Raises:
        ModelRejected: a type or shape cannot be served.
    """
    read = functools.partial(read_spec, without_rank=without_rank)
    return Signature(
        inputs=(
            *(read(declared, optional=False) for declared in session.get_inputs()),
            *(read(declared, optional=True) for declared in session.get_overridable_initializers()),
        ),
        outputs=tuple(read(declared, optional=False) for declared in session.get_outputs()),
    )


def read_spec(declared: Declared, *, without_rank: frozenset[str], optional: bool) -> TensorSpec:
    """One input or output.

    Args:
        declared: As onnxruntime describes it.
        without_rank: Names of tensors whose number of axes the file does not say.
        optional: Whether the model has a default for it.

    Raises:
        ModelRejected: its type or shape cannot be served.
    """
    if (dtype := _DTYPES.get(declared.type)) is None:
        raise ModelRejected(
            f"the model's {declared.name[:64]!r} is a {declared.type[:64]}; only tensors of"
            f" {', '.join(DType)} are served",
            reason="UNSUPPORTED_TYPE",
        )
    if not declared.shape and declared.name in without_rank:
        raise ModelRejected(
            f"the model does not say how many axes {declared.name[:64]!r} has; export it with shapes",
            reason="UNKNOWN_RANK",
        )
    shape = tuple(_dim(dim, f"{declared.name}.{axis}") for axis, dim in enumerate(declared.shape))
    return TensorSpec(declared.name, dtype, shape, optional=optional)


def _dim(dim: int | str | None, unique: str) -> Dim:
    """A length or a symbol; what exporters write for "unknown" ("?", "-1") must not tie axes together."""
    if isinstance(dim, int):
        return dim if dim >= 0 else unique
    return dim if dim and dim != "None" and any(character.isalpha() for character in dim) else unique


def with_batch_axes(signature: Signature, axes: Mapping[str, int]) -> Signature:
    """The same with exactly these batch axes, by tensor name."""
    return Signature(
        inputs=tuple(dataclasses.replace(spec, batch_axis=axes.get(spec.name)) for spec in signature.inputs),
        outputs=tuple(dataclasses.replace(spec, batch_axis=axes.get(spec.name)) for spec in signature.outputs),
    )


def declared_batch_axes(signature: Signature, axes: Mapping[str, int]) -> Signature:
    """The signature with the batch axes that the operator declares.

    Raises:
        ModelRejected: INVALID_BATCH_AXIS, because a name, an axis or the whole does not fit the model.
    """
    specs = {**signature.input, **signature.output}
    for name, axis in axes.items():
        if (spec := specs.get(name)) is None:
            raise _bad_axis(f"the model has no tensor {name[:64]!r}; it has {', '.join(specs)}")
        if not 0 <= axis < len(spec.shape):
            raise _bad_axis(f"{name!r}: expected an axis from 0 to {len(spec.shape) - 1}, got {axis}")
        if isinstance(spec.shape[axis], int):
            raise _bad_axis(f"{name!r}: axis {axis} has the fixed length {spec.shape[axis]}")
    declared = with_batch_axes(signature, axes)
    if not declared.is_batched:
        missing = [spec.name for spec in declared.outputs if spec.batch_axis is None]
        raise _bad_axis(f"expected at least one input and every output, missing: {', '.join(missing) or 'an input'}")
    return declared


def inferred_batch_axes(signature: Signature) -> tuple[Signature, str]:
    """The signature with axis 0 as the batch axis where the shapes allow it; else without, and why.

    They do when every output and every input but scalars leaves its first axis open.
    """
    specs = [spec for spec in signature.inputs if spec.shape and not spec.optional]
    if not specs:
        return signature, "requests are not joined: no input has a batch axis"
    specs.extend(signature.outputs)
    for spec in specs:
        if not spec.shape:
            return signature, f"requests are not joined: the output {spec.name!r} is a scalar"
        if isinstance(spec.shape[0], int):
            return signature, f"requests are not joined: the first axis of {spec.name!r} is always {spec.shape[0]}"
        if spec.shape[0] in spec.shape[1:]:
            return signature, f"requests are not joined: {spec.name!r} has the length {spec.shape[0]!r} on two axes"
    return with_batch_axes(signature, {spec.name: 0 for spec in specs}), ""


def _bad_axis(message: str) -> ModelRejected:
    return ModelRejected(f"batch axes: {message}", reason="INVALID_BATCH_AXIS", field="batch_axes")
