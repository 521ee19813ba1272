"""Invents inputs that a model is likely to accept."""

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec

_WORDS = np.array([b"amber", b"birch", b"cedar", b"dune", b"ember", b"fjord", b"grove", b"heath"], np.object_)


def synthetic_row(
    signature: Signature, *, row: int, length: int, samples: Tensors, rng: np.random.Generator
) -> Tensors:
    """One row of each required input.

    Args:
        signature: What the model takes.
        row: Which one of the samples to take; where they have fewer, values are invented in their shape.
        length: Of each axis that is open and not the batch axis.
        samples: Inputs that the operator gives as an example, by name.
        rng: Where invented values come from.
    """
    return {
        spec.name: _row(spec, row, length, samples.get(spec.name), rng)
        for spec in signature.inputs
        if spec.name in samples or not spec.optional
    }


def has_open_lengths(signature: Signature, samples: Tensors) -> bool:
    """Whether a length must be guessed."""
    return any(
        isinstance(dim, str) and axis != spec.batch_axis
        for spec in signature.inputs
        if spec.name not in samples and not spec.optional
        for axis, dim in enumerate(spec.shape)
    )


def _row(spec: TensorSpec, row: int, length: int, sample: Tensor | None, rng: np.random.Generator) -> Tensor:
    axis = spec.batch_axis
    # 1. invented; 2. the same for all rows; 3. a row of the sample; 4. a row like the sample's
    if sample is None:
        shape = (dim if isinstance(dim, int) else length for dim in spec.shape)
        return _values(spec.dtype, tuple(1 if index == axis else dim for index, dim in enumerate(shape)), rng)
    if axis is None:
        return sample
    if row < sample.shape[axis]:
        return np.ascontiguousarray(np.take(sample, [row], axis))
    return _values(spec.dtype, tuple(1 if index == axis else dim for index, dim in enumerate(sample.shape)), rng)


def _values(dtype: DType, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Values that are valid nearly everywhere: fractions, 0 and 1 as indices, words."""
    if dtype is DType.BYTES:
        words = np.empty(shape, np.object_)
        words[...] = rng.choice(_WORDS, shape)
        return words
    if dtype.is_float:
        return rng.random(shape).astype(dtype.numpy)
    return rng.integers(0, 2, shape).astype(dtype.numpy)
