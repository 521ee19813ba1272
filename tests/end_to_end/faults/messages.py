"""Valid messages of both protocols, to be broken by tests."""

from typing import TYPE_CHECKING, Any

import numpy as np

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType
from serinus_api.v1 import predict_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

INFER = "/inference.GRPCInferenceService/ModelInfer"
INFER_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
PREDICT = "/serinus.v1.PredictService/Predict"
PREDICT_STREAM = "/serinus.v1.PredictService/PredictStream"


def f32(*values: float) -> bytes:
    """Raw FP32 elements."""
    return np.array(values, "<f4").tobytes()


def infer_input(name: str = "x", datatype: str = "FP32", shape: tuple[int, ...] = (1, 8), **contents: Any) -> Any:
    """An input of ModelInfer; `contents` are typed, such as fp32_contents=[1.0]."""
    tensor = oip.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    if contents:
        tensor.contents.CopyFrom(oip.InferTensorContents(**contents))
    return tensor


def infer(model: str, *inputs: Any, raw: tuple[bytes, ...] = (), **fields: Any) -> bytes:
    """A serialised ModelInferRequest."""
    wanted = [oip.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in fields.pop("outputs", ())]
    parameters: Mapping[str, Mapping[str, Any]] = fields.pop("parameters", {})
    message = oip.ModelInferRequest(model_name=model, inputs=inputs, raw_input_contents=raw, outputs=wanted, **fields)
    for name, value in parameters.items():
        message.parameters[name].CopyFrom(oip.InferParameter(**value))
    return message.SerializeToString()


def tensor(name: str = "x", dtype: DType | int = DType.FP32, shape: tuple[int, ...] = (1, 8), data: bytes = b"") -> Any:
    """A tensor of Predict."""
    number = pb.DataType.Value(f"DATA_TYPE_{dtype}") if isinstance(dtype, DType) else dtype
    return pb.Tensor(name=name, dtype=number, shape=shape, data=data)


def predict(model: str, *inputs: Any, **fields: Any) -> bytes:
    """A serialised PredictRequest."""
    return pb.PredictRequest(model=model, inputs=inputs, **fields).SerializeToString()


ROW = f32(*range(8))
GOOD_INFER = infer("tabular", infer_input(), raw=(ROW,), id="golden")
GOOD_PREDICT = predict("tabular", tensor(data=ROW), request_id="golden")


def infer_arrays(answer: bytes) -> dict[str, np.ndarray]:
    """The numeric outputs of a ModelInferResponse."""
    wire = oip.ModelInferResponse.FromString(answer)
    return {
        output.name: np.frombuffer(raw, DType(output.datatype).numpy).reshape(output.shape)
        for output, raw in zip(wire.outputs, wire.raw_output_contents, strict=True)
    }


def predict_arrays(wire: pb.PredictResponse) -> dict[str, np.ndarray]:
    """The numeric outputs of a PredictResponse."""
    names = {number: name.removeprefix("DATA_TYPE_") for name, number in pb.DataType.items()}
    return {
        output.name: np.frombuffer(output.data, DType(names[output.dtype]).numpy).reshape(output.shape)
        for output in wire.outputs
    }
