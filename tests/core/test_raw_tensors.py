"""Raw tensor bytes to arrays and back."""

import struct

import numpy as np
import pytest
from hypothesis import given

from serinus.core.dtypes import DType, dtype_of
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Tensor
from serinus.core.raw_tensors import MOST_STRINGS, element_count, object_array, raw_from_tensor, tensor_from_raw
from tests.transport.tensors_of import filled, raw, tensors

LARGEST = 2**31 - 1


def refusal(dtype: DType, shape: tuple[int, ...], content: bytes) -> tuple[str, str, str]:
    with pytest.raises(InvalidInput) as refused:
        tensor_from_raw("x", dtype, shape, content)
    return refused.value.reason, refused.value.field, refused.value.message


@given(tensors())
def test_a_tensor_comes_back_as_it_was(tensor: Tensor):
    """Any type and shape, also one whose rows do not lie one after the other."""
    written = raw_from_tensor(tensor)
    assert written == raw(tensor)
    back = tensor_from_raw("x", dtype_of(tensor), tensor.shape, written)
    assert (back.dtype, back.shape, raw(back)) == (tensor.dtype, tensor.shape, raw(tensor))


@pytest.mark.parametrize(
    ("dtype", "content", "values"),
    [
        (DType.BOOL, "00 01", [False, True]),
        (DType.UINT8, "00 ff", [0, 255]),
        (DType.INT8, "80 ff", [-128, -1]),
        (DType.UINT16, "01 00 ff ff", [1, 65535]),
        (DType.INT16, "01 00 00 80", [1, -32768]),
        (DType.UINT32, "01 00 00 00 ff ff ff ff", [1, 2**32 - 1]),
        (DType.INT32, "01 00 00 00 ff ff ff ff", [1, -1]),
        (DType.UINT64, "01 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff", [1, 2**64 - 1]),
        (DType.INT64, "01 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff", [1, -1]),
        (DType.FP16, "00 3c 00 c0", [1.0, -2.0]),
        (DType.BF16, "80 3f 00 c0", [1.0, -2.0]),
        (DType.FP32, "00 00 80 3f 00 00 00 c0", [1.0, -2.0]),
        (DType.FP64, "00 00 00 00 00 00 f0 3f 00 00 00 00 00 00 00 c0", [1.0, -2.0]),
        (DType.BYTES, "02 00 00 00 68 69 00 00 00 00", [b"hi", b""]),
    ],
)
def test_each_type_is_little_endian(dtype: DType, content: str, values: list[object]):
    """Byte for byte, in both directions."""
    tensor = tensor_from_raw("x", dtype, (2,), bytes.fromhex(content))
    assert (tensor.dtype, tensor.tolist()) == (dtype.numpy, values)
    assert raw_from_tensor(tensor) == bytes.fromhex(content)


@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_a_tensor_without_elements_has_a_shape(dtype: DType, shape: tuple[int, ...]):
    """Zero rows are a legal request."""
    tensor = tensor_from_raw("x", dtype, shape, b"")
    assert (tensor.dtype, tensor.shape, raw_from_tensor(tensor)) == (dtype.numpy, shape, b"")


@pytest.mark.parametrize("dtype", DType)
def test_a_scalar_has_no_axes(dtype: DType):
    """One element, and () as its shape."""
    scalar = filled(dtype, (), 3)
    tensor = tensor_from_raw("x", dtype, (), raw(scalar))
    assert (tensor.dtype, tensor.shape, raw_from_tensor(tensor)) == (dtype.numpy, (), raw(scalar))


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.BYTES])
@pytest.mark.parametrize("wrong_by", [-1, 1])
def test_a_byte_too_few_or_too_many_is_refused(dtype: DType, wrong_by: int):
    """With what was expected and what came."""
    expected = 6 * dtype.numpy.itemsize
    assert refusal(dtype, (2, 3), bytes(expected + wrong_by)) == (
        "WRONG_SIZE",
        "x",
        f"input 'x': shape [2, 3] of {dtype}: expected {expected} bytes, got {expected + wrong_by}",
    )


def test_bytes_for_a_tensor_without_elements_are_refused():
    """They would be lost."""
    message = "input 'x': shape [0] of FP32: expected 0 bytes, got 4"
    assert refusal(DType.FP32, (0,), bytes(4)) == ("WRONG_SIZE", "x", message)


