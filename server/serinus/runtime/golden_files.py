"""Reads and writes golden requests: one call to a model and the answer that is right, as a file in the model's bundle.

The file is what `numpy.savez` writes: a zip archive of `.npy` files. Its arrays are named

    input/<name of an input>      one for each required input, and for optional ones as wanted
    output/<name of an output>    one at least; outputs that are not named are not compared

with the batch axis where the model has one, and the element type that the model declares. Text is an array of numpy's
fixed-width bytes (`S`) or characters (`U`), BF16 an array of `uint16` with the same bits. Objects are never read.
"""

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected
from serinus.core.predictor import Tensor, Tensors
from serinus.core.raw_tensors import MOST_AXES, MOST_STRINGS
from serinus.core.signature import TensorSpec

_MOST_BYTES = 1 << 28  # of all arrays of one file: a large batch of images
_MOST_ARRAYS = 512
_LONGEST_HEADER = 10_000  # of an array; numpy's own limit
_MOST_RATIO = 200  # of packed size to size: what is not made to explode stays below it
_UNCHECKED_RATIO_BYTES = 1 << 20  # small files of zeros pack well
_PACKINGS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# What zipfile raises (RuntimeError: encrypted), and what numpy does about headers that are no Python literals.
_DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, RuntimeError, OSError, EOFError, ValueError,
    TypeError, SyntaxError, MemoryError, tokenize.TokenError,
)  # fmt: skip
_TEXT_KINDS = frozenset("SU")


def read_golden(name: str, content: bytes) -> tuple[Tensors, Tensors]:
    """The inputs and the expected outputs of one golden request, as they stand in its file.

    Args:
        name: For messages.
        content: The file. Whatever it claims, no more than its bounds is unpacked.

    Raises:
        ModelRejected: INVALID_GOLDEN, because it is not such a file or holds too much.
    """
    sides: dict[str, dict[str, Tensor]] = {"input": {}, "output": {}}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in _checked(name, archive.infolist(), len(content)):
                side, _, tensor = member.filename.removesuffix(".npy").partition("/")
                if side not in sides or not tensor:
                    raise invalid(name, f"expected arrays 'input/NAME' and 'output/NAME', got {member.filename[:64]!r}")
                if tensor in sides[side]:
                    raise invalid(name, f"{member.filename[:64]!r} stands in it twice")
                sides[side][tensor] = _array(name, archive.read(member))
    except _DAMAGED as error:
        raise invalid(name, "expected what numpy.savez writes") from error
    if not sides["output"]:
        raise invalid(name, "expected at least one array 'output/NAME'")
    return sides["input"], sides["output"]


def _checked(name: str, members: list[zipfile.ZipInfo], size_bytes: int) -> list[zipfile.ZipInfo]:
    """The members, if unpacking them can do no harm."""
    if len(members) > _MOST_ARRAYS:
        raise invalid(name, f"expected at most {_MOST_ARRAYS} arrays, got {len(members)}")
    total = sum(member.file_size for member in members)
    if total > _MOST_BYTES:
        raise invalid(name, f"expected at most {_MOST_BYTES} bytes of arrays, got {total}")
    if total > max(_UNCHECKED_RATIO_BYTES, _MOST_RATIO * size_bytes):
        raise invalid(name, f"{size_bytes} bytes unpack to {total}: expected at most {_MOST_RATIO} times as many")
    if any(member.compress_type not in _PACKINGS for member in members):
        raise invalid(name, "expected arrays that are stored or deflated")
    return members


def _array(name: str, npy: bytes) -> Tensor:
    stream = io.BytesIO(npy)
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:
        raise invalid(name, f"expected arrays of format 1.0 or 2.0, got {version[0]}.{version[1]}")
    shape, is_fortran, dtype = read_header[version](stream, max_header_size=_LONGEST_HEADER)
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None or not dtype.itemsize:
        raise invalid(name, "expected arrays of numbers, truth values or text")
    if len(shape) > MOST_AXES or any(dim < 0 for dim in shape):
        raise invalid(name, f"expected at most {MOST_AXES} axes of at least 0")
    elements = math.prod(shape)
    # Text is widened in memory to the longest element, so that its bytes say how much that can be.
    if elements * dtype.itemsize != len(npy) - stream.tell():
        raise invalid(name, f"an array of {elements} elements has {len(npy) - stream.tell()} bytes")
    flat = np.frombuffer(npy, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")


def as_declared(name: str, spec: TensorSpec, array: Tensor) -> Tensor:
    """`array` of a golden request in the element type that the model declares.

    Raises:
        ModelRejected: INVALID_GOLDEN, because its element type or shape is another.
    """
    wanted = spec.dtype.numpy
    shape = spec.wire_shape
    if len(shape) != array.ndim or any(-1 != dim != got for dim, got in zip(shape, array.shape, strict=True)):
        raise invalid(name, f"{spec.name[:64]!r}: expected the shape {list(shape)}, got {list(array.shape)}")
    if spec.dtype is DType.BYTES and array.dtype.kind in _TEXT_KINDS:
        return _text(name, array)
    if spec.dtype is DType.BF16 and array.dtype.kind in "uV" and array.dtype.itemsize == wanted.itemsize:
        return np.ascontiguousarray(array).view(wanted)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if little.dtype != wanted:
        raise invalid(name, f"{spec.name[:64]!r}: expected {spec.dtype}, got an array of {array.dtype}")
    return np.ascontiguousarray(little).reshape(array.shape)


def _text(name: str, array: Tensor) -> Tensor:
    if array.size > MOST_STRINGS:
        raise invalid(name, f"expected at most {MOST_STRINGS} elements of text, got {array.size}")
    elements = np.empty(array.size, np.object_)
    try:
        elements[:] = [each if isinstance(each, bytes) else each.encode() for each in array.ravel().tolist()]
    except UnicodeEncodeError as error:
        raise invalid(name, "holds characters that are no text") from error
    return elements.reshape(array.shape)


def write_golden(path: Path, inputs: Tensors, outputs: Tensors) -> None:
    """Write a golden request, in the format that this module describes.

    Args:
        path: Of the new file, which by custom ends in `.npz`.
        inputs: Of the call, by name; text as objects of `bytes`, UTF-8.
        outputs: The right answer, by name; compared at each load.

    Raises:
        ValueError: text ends with a NUL, which numpy's arrays of text do not keep, or there is no output.
    """
    if not outputs:
        raise ValueError("expected at least one output")
    named = {f"input/{name}": array for name, array in inputs.items()}
    named |= {f"output/{name}": array for name, array in outputs.items()}
    _write(path, {name: _plain(array) for name, array in named.items()})


def _write(path: Path, arrays: Mapping[str, Tensor]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=None, allow_pickle=False)


def _plain(array: Tensor) -> Tensor:
    if array.dtype == DType.BF16.numpy:
        return array.view(np.uint16)
    if not array.dtype.hasobject:
        return array
    if any(element.endswith(b"\0") for element in array.ravel().tolist()):
        raise ValueError("expected text that does not end with a NUL")
    return array.astype(np.bytes_)


def invalid(name: str, what: str) -> ModelRejected:
    """The refusal of a golden request that cannot be used."""
    return ModelRejected(f"golden request {name[:128]!r}: {what}", reason="INVALID_GOLDEN")
