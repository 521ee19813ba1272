"""Turns what a caller passes into an array of the model's element type, where that loses nothing or is obviously meant.

The rules, for an input of type T:

1. A numpy array or scalar of T passes as it is, in either byte order.
2. A numpy array of another type is converted when numpy calls that safe (uint8 to FP32, FP32 to FP64), else refused.
3. Lists, tuples and Python numbers have no type of their own and take T: whole numbers become any number type that
   holds their values, fractions become any float type that holds their magnitude, truth values become BOOL.
4. BF16 takes float32 arrays, rounded to nearest even, bfloat16 arrays of the `ml_dtypes` package, and what rule 3
   allows.
5. BYTES takes text and bytes: lists, single values, and arrays of kind object, str or bytes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from serinus_client import bfloat16
from serinus_client.dtypes import BF16, BYTES, NAMES, NUMPY, name_of
from serinus_client.errors import InvalidInput

Array = npt.NDArray[Any]

_BFLOAT16_NUMPY = np.dtype("<u2")


def to_wire_array(value: Any, dtype: int, name: str) -> Array:
    """`value` as an array whose memory, in row-major order, is the tensor's data; for BYTES an object array.

    Args:
        value: An array, a numpy scalar, a Python number or string, or nested sequences of those.
        dtype: The wire number of the type that the model takes.
        name: The input's name, for the error.

    Raises:
        InvalidInput: the rules above do not allow it; the message names both types.
    """
    if dtype == BYTES:
        return _strings(value, name)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return _bf16(array, name) if dtype == BF16 else _typed(array, dtype, name)
    return _untyped(value, dtype, name)


def _wrong_dtype(name: str, expected: int, got: str) -> InvalidInput:
    return InvalidInput(f"input {name!r}: expected {NAMES[expected]}, got {got}", reason="WRONG_DTYPE")


def _typed(array: Array, dtype: int, name: str) -> Array:
    target = NUMPY[dtype]
    if array.dtype.kind in "OSUmMV" or not np.can_cast(array.dtype, target, "safe"):
        raise _wrong_dtype(name, dtype, name_of(array.dtype))
    return array.astype(target)


def _bf16(array: Array, name: str) -> Array:
    if array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(_BFLOAT16_NUMPY).reshape(array.shape)
    if array.dtype.newbyteorder("<") != np.dtype("<f4"):
        raise _wrong_dtype(name, BF16, name_of(array.dtype))
    return bfloat16.from_float32(array.astype(np.float32))


def _untyped(value: Any, dtype: int, name: str) -> Array:
    """Rule 3."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidInput(f"input {name!r}: rows of different lengths", reason="WRONG_SHAPE") from error
    if array.dtype.name == "bfloat16":  # a list of ml_dtypes scalars
        array = array.astype(np.float32)
    target = np.dtype(np.float32) if dtype == BF16 else NUMPY[dtype]
    allowed = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}[target.kind]
    if array.size and array.dtype.kind not in allowed:
        raise _wrong_dtype(name, dtype, f"a list of {name_of(array.dtype)}")
    with np.errstate(over="ignore"):  # looked for below
        converted = array.astype(target)
    if not _holds(array, converted):
        raise InvalidInput(
            f"input {name!r}: expected values that {NAMES[dtype]} holds, got {array.min()} to {array.max()}",
            reason="VALUE_OUT_OF_RANGE",
        )
    return bfloat16.from_float32(converted) if dtype == BF16 else converted


def _holds(array: Array, converted: Array) -> bool:
    """Whether no whole number wrapped and no finite number became infinite."""
    if converted.dtype.kind in "iu" and array.size:
        limits = np.iinfo(converted.dtype)
        return int(array.min()) >= limits.min and int(array.max()) <= limits.max
    if converted.dtype.kind == "f":
        return bool((np.isfinite(converted) | ~np.isfinite(array)).all())
    return True


def _strings(value: Any, name: str) -> Array:
    """Rule 5. Lists go straight to objects: numpy's own bytes type would drop trailing zero bytes."""
    array = value if isinstance(value, np.ndarray) else np.array(value, dtype=np.object_)
    if array.dtype.kind not in "OSU" and array.size:
        raise _wrong_dtype(name, BYTES, name_of(array.dtype))
    return array.astype(np.object_)
