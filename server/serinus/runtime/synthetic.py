"""Invents inputs that a model is likely to accept."""

from collections.abc import Mapping

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec

_WORDS = np.array([b"amber", b"birch", b"cedar", b"dune", b"ember", b"fjord", b"grove", b"heath"], np.object_)


def synthetic_inputs(
    signature: Signature,
    *,
    rows: int,
    length: int,
    sample_shapes: Mapping[str, tuple[int, ...]],
    rng: np.random.Generator,
) -> Tensors:
    """One value for each required input.

    Args:
        signature: What the model takes.
        rows: Length of the batch axes.
        length: Length of each other axis that is open.
        sample_shapes: Shapes that the operator declares, by input; their batch axis counts as `rows`.
        rng: Where the values come from.
    """
    return {
        spec.name: _values(spec.dtype, _shape(spec, rows, length, sample_shapes.get(spec.name, ())), rng)
        for spec in signature.inputs
        if not spec.optional
    }


def has_open_lengths(signature: Signature, sample_shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a length must be guessed."""
    return any(
        isinstance(dim, str) and axis != spec.batch_axis
        for spec in signature.inputs
        if spec.name not in sample_shapes and not spec.optional
        for axis, dim in enumerate(spec.shape)
    )


def _shape(spec: TensorSpec, rows: int, length: int, declared: tuple[int, ...]) -> tuple[int, ...]:
    dims = declared if len(declared) == len(spec.shape) else spec.shape
    return tuple(
        rows if axis == spec.batch_axis else dim if isinstance(dim, int) else length for axis, dim in enumerate(dims)
    )


def _values(dtype: DType, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Values that are valid nearly everywhere: fractions, 0 and 1 as indices, words."""
    if dtype is DType.BYTES:
        words = np.empty(shape, np.object_)
        words[...] = rng.choice(_WORDS, shape)
        return words
    if dtype.is_float:
        return rng.random(shape).astype(dtype.numpy)
    return rng.integers(0, 2, shape).astype(dtype.numpy)
