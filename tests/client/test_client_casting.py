"""Casting: only what loses nothing or is obviously meant."""

import ml_dtypes
import numpy as np
import pytest

from serinus_client.casting import to_wire_array
from serinus_client.dtypes import NAMES, NUMPY
from serinus_client.errors import InvalidInput

NUMBER = {name: number for number, name in NAMES.items()}
NUMERIC = [NAMES[number] for number in NUMPY]


def cast(value, dtype):
    return to_wire_array(value, NUMBER[dtype], "x")


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_array_of_the_models_type_passes_in_either_byte_order(dtype, order):
    """What leaves is little-endian."""
    array = np.array([[0, 1], [1, 0]]).astype(NUMPY[NUMBER[dtype]].newbyteorder(order))
    wire = cast(array, dtype)
    assert wire.dtype == NUMPY[NUMBER[dtype]]
    np.testing.assert_array_equal(wire, array)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.array([1, 255], np.uint8), "FP32"),
        (np.array([1.5], np.float32), "FP64"),
        (np.array([-3], np.int16), "INT64"),
        (np.float32(0.5), "FP32"),
        ([[1, 2], [3, 4]], "FP32"),
        ([0.1, 0.2], "FP32"),
        ([float("nan"), float("inf")], "FP16"),
        ((1, 2, 3), "UINT8"),
        ([True, False], "BOOL"),
        (3, "INT64"),
        (2**64 - 1, "UINT64"),
        ([], "INT32"),
        ([np.float32(1.5), np.float32(2.5)], "FP16"),
    ],
)
def test_what_is_obviously_meant_takes_the_models_type(value, dtype):
    """Values survive; the type is the model's."""
    target = NUMPY[NUMBER[dtype]]
    wire = cast(value, dtype)
    assert wire.dtype == target
    np.testing.assert_array_equal(wire, np.array(value).astype(target))


@pytest.mark.parametrize(
    ("value", "dtype", "sentence"),
    [
        (np.zeros(2), "FP32", "input 'x': expected FP32, got FP64"),
        (np.zeros(2, np.int64), "FP32", "input 'x': expected FP32, got INT64"),
        (np.zeros(2, np.float32), "INT64", "input 'x': expected INT64, got FP32"),
        (np.zeros(2, np.float32), "BOOL", "input 'x': expected BOOL, got FP32"),
        (np.zeros(2, np.complex64), "FP32", "input 'x': expected FP32, got complex64"),
        (np.zeros(2, np.uint16), "BF16", "input 'x': expected BF16, got UINT16"),
        (np.zeros(2), "BF16", "input 'x': expected BF16, got FP64"),
        (np.array(["a"]), "FP32", "input 'x': expected FP32, got BYTES"),
        ([1.5], "INT32", "input 'x': expected INT32, got a list of FP64"),
        ([True], "INT8", "input 'x': expected INT8, got a list of BOOL"),
        ([1, 0], "BOOL", "input 'x': expected BOOL, got a list of INT64"),
        (["a"], "FP32", "input 'x': expected FP32, got a list of BYTES"),
        (np.zeros(2), "BYTES", "input 'x': expected BYTES, got FP64"),
    ],
)
def test_anything_else_is_refused_by_both_names(value, dtype, sentence):
    """The sentence says what was expected and what came."""
    with pytest.raises(InvalidInput) as raised:
        cast(value, dtype)
    assert (raised.value.message, raised.value.reason) == (sentence, "WRONG_DTYPE")


@pytest.mark.parametrize(
    ("value", "dtype", "sentence"),
    [
        ([0, 300], "INT8", "input 'x': expected values that INT8 holds, got 0 to 300"),
        ([-1], "UINT32", "input 'x': expected values that UINT32 holds, got -1 to -1"),
        ([1e300, 0.0], "FP32", "input 'x': expected values that FP32 holds, got 0.0 to 1e+300"),
        ([70000], "FP16", "input 'x': expected values that FP16 holds, got 70000 to 70000"),
    ],
)
def test_numbers_that_would_wrap_or_overflow_are_refused(value, dtype, sentence):
    """A list takes the model's type only where its values fit."""
    with pytest.raises(InvalidInput) as raised:
        cast(value, dtype)
    assert (raised.value.message, raised.value.reason) == (sentence, "VALUE_OUT_OF_RANGE")


def test_a_ragged_list_is_refused():
    """Numpy's own exception does not escape."""
    with pytest.raises(InvalidInput, match="rows of different lengths"):
        cast([[1, 2], [3]], "FP32")


def test_bfloat16_arrays_pass_as_they_are():
    """The bits are not touched."""
    array = np.array([[1.5, -2.0], [3.25, 0.0]]).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(cast(array.T, "BF16"), array.T.copy().view(np.uint16))


@pytest.mark.parametrize("value", [np.array([1.0, 3.14159], np.float32), [1, 3.14159], np.array([1.0, 3.14159], ">f4")])
def test_floats_become_bfloat16_where_the_model_takes_it(value):
    """Rounded as the ml_dtypes package rounds."""
    expected = np.array([1.0, 3.14159], np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(cast(value, "BF16"), expected)


@pytest.mark.parametrize("value", [["a", b"b\0"], np.array(["a", b"b\0"], np.object_)])
def test_strings_become_objects_with_their_trailing_zeros(value):
    """Numpy's own bytes type would lose them."""
    assert cast(value, "BYTES").tolist() == ["a", b"b\0"]


def test_one_string_is_a_scalar():
    """Not an array of characters."""
    wire = cast("word", "BYTES")
    assert (wire.shape, wire.item()) == ((), "word")
