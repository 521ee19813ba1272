"""Requests as bytes, made once before a run, and inputs to send where nobody names any."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from open_inference import grpc_service_pb2 as oip
from serinus_client import ModelInfo, TensorInfo, strings
from serinus_client.encoder import Encoder

Arrays = Mapping[str, npt.NDArray[Any]]
"""Array by input name, the batch axis included."""

_DATATYPES = {
    np.dtype(np.bool_): "BOOL",
    np.dtype(np.float16): "FP16",
    np.dtype(np.float32): "FP32",
    np.dtype(np.float64): "FP64",
    **{
        np.dtype(f"{kind}{bits // 8}"): f"{name}{bits}"
        for kind, name in (("i", "INT"), ("u", "UINT"))
        for bits in (8, 16, 32, 64)
    },
}
_NUMPY = {name: dtype for dtype, name in _DATATYPES.items()}
_MOST_BYTES = 64 << 20  # of one invented input; a message of a server's default takes a quarter of it


def predict_message(model: str, inputs: Arrays, *, version: str = "") -> bytes:
    """A serialised PredictRequest."""
    info = ModelInfo(
        model=model,
        version=version,
        inputs=tuple(TensorInfo(name, _datatype(array), (-1,) * array.ndim) for name, array in inputs.items()),
        outputs=(),
    )
    frame, _ = Encoder(info, model=model, version=version).encode(
        inputs, (), request_id="", routing_key="", attributes=None, priority=0
    )
    return frame.calls[0].request.SerializeToString()


def oip_message(model: str, inputs: Arrays, *, version: str = "") -> bytes:
    """A serialised ModelInferRequest, its data in `raw_input_contents`."""
    return oip.ModelInferRequest(
        model_name=model,
        model_version=version,
        inputs=[
            oip.ModelInferRequest.InferInputTensor(name=name, datatype=_datatype(array), shape=array.shape)
            for name, array in inputs.items()
        ],
        raw_input_contents=[_raw(array) for array in inputs.values()],
    ).SerializeToString()


def invented(
    tensors: Sequence[TensorInfo], *, rows: int, length: int, rng: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    """Inputs that a model takes: whole numbers are 0 or 1, others lie between 0 and 1, text is a word.

    Args:
        tensors: What it takes; those that may be left out are.
        rows: Length of the first axis, where each call chooses it.
        length: Of the other axes that each call chooses.
        rng: Draws the values.

    Raises:
        ValueError: an input has an element type without a numpy type, or would be very large.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for tensor in tensors:
        if tensor.optional:
            continue
        shape = tuple((rows if axis == 0 else length) if size < 0 else size for axis, size in enumerate(tensor.shape))
        if np.prod(shape, dtype=np.float64) * 8 > _MOST_BYTES:
            raise ValueError(f"input {tensor.name!r}: {list(shape)} is too large to be invented")
        arrays[tensor.name] = _values(tensor, shape, rng)
    return arrays


def _values(tensor: TensorInfo, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
    if tensor.dtype == "BYTES":
        return np.full(shape, b"word", np.object_)
    dtype = _NUMPY.get(tensor.dtype)
    if dtype is None:
        raise ValueError(f"input {tensor.name!r}: cannot invent values of type {tensor.dtype}")
    return rng.random(shape).astype(dtype) if dtype.kind == "f" else rng.integers(0, 2, shape).astype(dtype)


def _datatype(array: npt.NDArray[Any]) -> str:
    return "BYTES" if array.dtype.hasobject else _DATATYPES[array.dtype]


def _raw(array: npt.NDArray[Any]) -> bytes:
    return strings.pack(array.flat) if array.dtype.hasobject else array.tobytes()
