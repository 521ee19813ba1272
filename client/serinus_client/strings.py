"""BYTES tensors: each element a 4-byte little-endian length and that many bytes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

_LENGTH_BYTES = 4


def pack(elements: Iterable[str | bytes]) -> bytes:
    """Join elements into tensor data; text as UTF-8.

    Raises:
        TypeError: an element is neither text nor bytes.
    """
    parts: list[bytes] = []
    for element in elements:
        if isinstance(element, str):
            raw = element.encode()
        elif isinstance(element, bytes):
            raw = bytes(element)
        else:
            raise TypeError(type(element).__name__)
        parts.append(len(raw).to_bytes(_LENGTH_BYTES, "little"))
        parts.append(raw)
    return b"".join(parts)


def unpack(data: bytes) -> list[bytes]:
    """Split tensor data into elements.

    Raises:
        ValueError: a length points past the end.
    """
    elements: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if start > end or at > end:
            raise ValueError(f"element {len(elements)} ends at byte {at} of {end}")
        elements.append(data[start:at])
    return elements


def decode_strings(array: npt.NDArray[np.object_], errors: str = "strict") -> npt.NDArray[np.object_]:
    """A BYTES output as an object array of `str` of the same shape.

    Args:
        array: Elements are `bytes`, UTF-8 for a model that returns ONNX strings.
        errors: As in `bytes.decode`.
    """
    elements: list[bytes] = array.ravel().tolist()
    return object_array([element.decode(errors=errors) for element in elements], array.shape)


def object_array(elements: list[Any], shape: tuple[int, ...]) -> npt.NDArray[np.object_]:
    """Elements in row-major order as an object array; `np.array` would look inside them."""
    flat = np.empty(len(elements), np.object_)
    flat[:] = elements
    return flat.reshape(shape)
