"""Requests as bytes, and invented inputs."""

import numpy as np
import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.bench.messages import invented, oip_message, predict_message
from serinus_api.v1 import predict_pb2 as pb
from serinus_client import TensorInfo

X = np.arange(4, dtype=np.float32).reshape(2, 2)
TEXT = np.array([[b"a"], [b"bc"]], np.object_)


def test_a_request_of_ours_has_the_bytes_in_the_tensor():
    """With the version where one is named."""
    assert pb.PredictRequest.FromString(
        predict_message("m", {"x": X, "t": TEXT}, version="1.2.0")
    ) == pb.PredictRequest(
        model="m",
        version="1.2.0",
        inputs=[
            pb.Tensor(name="x", dtype=pb.DATA_TYPE_FP32, shape=[2, 2], data=X.tobytes()),
            pb.Tensor(name="t", dtype=pb.DATA_TYPE_BYTES, shape=[2, 1], data=b"\1\0\0\0a\2\0\0\0bc"),
        ],
    )


def test_a_request_of_the_open_protocol_has_them_beside():
    """In the order of the inputs."""
    tensor = oip.ModelInferRequest.InferInputTensor
    assert oip.ModelInferRequest.FromString(
        oip_message("m", {"x": X, "t": TEXT}, version="3")
    ) == oip.ModelInferRequest(
        model_name="m",
        model_version="3",
        inputs=[tensor(name="x", datatype="FP32", shape=[2, 2]), tensor(name="t", datatype="BYTES", shape=[2, 1])],
        raw_input_contents=[X.tobytes(), b"\1\0\0\0a\2\0\0\0bc"],
    )


def test_invented_inputs_fit_what_the_model_takes():
    """The first free axis is the rows; what may be left out is."""
    tensors = [
        TensorInfo("ids", "INT64", (-1, -1)),
        TensorInfo("x", "FP16", (-1, 3)),
        TensorInfo("t", "BYTES", (1,)),
        TensorInfo("spare", "FP32", (-1,), optional=True),
    ]
    arrays = invented(tensors, rows=2, length=5, rng=np.random.default_rng(0))
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "ids": ((2, 5), "int64"),
        "x": ((2, 3), "float16"),
        "t": ((1,), "object"),
    }
    assert set(arrays["ids"].flat) <= {0, 1}


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (TensorInfo("x", "BF16", (-1,)), "input 'x': cannot invent values of type BF16"),
        (TensorInfo("x", "FP32", (-1, 1 << 30)), r"input 'x': \[1, 1073741824\] is too large to be invented"),
    ],
)
def test_what_cannot_be_invented_is_said(tensor, sentence):
    """So that a person can give it."""
    with pytest.raises(ValueError, match=sentence):
        invented([tensor], rows=1, length=1, rng=np.random.default_rng(0))
