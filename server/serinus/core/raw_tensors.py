"""Raw tensor bytes to arrays and back, as files and both protocols lay them out: row-major, little-endian.

A BYTES element is a 4-byte little-endian length and that many bytes.
"""

import math
import struct

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Tensor

MOST_AXES = 32  # what every numpy that is supported can hold
MOST_STRINGS = 1 << 18  # of one tensor: 60 ms of making objects, which the event loop waits for

LARGE_BYTES = 1 << 17
"""Of a tensor: from here on it is worth some microseconds not to copy it on the event loop."""

ALIGNMENT_BYTES = 16
"""Where the contents of `bytes` and of arrays begin: at a multiple of so many."""

_WORTH_A_VIEW_BYTES = 1 << 15  # to make one takes less than to copy so many
_LENGTH = struct.Struct("<I")
_LARGEST = (1 << 31) - 1


def tensor_from_raw(name: str, dtype: DType, shape: tuple[int, ...], raw: bytes | memoryview) -> Tensor:
    """A read-only view of `raw`, or for BYTES an object array of `bytes`.

    Raises:
        InvalidInput: `raw` does not hold exactly the elements of `shape`. Nothing is allocated by a claimed size.
    """
    elements = element_count(name, shape)
    if dtype is DType.BYTES:
        return _bytes_tensor(name, elements, bytes(raw)).reshape(shape)
    numpy = dtype.numpy
    expected = elements * numpy.itemsize
    if len(raw) != expected:
        raise InvalidInput(
            f"input {name!r}: shape {list(shape)} of {dtype}: expected {expected} bytes, got {len(raw)}",
            reason="WRONG_SIZE",
            field=name,
        )
    if not elements:
        return np.empty(shape, numpy)
    tensor = np.frombuffer(raw, numpy)
    if dtype is DType.BOOL and tensor.view(np.uint8).max() > 1:
        raise InvalidInput(f"input {name!r}: BOOL: expected bytes 0 or 1", reason="WRONG_VALUE", field=name)
    return tensor.reshape(shape)


def element_count(name: str, shape: tuple[int, ...]) -> int:
    """The product of `shape`.

    Raises:
        InvalidInput: a length is negative, it or the product is beyond 2^31 - 1, or there are too many axes.
    """
    if len(shape) > MOST_AXES:
        raise InvalidInput(
            f"input {name!r}: expected at most {MOST_AXES} axes, got {len(shape)}", reason="TOO_MANY_AXES", field=name
        )
    elements = math.prod(shape)
    # numpy refuses to shape nothing, too, by lengths whose product without the zeros it cannot hold.
    largest = elements or math.prod(filter(None, shape))
    if shape and (min(shape) < 0 or max(shape) > _LARGEST or largest > _LARGEST):
        if min(shape) < 0:
            raise InvalidInput(
                f"input {name!r}: expected lengths of at least 0, got shape {list(shape)}",
                reason="NEGATIVE_LENGTH",
                field=name,
            )
        raise InvalidInput(
            f"input {name!r}: expected at most {_LARGEST} elements, got shape {list(shape)}",
            reason="SHAPE_TOO_LARGE",
            field=name,
        )
    return elements


def _bytes_tensor(name: str, elements: int, raw: bytes) -> Tensor:
    if elements > MOST_STRINGS:
        raise InvalidInput(
            f"input {name!r}: BYTES: expected at most {MOST_STRINGS} elements, got {elements}",
            reason="TOO_MANY_ELEMENTS",
            field=name,
        )
    tensor: list[bytes] = []
    position, end = 0, len(raw)
    if end < elements * _LENGTH.size:
        raise _wrong_bytes(name, f"{elements} elements, at least {elements * _LENGTH.size} bytes", f"{end} bytes")
    for _ in range(elements):
        start = position + _LENGTH.size
        if start > end:
            raise _wrong_bytes(name, f"{elements} elements", f"{len(tensor)}")
        (length,) = _LENGTH.unpack_from(raw, position)
        position = start + length
        if position > end:
            raise _wrong_bytes(
                name, f"element {len(tensor)} of at most {end - start} bytes", f"a length prefix of {length}"
            )
        tensor.append(raw[start:position])
    if position != end:
        raise _wrong_bytes(name, f"{elements} elements in {position} bytes", f"{end - position} more bytes")
    return object_array(tensor)


def object_array(elements: list[bytes]) -> Tensor:
    """A one-dimensional object array; numpy would guess fixed-width strings."""
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


def _wrong_bytes(name: str, expected: str, got: str) -> InvalidInput:
    return InvalidInput(f"input {name!r}: BYTES: expected {expected}, got {got}", reason="WRONG_SIZE", field=name)


def raw_from_tensor(tensor: Tensor) -> bytes | memoryview:
    """The bytes of an array: a view of a large one, where it can be had, so that joining them copies them only once."""
    if tensor.dtype.hasobject:
        return b"".join([_LENGTH.pack(len(element)) + element for element in tensor.ravel().tolist()])
    if tensor.nbytes >= _WORTH_A_VIEW_BYTES and tensor.flags.c_contiguous:
        return tensor.reshape(-1).view(np.uint8).data  # by way of numbers: bfloat16 has no buffer of its own
    return tensor.tobytes()
