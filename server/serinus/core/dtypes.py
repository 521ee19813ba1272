"""The element types that a tensor can have, and how each is laid out in memory."""

import enum

import ml_dtypes
import numpy as np
import numpy.typing as npt


class DType(enum.StrEnum):
    """An element type, named as the Open Inference Protocol names it."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The little-endian numpy type; BYTES is an object array of `bytes`."""
        return _NUMPY[self]

    @property
    def is_float(self) -> bool:
        """Whether values can be non-finite."""
        return self in _FLOATS


_NUMPY: dict[DType, np.dtype[np.generic]] = {
    DType.BOOL: np.dtype(np.bool_),
    DType.UINT8: np.dtype("<u1"),
    DType.UINT16: np.dtype("<u2"),
    DType.UINT32: np.dtype("<u4"),
    DType.UINT64: np.dtype("<u8"),
    DType.INT8: np.dtype("<i1"),
    DType.INT16: np.dtype("<i2"),
    DType.INT32: np.dtype("<i4"),
    DType.INT64: np.dtype("<i8"),
    DType.FP16: np.dtype("<f2"),
    # numpy has no bfloat16; ml_dtypes registers one, so that a BF16 tensor can never pass for a UINT16 tensor.
    DType.BF16: np.dtype(ml_dtypes.bfloat16),
    DType.FP32: np.dtype("<f4"),
    DType.FP64: np.dtype("<f8"),
    DType.BYTES: np.dtype(np.object_),
}
_FLOATS = frozenset({DType.FP16, DType.BF16, DType.FP32, DType.FP64})
_BY_NUMPY = {numpy: dtype for dtype, numpy in _NUMPY.items()}


_FLOAT_KINDS = "fV"  # V is what numpy calls bfloat16


def holds_floats(array: npt.NDArray[np.generic]) -> bool:
    """Whether elements of an array that this program made can be non-finite."""
    return array.dtype.kind in _FLOAT_KINDS


def dtype_of(array: npt.NDArray[np.generic]) -> DType:
    """The element type of an array that this program made; a KeyError is a bug."""
    return _BY_NUMPY[array.dtype]
