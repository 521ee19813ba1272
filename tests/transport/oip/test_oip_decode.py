"""ModelInferRequest, read."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from open_inference import grpc_service_pb2 as oip
from serinus.core.criticality import Criticality
from serinus.core.dtypes import DType, dtype_of
from serinus.core.errors import InvalidInput, ServerError, Unsupported
from serinus.core.predictor import Request, Tensor
from serinus.transport.deadlines import Budgets
from serinus.transport.oip.decode import Decoded, InferDecoder
from serinus.transport.wire_limits import WireLimits
from tests.transport.tensors_of import outputs, raw

DECODER = InferDecoder(budgets=Budgets(), limits=WireLimits.of(oip.ModelInferRequest, 8))
Input = oip.ModelInferRequest.InferInputTensor
Output = oip.ModelInferRequest.InferRequestedOutputTensor


def decoded(wire: oip.ModelInferRequest, remaining_s: float | None = None) -> Decoded:
    return DECODER.decode(wire.SerializeToString(), now=1000.0, remaining_s=remaining_s)


def refused(wire: oip.ModelInferRequest) -> ServerError:
    with pytest.raises(ServerError) as refusal:
        decoded(wire)
    return refusal.value


def typed(dtype: str, shape: list[int], **contents: Any) -> oip.ModelInferRequest:
    """A request with one input in typed contents."""
    return oip.ModelInferRequest(inputs=[Input(name="x", datatype=dtype, shape=shape, contents=contents)])


def with_parameters(**values: Any) -> oip.ModelInferRequest:
    """A request with parameters; a value is (field, value)."""
    wire = oip.ModelInferRequest()
    for name, (field, value) in values.items():
        setattr(wire.parameters[name], field, value)
    return wire


def test_a_whole_request_is_read():
    """Every field lands where it belongs; the earlier of the two deadlines counts."""
    wire = oip.ModelInferRequest(
        model_name="tabular",
        model_version="3",
        id="r-1",
        inputs=[Input(name="x", datatype="INT16", shape=[2, 1])],
        outputs=[Output(name="b"), Output(name="a")],
        raw_input_contents=[b"\x01\x00\xff\xff"],
    )
    wire.parameters["timeout"].int64_param = 250_000
    wire.parameters["priority"].uint64_param = 3
    wire.parameters["tenant"].string_param = "acme"
    wire.parameters["criticality"].string_param = "critical"
    found = decoded(wire, remaining_s=5.0)
    inputs = {name: (tensor.dtype, tensor.tolist()) for name, tensor in found.request.inputs.items()}
    assert inputs == {"x": (np.dtype("<i2"), [[1], [-1]])}
    found.request.inputs = {}
    assert found == Decoded(
        Request(
            inputs={},
            deadline=1000.25,
            arrived=1000.0,
            model="tabular",
            version="3",
            outputs=("b", "a"),
            request_id="r-1",
            priority=3,
            criticality=Criticality.CRITICAL,
            tenant="acme",
            has_deadline=True,
            size_bytes=wire.ByteSize(),
        ),
        {},
    )


def test_an_empty_request_takes_every_default():
    """Whether such a model exists is not decided here."""
    request = Request(inputs={}, deadline=1060.0, arrived=1000.0, has_deadline=False)
    assert decoded(oip.ModelInferRequest()) == Decoded(request, {})


@given(outputs())
def test_raw_inputs_of_every_type_and_shape_are_read(tensors: dict[str, Tensor]):
    """Bit for bit, NaN included."""
    wire = oip.ModelInferRequest(
        inputs=[Input(name=name, datatype=dtype_of(tensor), shape=tensor.shape) for name, tensor in tensors.items()],
        raw_input_contents=[raw(tensor) for tensor in tensors.values()],
    )
    inputs = decoded(wire).request.inputs
    assert {name: (tensor.dtype, tensor.shape, raw(tensor)) for name, tensor in inputs.items()} == {
        name: (tensor.dtype, tensor.shape, raw(tensor)) for name, tensor in tensors.items()
    }


TYPED = {
    DType.BOOL: ("bool_contents", [True, False]),
    DType.INT8: ("int_contents", [-128, 127]),
    DType.INT16: ("int_contents", [-(2**15), 2**15 - 1]),
    DType.INT32: ("int_contents", [-(2**31), 2**31 - 1]),
    DType.INT64: ("int64_contents", [-(2**63), 2**63 - 1]),
    DType.UINT8: ("uint_contents", [0, 255]),
    DType.UINT16: ("uint_contents", [0, 2**16 - 1]),
    DType.UINT32: ("uint_contents", [0, 2**32 - 1]),
    DType.UINT64: ("uint64_contents", [0, 2**64 - 1]),
    DType.FP32: ("fp32_contents", [1.5, -np.inf]),
    DType.FP64: ("fp64_contents", [1e300, -0.0]),
    DType.BYTES: ("bytes_contents", [b"a\x00", b""]),
}


@pytest.mark.parametrize("dtype", TYPED)
@pytest.mark.parametrize("shape", [[2], [1, 2], [2, 1, 1]])
def test_typed_contents_of_every_type_are_read(dtype: DType, shape: list[int]):
    """Up to the least and the greatest value."""
    field, values = TYPED[dtype]
    tensor = decoded(typed(dtype, shape, **{field: values})).request.inputs["x"]
    assert (tensor.dtype, list(tensor.shape), tensor.ravel().tolist()) == (dtype.numpy, shape, values)


@pytest.mark.parametrize("dtype", TYPED)
def test_typed_contents_may_hold_nothing(dtype: DType):
    """Zero rows are a legal request, with contents or without."""
    for wire in (typed(dtype, [0, 3]), oip.ModelInferRequest(inputs=[Input(name="x", datatype=dtype, shape=[0, 3])])):
        tensor = decoded(wire).request.inputs["x"]
        assert (tensor.dtype, tensor.shape) == (dtype.numpy, (0, 3))


def test_typed_contents_may_be_a_scalar():
    """One value, no axes."""
    tensor = decoded(typed("FP32", [], fp32_contents=[2.5])).request.inputs["x"]
    assert (tensor.shape, tensor.item()) == ((), 2.5)


@pytest.mark.parametrize(
    ("dtype", "field", "values", "got"),
    [
        ("INT8", "int_contents", [0, 128], "0 to 128"),
        ("INT8", "int_contents", [-129], "-129 to -129"),
        ("INT16", "int_contents", [2**15], "32768 to 32768"),
        ("UINT8", "uint_contents", [256, 1], "1 to 256"),
        ("UINT16", "uint_contents", [2**16], "65536 to 65536"),
    ],
)
def test_a_value_that_the_type_cannot_hold_is_refused(dtype: str, field: str, values: list[int], got: str):
    """It is never wrapped around."""
    error = refused(typed(dtype, [len(values)], **{field: values}))
    message = f"input 'x': expected values that {dtype} can hold, got {got}"
    assert (type(error), error.reason, error.field, error.message) == (InvalidInput, "OUT_OF_RANGE", "x", message)


RAW = {"raw_input_contents": [bytes(4)]}
X = {"name": "x", "datatype": "FP32", "shape": [1]}


@pytest.mark.parametrize(
    ("wire", "reason", "field", "message"),
    [
        (
            oip.ModelInferRequest(inputs=[X, X], **RAW),
            "WRONG_RAW_COUNT",
            "",
            "raw_input_contents: expected 2 entries, one for each input, got 1",
        ),
        (
            oip.ModelInferRequest(**RAW),
            "WRONG_RAW_COUNT",
            "",
            "raw_input_contents: expected 0 entries, one for each input, got 1",
        ),
        (
            oip.ModelInferRequest(inputs=[{**X, "datatype": "FLOAT"}], **RAW),
            "UNKNOWN_DTYPE",
            "x",
            f"input 'x': expected a datatype of {', '.join(DType)}, got 'FLOAT'",
        ),
        (
            oip.ModelInferRequest(inputs=[X, X], raw_input_contents=[bytes(4)] * 2),
            "DUPLICATE_INPUT",
            "x",
            "input 'x': expected once, got it again",
        ),
        (
            oip.ModelInferRequest(inputs=[{**X, "contents": {"fp32_contents": [1]}}], **RAW),
            "RAW_AND_TYPED",
            "x",
            "input 'x': expected no contents beside raw_input_contents",
        ),
        (
            oip.ModelInferRequest(inputs=[X], raw_input_contents=[bytes(3)]),
            "WRONG_SIZE",
            "x",
            "input 'x': shape [1] of FP32: expected 4 bytes, got 3",
        ),
        (
            typed("FP16", [1], fp32_contents=[1.0]),
            "MUST_BE_RAW",
            "x",
            "input 'x': FP16 must come in raw_input_contents",
        ),
        (typed("BF16", [0]), "MUST_BE_RAW", "x", "input 'x': BF16 must come in raw_input_contents"),
        (
            typed("INT64", [1], int_contents=[1]),
            "WRONG_CONTENTS",
            "x",
            "input 'x': INT64: expected int64_contents, got int_contents",
        ),
        (
            typed("FP32", [1], fp32_contents=[1], bool_contents=[True]),
            "WRONG_CONTENTS",
            "x",
            "input 'x': FP32: expected fp32_contents, got bool_contents",
        ),
        (
            typed("FP32", [2], fp32_contents=[1]),
            "WRONG_SIZE",
            "x",
            "input 'x': shape [2]: expected 2 elements, got 1",
        ),
        (typed("FP32", []), "WRONG_SIZE", "x", "input 'x': shape []: expected 1 elements, got 0"),
        (
            typed("FP32", [-1], fp32_contents=[1]),
            "NEGATIVE_LENGTH",
            "x",
            "input 'x': expected lengths of at least 0, got shape [-1]",
        ),
        (
            typed("FP32", [2**20 + 1], fp32_contents=[0] * (2**20 + 1)),
            "TOO_MANY_ELEMENTS",
            "x",
            (
                "input 'x': expected at most 1048576 elements in fp32_contents, got 1048577; "
                "raw_input_contents holds any number"
            ),
        ),
        (oip.ModelInferRequest(id="i" * 257), "TEXT_TOO_LONG", "", "id: expected at most 256 bytes, got 257"),
        (oip.ModelInferRequest(id="\n"), "CONTROL_CHARACTER", "", "id: expected no control characters"),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(
    wire: oip.ModelInferRequest, reason: str, field: str, message: str
):
    """Each with the numbers of the case."""
    error = refused(wire)
    assert (type(error), error.reason, error.field, error.message) == (InvalidInput, reason, field, message)


@pytest.mark.parametrize(
    ("wire", "where"),
    [
        (oip.ModelInferRequest(inputs=[{**X, "parameters": {"shared_memory_region": {}}}]), "input 'x'"),
        (oip.ModelInferRequest(outputs=[{"name": "y", "parameters": {"shared_memory_region": {}}}]), "output 'y'"),
    ],
)
def test_shared_memory_is_not_supported(wire: oip.ModelInferRequest, where: str):
    """A client that asks for it is told what to do."""
    error = refused(wire)
    message = f"{where}: shared memory is not supported; send the tensor's bytes in the message"
    assert (type(error), error.message) == (Unsupported, message)


def test_outputs_may_be_asked_for_as_classes():
    """How many of each; the order of the outputs stays."""
    wire = oip.ModelInferRequest(
        outputs=[{"name": "b"}, {"name": "a", "parameters": {"classification": {"int64_param": 3}}}]
    )
    found = decoded(wire)
    assert (found.request.outputs, found.classify) == (("b", "a"), {"a": 3})


@pytest.mark.parametrize("value", [{"int64_param": 0}, {"int64_param": -1}, {"string_param": "3"}])
def test_a_number_of_classes_that_cannot_be_meant_is_refused(value: dict[str, Any]):
    """At least one, as a number."""
    error = refused(oip.ModelInferRequest(outputs=[{"name": "y", "parameters": {"classification": value}}]))
    got = value.get("int64_param", 0)
    message = f"output 'y': classification: expected at least 1, got {got}"
    assert (error.reason, error.field, error.message) == ("WRONG_PARAMETER", "y", message)


@pytest.mark.parametrize("name", ["timeout", "priority"])
@pytest.mark.parametrize(
    "value", [("string_param", "5"), ("int64_param", -1), ("bool_param", True), ("double_param", 1)]
)
def test_a_parameter_that_is_no_whole_number_is_refused(name: str, value: tuple[str, Any]):
    """It would be a different deadline than the caller believes."""
    error = refused(with_parameters(**{name: value}))
    message = f"parameter {name!r}: expected a whole number of at least 0"
    assert (error.reason, error.field, error.message) == ("WRONG_PARAMETER", name, message)


@pytest.mark.parametrize("field", ["int64_param", "uint64_param"])
def test_whole_numbers_of_either_kind_are_read(field: str):
    """Clients differ in what they send."""
    request = decoded(with_parameters(timeout=(field, 500_000), priority=(field, 2))).request
    assert (request.deadline, request.priority) == (1000.5, 2)


@pytest.mark.parametrize("name", ["triton_anything", "headers", "binary_data_output"])
def test_reserved_parameters_are_refused(name: str):
    """The protocol keeps them for itself."""
    error = refused(with_parameters(**{name: ("int64_param", 1)}))
    assert (error.reason, error.field) == ("RESERVED_PARAMETER", name)


@pytest.mark.parametrize(
    "name",
    ["sequence_id", "sequence_start", "sequence_end", "triton_enable_empty_final_response", "triton_final_response"],
)
def test_parameters_that_mean_nothing_here_are_ignored(name: str):
    """Triton's own clients send some of them with every call."""
    found = decoded(with_parameters(**{name: ("bool_param", True), "owner": ("string_param", "me")}))
    request = Request({}, 1060.0, arrived=1000.0, size_bytes=found.request.size_bytes, has_deadline=False)
    assert found == Decoded(request, {})


