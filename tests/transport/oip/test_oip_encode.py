"""Answers as ModelInferResponse, and as classes."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import dtype_of
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Request, Response, Route, Tensor
from serinus.core.raw_tensors import object_array
from serinus.core.traffic import Trigger
from serinus.core.version import ModelVersion, Version
from serinus.transport.oip.encode import InferEncoder, classes
from tests.transport.tensors_of import NAMES, outputs, raw, versions

VERSION = ModelVersion("m", Version(3), 3)


def as_protobuf_writes(request: Request, response: Response) -> oip.ModelInferResponse:
    return oip.ModelInferResponse(
        model_name=response.answered_by.model,
        model_version=str(response.answered_by.number),
        id=request.request_id,
        outputs=[
            oip.ModelInferResponse.InferOutputTensor(name=name, datatype=dtype_of(tensor), shape=tensor.shape)
            for name, tensor in response.outputs.items()
        ],
        raw_output_contents=[raw(tensor) for tensor in response.outputs.values()],
        parameters={name: oip.InferParameter(string_param=text) for name, text in unusual(response).items()},
    )


def unusual(response: Response) -> dict[str, str]:
    """What a client is told beyond the protocol: nothing, as long as nothing shares the model's calls out."""
    told = {}
    if response.route is not Route.USUAL:
        told["serinus_route"] = {Route.PINNED: "pinned", Route.RULE: "rule", Route.WEIGHT: "weight"}[response.route]
    if response.fallback is not None:
        told["serinus_fallback"] = response.fallback.value
    return told


FALLBACKS = st.none() | st.sampled_from(Trigger)
answers = st.tuples(NAMES, st.builds(Response, outputs(), versions(), route=st.sampled_from(Route), fallback=FALLBACKS))


@given(st.lists(answers, min_size=1, max_size=4))
def test_an_answer_parses_to_what_protobuf_would_have_written(made: list[tuple[str, Response]]):
    """One encoder for several answers, each written twice: what it keeps from one must be right for the next."""
    encoder = InferEncoder()
    for request_id, response in [*made, *made]:
        request = Request({}, 0.0, request_id=request_id)
        written = encoder.encode(request, response, {}, {})
        assert oip.ModelInferResponse.FromString(written) == as_protobuf_writes(request, response)


def test_strings_of_one_shape_keep_their_own_sizes():
    """Two answers that differ only in how long their strings are."""
    encoder = InferEncoder()
    for strings in ([b"a", b"bc"], [b"", b""], [b"d" * 300, b"e"]):
        response = Response({"y": object_array(strings)}, VERSION)
        written = encoder.encode(Request({}, 0.0), response, {}, {})
        assert oip.ModelInferResponse.FromString(written) == as_protobuf_writes(Request({}, 0.0), response)


def test_classes_stand_in_place_of_the_tensor_that_was_asked_for():
    """The other outputs stay tensors; types and shapes say which is which."""
    response = Response({"score": np.array([[0.25, 0.75]], np.float32), "rest": np.array([1], np.int64)}, VERSION)
    written = InferEncoder().encode(Request({}, 0.0), response, {"score": 1}, {"score": ("cat", "dog")})
    assert oip.ModelInferResponse.FromString(written) == oip.ModelInferResponse(
        model_name="m",
        model_version="3",
        outputs=[
            oip.ModelInferResponse.InferOutputTensor(name="score", datatype="BYTES", shape=[1, 1]),
            oip.ModelInferResponse.InferOutputTensor(name="rest", datatype="INT64", shape=[1]),
        ],
        raw_output_contents=[b"\x0e\x00\x00\x000.750000:1:dog", (1).to_bytes(8, "little")],
    )


@pytest.mark.parametrize(
    ("scores", "count", "labels", "texts"),
    [
        (np.array([[0.1, 0.7, 0.2]], np.float32), 2, (), [[b"0.700000:1", b"0.200000:2"]]),
        (np.array([0.1, 0.7, 0.2], np.float64), 9, (), [b"0.700000:1", b"0.200000:2", b"0.100000:0"]),
        (np.array([[1, 2], [4, 3]], np.int64), 1, ("cat", "dog"), [[b"2.000000:1:dog"], [b"4.000000:0:cat"]]),
        (np.array([[5, 5, 5]], np.uint8), 3, ("cat",), [[b"5.000000:0:cat", b"5.000000:1", b"5.000000:2"]]),
        (np.array([[np.nan, 1.0, -np.inf]], np.float16), 3, (), [[b"1.000000:1", b"-inf:2", b"nan:0"]]),
        (np.array([[False, True]]), 1, (), [[b"1.000000:1"]]),
        (np.array([[0.5, 2.0]], ml_dtypes.bfloat16), 1, (), [[b"2.000000:1"]]),
        (np.array([[[1.0, 2.0], [4.0, 3.0]]], np.float32), 2, (), [[b"4.000000:2", b"3.000000:3"]]),
        (np.array([255, 128], np.uint8), 1, (), [b"255.000000:0"]),
        (np.array([-128, 127], np.int8), 1, (), [b"127.000000:1"]),
    ],
)
def test_the_highest_scores_come_first(scores: Tensor, count: int, labels: tuple[str, ...], texts: list[object]):
    """Of each row, ties in order, with labels as far as there are any; NaN is no score."""
    answer = classes("y", scores, count, labels)
    assert (answer.dtype, answer.tolist()) == (np.dtype(object), texts)


@pytest.mark.parametrize(("shape", "answered"), [((0, 3), (0, 2)), ((0,), (0,)), ((2, 0), (2, 0)), ((0, 0), (0, 0))])
def test_no_rows_or_no_classes_answer_nothing(shape: tuple[int, ...], answered: tuple[int, ...]):
    """The shape says that there was nothing."""
    assert classes("y", np.empty(shape, np.float32), 2, ()).shape == answered


@pytest.mark.parametrize(("scores", "dtype"), [(object_array([b"a"]), "BYTES"), (np.array(0.5, np.float32), "FP32")])
def test_what_holds_no_scores_cannot_be_classified(scores: Tensor, dtype: str):
    """Strings, and a number without an axis."""
    with pytest.raises(InvalidInput) as refused:
        classes("y", scores, 2, ())
    message = f"output 'y': classification: expected numbers with at least one axis, got {dtype}"
    assert (refused.value.reason, refused.value.field, refused.value.message) == ("NOT_CLASSES", "y", message)
