"""The messages of serinus.v1.PredictService, read and written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.criticality import Criticality
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Request, Response, Route, Tensor
from serinus.core.traffic import Trigger
from serinus.core.version import ModelVersion, Version
from serinus.transport.deadlines import Budgets
from serinus.transport.predict_codec import FROM_WIRE, TO_WIRE, PredictDecoder, PredictEncoder
from serinus_api.v1 import predict_pb2 as pb
from tests.transport.tensors_of import NAMES, SECONDS, filled, outputs, raw, versions

DECODER = PredictDecoder(budgets=Budgets(default_s=60, longest_s=3600), max_inputs=4)
ROUTES = {
    Route.USUAL: pb.ROUTE_UNSPECIFIED,
    Route.PINNED: pb.ROUTE_PINNED,
    Route.RULE: pb.ROUTE_RULE,
    Route.WEIGHT: pb.ROUTE_WEIGHT,
}
REASONS = {
    None: pb.FALLBACK_REASON_UNSPECIFIED,
    Trigger.ERROR: pb.FALLBACK_REASON_ERROR,
    Trigger.TIMEOUT: pb.FALLBACK_REASON_TIMEOUT,
    Trigger.OVERLOAD: pb.FALLBACK_REASON_OVERLOAD,
    Trigger.INVALID: pb.FALLBACK_REASON_INVALID,
    Trigger.BREAKER: pb.FALLBACK_REASON_BREAKER,
}


def decoded(wire: pb.PredictRequest, *, remaining_s: float | None = None) -> Request:
    return DECODER.decode(wire, size_bytes=123, now=1000.0, remaining_s=remaining_s)


def as_protobuf_writes(request: Request, response: Response) -> pb.PredictResponse:
    return pb.PredictResponse(
        model=response.answered_by.model,
        version=str(response.answered_by.version),
        outputs=[
            pb.Tensor(name=name, dtype=dtype_number(tensor), shape=tensor.shape, data=raw(tensor))
            for name, tensor in response.outputs.items()
        ],
        request_id=request.request_id,
        fallback=response.fallback is not None,
        queue_us=int(response.queue_s * 1e6),
        compute_us=int(response.compute_s * 1e6),
        batch_rows=response.batch_rows,
        route=ROUTES[response.route],
        fallback_reason=REASONS[response.fallback],
    )


def dtype_number(tensor: Tensor) -> "pb.DataType.ValueType":
    (dtype,) = (dtype for dtype in DType if dtype.numpy == tensor.dtype)
    return pb.DataType.Value(f"DATA_TYPE_{dtype}")


@st.composite
def responses(draw: st.DrawFn) -> Response:
    return Response(
        draw(outputs()),
        draw(versions()),
        queue_s=draw(SECONDS),
        compute_s=draw(SECONDS),
        batch_rows=draw(st.integers(0, 2**32 - 1)),
        route=draw(st.sampled_from(Route)),
        fallback=draw(st.none() | st.sampled_from(Trigger)),
    )


@given(st.lists(st.tuples(NAMES, responses()), min_size=1, max_size=4))
def test_an_answer_parses_to_what_protobuf_would_have_written(answers: list[tuple[str, Response]]):
    """One encoder for several answers, each written twice: what it keeps from one must be right for the next."""
    encoder = PredictEncoder()
    for request_id, response in [*answers, *answers]:
        request = Request({}, 0.0, request_id=request_id)
        written = encoder.encode(request, response)
        assert pb.PredictResponse.FromString(written) == as_protobuf_writes(request, response)


def test_strings_of_one_shape_keep_their_own_sizes():
    """Two answers that differ only in how long their strings are."""
    encoder = PredictEncoder()
    for strings in ([b"a", b"bc"], [b"", b""], [b"d" * 300, b"e"]):
        response = Response({"y": np.array(strings, np.object_)}, ModelVersion("m", Version(1), 1))
        request = Request({}, 0.0)
        assert pb.PredictResponse.FromString(encoder.encode(request, response)) == as_protobuf_writes(request, response)


def test_every_element_type_has_a_number_of_its_own():
    """And no number stands for what is unspecified."""
    numbers = {DType[name.removeprefix("DATA_TYPE_")]: number for name, number in pb.DataType.items() if number}
    assert numbers == TO_WIRE
    assert {number: dtype for dtype, number in numbers.items()} == FROM_WIRE


def test_a_whole_request_is_read():
    """Every field lands where it belongs; the earlier of the two deadlines counts."""
    wire = pb.PredictRequest(
        model="tabular",
        version="1.2.0",
        inputs=[pb.Tensor(name="x", dtype=pb.DATA_TYPE_INT16, shape=[2, 1], data=b"\x01\x00\xff\xff")],
        outputs=["b", "a"],
        request_id="r-1",
        routing_key="customer 7",
        priority=3,
        timeout_us=250_000,
        criticality=pb.CRITICALITY_SHEDDABLE,
        tenant="acme",
    )
    request = decoded(wire, remaining_s=5.0)
    inputs = {name: (tensor.dtype, tensor.tolist()) for name, tensor in request.inputs.items()}
    assert inputs == {"x": (np.dtype("<i2"), [[1], [-1]])}
    request.inputs = {}
    assert request == Request(
        inputs={},
        deadline=1000.25,
        arrived=1000.0,
        model="tabular",
        version="1.2.0",
        outputs=("b", "a"),
        request_id="r-1",
        routing_key="customer 7",
        priority=3,
        criticality=Criticality.SHEDDABLE,
        tenant="acme",
        size_bytes=123,
        has_deadline=True,
    )


def test_an_empty_request_takes_every_default():
    """The default budget is its deadline; whether such a model exists is not decided here."""
    assert decoded(pb.PredictRequest()) == Request(
        inputs={}, deadline=1060.0, arrived=1000.0, size_bytes=123, has_deadline=False
    )


@pytest.mark.parametrize(("remaining_s", "timeout_us", "has"), [(None, 0, False), (5.0, 0, True), (None, 1, True)])
def test_a_deadline_is_the_callers_or_the_servers(remaining_s: float | None, timeout_us: int, has: object):
    """Who said nothing of how long it waits may wait long, and may have gone."""
    assert decoded(pb.PredictRequest(timeout_us=timeout_us), remaining_s=remaining_s).has_deadline is has


@given(outputs())
def test_inputs_of_every_type_and_shape_are_read(tensors: dict[str, Tensor]):
    """Bit for bit, NaN included."""
    wire = pb.PredictRequest(
        inputs=[
            pb.Tensor(name=name, dtype=dtype_number(tensor), shape=tensor.shape, data=raw(tensor))
            for name, tensor in tensors.items()
        ]
    )
    inputs = decoded(wire).inputs
    assert {name: (tensor.dtype, tensor.shape, raw(tensor)) for name, tensor in inputs.items()} == {
        name: (tensor.dtype, tensor.shape, raw(tensor)) for name, tensor in tensors.items()
    }


def x(**fields: object) -> pb.Tensor:
    return pb.Tensor(**{"name": "x", "dtype": pb.DATA_TYPE_FP32, "shape": [1], "data": bytes(4), **fields})


@pytest.mark.parametrize(
    ("wire", "reason", "field", "message"),
    [
        (
            pb.PredictRequest(inputs=[x(name=str(n)) for n in range(5)]),
            "TOO_MANY_INPUTS",
            "",
            "expected at most 4 inputs, got 5",
        ),
        (
            pb.PredictRequest(criticality=7),
            "WRONG_VALUE",
            "criticality",
            "criticality: expected one of 1 (critical), 2 (default), 3 (sheddable), got number 7",
        ),
        (
            pb.PredictRequest(tenant="t" * 257),
            "TEXT_TOO_LONG",
            "tenant",
            "tenant: expected at most 256 bytes, got 257",
        ),
        (pb.PredictRequest(inputs=[x(), x()]), "DUPLICATE_INPUT", "x", "input 'x': expected once, got it again"),
        (
            pb.PredictRequest(inputs=[x(dtype=0)]),
            "UNKNOWN_DTYPE",
            "x",
            f"input 'x': expected a dtype of {', '.join(DType)}, got number 0",
        ),
        (
            pb.PredictRequest(inputs=[x(dtype=99)]),
            "UNKNOWN_DTYPE",
            "x",
            f"input 'x': expected a dtype of {', '.join(DType)}, got number 99",
        ),
        (
            pb.PredictRequest(inputs=[x(data=bytes(3))]),
            "WRONG_SIZE",
            "x",
            "input 'x': shape [1] of FP32: expected 4 bytes, got 3",
        ),
        (
            pb.PredictRequest(request_id="ü" * 129),
            "TEXT_TOO_LONG",
            "",
            "request_id: expected at most 256 bytes, got 258",
        ),
        (
            pb.PredictRequest(request_id="a\nb"),
            "CONTROL_CHARACTER",
            "",
            "request_id: expected no control characters",
        ),
        (
            pb.PredictRequest(routing_key="k" * 257),
            "TEXT_TOO_LONG",
            "",
            "routing_key: expected at most 256 bytes, got 257",
        ),
        (
            pb.PredictRequest(routing_key="\x7f"),
            "CONTROL_CHARACTER",
            "",
            "routing_key: expected no control characters",
        ),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(wire: pb.PredictRequest, reason: str, field: str, message: str):
    """Each with the numbers of the case."""
    with pytest.raises(InvalidInput) as refusal:
        decoded(wire)
    assert (refusal.value.reason, refusal.value.field, refusal.value.message) == (reason, field, message)


def test_ids_of_256_bytes_are_welcome():
    """The longest that are allowed."""
    wire = pb.PredictRequest(request_id="i" * 256, routing_key="ü" * 128)
    assert (decoded(wire).request_id, decoded(wire).routing_key) == ("i" * 256, "ü" * 128)


def test_an_input_is_a_view_of_the_received_bytes():
    """Nothing is copied, and nobody can write to it."""
    content = filled(DType.FP32, (1000,), 1).tobytes()
    tensor = decoded(pb.PredictRequest(inputs=[x(shape=[1000], data=content)])).inputs["x"]
    assert not tensor.flags.writeable
    assert not tensor.flags.owndata
