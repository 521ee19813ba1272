"""Element types and how they lie in memory."""

import ml_dtypes
import numpy as np
import pytest

from serinus.core.dtypes import DType, dtype_of

ITEM_BYTES = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
    "BYTES": np.dtype(object).itemsize,
}


def test_the_types_are_those_of_the_open_inference_protocol():
    """By name, and each is its own name."""
    assert {dtype.value: dtype.numpy.itemsize for dtype in DType} == ITEM_BYTES
    assert [f"{dtype}" for dtype in DType] == [dtype.name for dtype in DType]


@pytest.mark.parametrize("dtype", DType)
def test_an_array_of_a_type_has_that_type(dtype: DType):
    """Each numpy type stands for one element type, in both directions."""
    assert dtype_of(np.empty((2, 0), dtype.numpy)) is dtype
    assert dtype.numpy.newbyteorder("<") == dtype.numpy


def test_bfloat16_is_neither_a_half_nor_an_integer():
    """They are as wide, and must never pass for each other."""
    assert DType.BF16.numpy == np.dtype(ml_dtypes.bfloat16)
    assert len({DType.BF16.numpy, DType.FP16.numpy, DType.UINT16.numpy, DType.INT16.numpy}) == 4


def test_only_floats_can_be_non_finite():
    """The others need no look at their values."""
    assert [dtype for dtype in DType if dtype.is_float] == [DType.FP16, DType.BF16, DType.FP32, DType.FP64]


@pytest.mark.parametrize("foreign", [">f4", "S3", "U3", "c8", "M8[s]", "V4"])
def test_an_array_of_another_type_is_a_bug(foreign: str):
    """Nobody guesses."""
    with pytest.raises(KeyError):
        dtype_of(np.empty(1, foreign))