def test_a_bool_that_is_neither_is_refused():
    """A model might do anything with a 2."""
    message = "input 'x': BOOL: expected bytes 0 or 1"
    assert refusal(DType.BOOL, (3,), b"\x00\x02\x01") == ("WRONG_VALUE", "x", message)


@pytest.mark.parametrize(
    ("shape", "content", "message"),
    [
        ((2,), "05", "expected 2 elements, at least 8 bytes, got 1 bytes"),
        ((1,), "05 00 00 00 61", "expected element 0 of at most 1 bytes, got a length prefix of 5"),
        (
            (2,),
            "00 00 00 00 ff ff ff ff",
            "expected element 1 of at most 0 bytes, got a length prefix of 4294967295",
        ),
        ((2,), "04 00 00 00 61 61 61 61", "expected 2 elements, got 1"),
        ((2,), "02 00 00 00 61 61 00 00", "expected 2 elements, got 1"),
        ((1,), "01 00 00 00 61 62 63", "expected 1 elements in 5 bytes, got 2 more bytes"),
        ((0,), "00 00 00 00", "expected 0 elements in 0 bytes, got 4 more bytes"),
    ],
)
def test_strings_that_do_not_add_up_are_refused(shape: tuple[int, ...], content: str, message: str):
    """Cut off in a length, in a string, or with something left; nothing is allocated by a claimed length."""
    expected = ("WRONG_SIZE", "x", f"input 'x': BYTES: {message}")
    assert refusal(DType.BYTES, shape, bytes.fromhex(content)) == expected


def test_too_many_strings_are_refused():
    """Each becomes an object, which the event loop waits for."""
    message = f"input 'x': BYTES: expected at most {MOST_STRINGS} elements, got {MOST_STRINGS + 1}"
    assert refusal(DType.BYTES, (MOST_STRINGS + 1,), b"") == ("TOO_MANY_ELEMENTS", "x", message)


@pytest.mark.parametrize(
    ("shape", "reason", "message"),
    [
        ((-1,), "NEGATIVE_LENGTH", "expected lengths of at least 0, got shape [-1]"),
        ((0, -1), "NEGATIVE_LENGTH", "expected lengths of at least 0, got shape [0, -1]"),
        ((-2, -2), "NEGATIVE_LENGTH", "expected lengths of at least 0, got shape [-2, -2]"),
        ((2**31,), "SHAPE_TOO_LARGE", f"expected at most {LARGEST} elements, got shape [{2**31}]"),
        ((2**16, 2**16), "SHAPE_TOO_LARGE", f"expected at most {LARGEST} elements, got shape [65536, 65536]"),
        ((2**63 - 1, 0), "SHAPE_TOO_LARGE", f"expected at most {LARGEST} elements, got shape [{2**63 - 1}, 0]"),
        (
            (0, 2**31 - 1, 2),
            "SHAPE_TOO_LARGE",
            f"expected at most {LARGEST} elements, got shape [0, {LARGEST}, 2]",
        ),
        ((1,) * 33, "TOO_MANY_AXES", "expected at most 32 axes, got 33"),
    ],
)
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.FP64, DType.BYTES])
def test_a_shape_that_cannot_be_meant_is_refused(dtype: DType, shape: tuple[int, ...], reason: str, message: str):
    """Before anything is made of it, whatever the type."""
    assert refusal(dtype, shape, b"") == (reason, "x", f"input 'x': {message}")


def test_the_largest_shapes_are_counted():
    """At the limits themselves; () has one element."""
    counts = [element_count("x", shape) for shape in [(), (0,), (LARGEST,), (LARGEST, 0), (1,) * 32, (2,) * 30]]
    assert counts == [1, 0, LARGEST, 0, 1, 2**30]


def test_an_array_of_strings_keeps_what_ends_in_zeros():
    """numpy's fixed-width strings would drop trailing zero bytes."""
    texts = [b"a\x00", b"", b"\x00"]
    array = object_array(texts)
    assert (array.dtype, array.tolist()) == (np.dtype(object), texts)
    assert raw_from_tensor(array) == b"".join(struct.pack("<I", len(text)) + text for text in texts)
