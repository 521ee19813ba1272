"""One tensor between numpy and the wire."""

from typing import Any

import numpy as np

from serinus_api.v1 import predict_pb2 as pb
from serinus_client import bfloat16, strings
from serinus_client.casting import Array, to_wire_array
from serinus_client.dtypes import BF16, BYTES, NAMES, NUMPY
from serinus_client.errors import InvalidInput, ServerFault, Unsupported
from serinus_client.model_info import TensorInfo

_NUMBERS = {name: pb.DataType.Value(f"DATA_TYPE_{name}") for name in NAMES.values()}
_NO_NUMPY = np.dtype(np.void)


class InputCodec:
    """Encodes one input of one model, with everything that does not depend on the call worked out once.

    Attributes:
        info: What the model takes here.
        name: The input's name.
        dtype: The wire number of its element type.
    """

    __slots__ = ("_fixed", "_good_shape", "_numpy", "dtype", "info", "name")

    def __init__(self, info: TensorInfo) -> None:
        """Prepare for `info`.

        Raises:
            Unsupported: it has an element type that this client does not know.
        """
        self.info = info
        self.name = info.name
        dtype = _NUMBERS.get(info.dtype)
        if dtype is None:
            raise Unsupported(f"input {info.name!r} has type {info.dtype}, which this client does not know: update it")
        self.dtype = dtype
        # No array has this type, so BF16 and BYTES always take the slower way.
        self._numpy = NUMPY.get(self.dtype, _NO_NUMPY)
        self._fixed = tuple((axis, length) for axis, length in enumerate(info.shape) if length >= 0)
        self._good_shape: tuple[int, ...] | None = None

    def encode(self, value: Any) -> tuple[bytes, tuple[int, ...]]:
        """The tensor's data and shape.

        Raises:
            InvalidInput: the type or the shape is not one that the model takes.
        """
        if type(value) is not np.ndarray or value.dtype != self._numpy:
            value = to_wire_array(value, self.dtype, self.name)
        shape = value.shape
        # Most callers send one shape again and again: a comparison instead of a check per axis.
        if shape != self._good_shape:
            self._check_shape(shape)
            self._good_shape = shape
        if self.dtype == BYTES:
            return self._packed(value), shape
        return value.tobytes(), shape

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        expected = self.info.shape
        if len(shape) != len(expected) or any(shape[axis] != length for axis, length in self._fixed):
            raise InvalidInput(
                f"input {self.name!r}: expected shape {list(expected)}, got {list(shape)}", reason="WRONG_SHAPE"
            )

    def _packed(self, value: Array) -> bytes:
        try:
            return strings.pack(value.flat)
        except TypeError as error:
            raise InvalidInput(
                f"input {self.name!r}: expected BYTES, got an element of type {error}", reason="WRONG_DTYPE"
            ) from error


def decode_outputs(response: pb.PredictResponse) -> dict[str, Array]:
    """The outputs of an answer by name, in the order that the call asked for.

    Numbers are read-only views of the received bytes: copy an array before writing into it. BF16 comes as float32,
    BYTES as an object array of `bytes`.

    Raises:
        ServerFault: a tensor's bytes do not fit its type and shape.
    """
    outputs: dict[str, Array] = {}
    for tensor in response.outputs:
        try:
            # `shape[:]` is a list; numpy reads the repeated field itself several times slower.
            outputs[tensor.name] = np.frombuffer(tensor.data, NUMPY[tensor.dtype]).reshape(tensor.shape[:])
        except KeyError:
            outputs[tensor.name] = _decode_special(tensor)
        except ValueError as error:
            raise _malformed(tensor) from error
    return outputs


def _decode_special(tensor: pb.Tensor) -> Array:
    shape = tuple(tensor.shape)
    try:
        if tensor.dtype == BF16:
            return bfloat16.to_float32(np.frombuffer(tensor.data, "<u2")).reshape(shape)
        if tensor.dtype == BYTES:
            return strings.object_array(strings.unpack(tensor.data), shape)
    except ValueError as error:
        raise _malformed(tensor) from error
    raise _malformed(tensor)


def _malformed(tensor: pb.Tensor) -> ServerFault:
    return ServerFault(
        f"output {tensor.name!r}: {len(tensor.data)} bytes are no tensor of type {tensor.dtype} and shape "
        f"{list(tensor.shape)}",
        reason="MALFORMED_RESPONSE",
    )
