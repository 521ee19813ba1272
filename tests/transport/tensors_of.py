"""Tensors of every element type and of any small shape, for property tests; and the bytes they have on the wire."""

import struct

import numpy as np
from hypothesis import strategies as st

from serinus.core.dtypes import DType
from serinus.core.predictor import Tensor
from serinus.core.version import ModelVersion, Version

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
SECONDS = st.floats(0, 1e13)  # up to microseconds that need all ten bytes of a number


def filled(dtype: DType, shape: tuple[int, ...], seed: int) -> Tensor:
    """An array of arbitrary content; floats are arbitrary bits, NaN included."""
    rng = np.random.default_rng(seed)
    if dtype is DType.BYTES:
        strings = np.empty(shape, np.object_)
        for index in np.ndindex(shape):
            strings[index] = rng.bytes(int(rng.integers(0, 200)))
        return strings
    if dtype is DType.BOOL:
        return rng.integers(0, 2, shape).astype(np.bool_)
    elements = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(rng.bytes(elements * dtype.numpy.itemsize), dtype.numpy).reshape(shape)


def raw(tensor: Tensor) -> bytes:
    """What the protocols say that the tensor's bytes are, said once more and more slowly."""
    if tensor.dtype == np.object_:
        return b"".join(struct.pack("<I", len(text)) + text for text in tensor.ravel())
    return np.ascontiguousarray(tensor).tobytes()


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any tensor; sometimes one whose rows do not lie one after the other in memory."""
    tensor = filled(draw(st.sampled_from(DType)), draw(SHAPES), draw(st.integers(0, 1000)))
    return tensor.T if draw(st.booleans()) else tensor


def outputs() -> st.SearchStrategy[dict[str, Tensor]]:
    """The outputs of an answer."""
    return st.dictionaries(NAMES, tensors(), max_size=4)


@st.composite
def versions(draw: st.DrawFn) -> ModelVersion:
    """Any version of any model."""
    parts = st.integers(0, 999_999_999)
    version = Version(draw(parts), draw(parts), draw(parts))
    return ModelVersion(draw(st.sampled_from(["a", "tabular", "x" * 128])), version, draw(st.integers(1, 999_999_999)))