@pytest.mark.parametrize(
    ("name", "field", "value", "reason", "message"),
    [
        (
            "criticality",
            "string_param",
            "URGENT",
            "WRONG_VALUE",
            "parameter 'criticality': expected one of critical, default, sheddable, got 'URGENT'",
        ),
        ("criticality", "int64_param", 1, "WRONG_PARAMETER", "parameter 'criticality': expected text"),
        (
            "tenant",
            "string_param",
            "t" * 257,
            "TEXT_TOO_LONG",
            "parameter 'tenant': expected at most 256 bytes, got 257",
        ),
    ],
)
def test_a_class_or_tenant_that_is_none_is_refused(name: str, field: str, value: object, reason: str, message: str):
    """With what could stand there."""
    error = refused(with_parameters(**{name: (field, value)}))
    assert (error.reason, error.field, error.message) == (reason, name, message)


@pytest.mark.parametrize(
    "wire", [with_parameters(**{"a\nb": ("int64_param", 1)}), with_parameters(a=("string_param", "a\nb"))]
)
def test_parameters_that_would_hurt_a_log_are_refused(wire: oip.ModelInferRequest):
    """In the name or in the value."""
    assert refused(wire).reason == "CONTROL_CHARACTER"


def test_the_id_of_a_call_that_failed_is_read_if_it_can_be():
    """So that a client on a stream knows which call it was."""
    good = oip.ModelInferRequest(id="r-1", raw_input_contents=[b"stray"]).SerializeToString()
    assert (DECODER.id_of(good), DECODER.id_of(b"\xff")) == ("r-1", "")
