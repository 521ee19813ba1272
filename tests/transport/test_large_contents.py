"""Large contents taken out of a message: the call means what the parser would have read."""

from collections.abc import Callable

import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from open_inference import grpc_service_pb2 as oip
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Request
from serinus.core.raw_tensors import LARGE_BYTES
from serinus.transport.deadlines import Budgets
from serinus.transport.large_contents import Contents, take_contents, take_data
from serinus.transport.oip.decode import InferDecoder
from serinus.transport.predict_codec import PredictDecoder
from serinus.transport.wire import length_tag, nested
from serinus.transport.wire_limits import WireLimits
from serinus_api.v1 import predict_pb2 as pb

INPUTS, DATA, RAW = 3, 4, 7
SIZES = st.sampled_from([0, 8, LARGE_BYTES - 8, LARGE_BYTES, LARGE_BYTES + 8])
FILL = np.random.default_rng(0).bytes(2 * LARGE_BYTES)


def predict(sizes: list[int]) -> pb.PredictRequest:
    """A call with an input of each size."""
    inputs = [
        pb.Tensor(name=f"x{place}", dtype=pb.DATA_TYPE_UINT8, shape=[size], data=FILL[place : place + size])
        for place, size in enumerate(sizes)
    ]
    return pb.PredictRequest(model="m", inputs=inputs, outputs=["y"], timeout_us=5)


def put_back(message: bytes, around: Message, contents: dict[int, memoryview]) -> Message:
    """What was parsed, with what was taken out of it before."""
    for place, content in contents.items():
        if isinstance(around, pb.PredictRequest):
            assert around.inputs[place].data == b""
            around.inputs[place].data = bytes(content)
        elif isinstance(around, oip.ModelInferRequest):
            assert around.raw_input_contents[place] == b""
            around.raw_input_contents[place] = bytes(content)
        assert content.obj is message, "it is no copy"
    return around


def read_both_ways(
    asked: type[Message], message: bytes, take: Callable[..., tuple[bytes, Contents]], *fields: int
) -> tuple[object, object]:
    """What the parser makes of a message, and of what is left of it with the rest put back; None if it refuses."""
    try:
        whole = asked.FromString(message)
    except DecodeError:
        whole = None
    around, contents = take(message, *fields)
    try:
        return whole, put_back(message, asked.FromString(around), contents)
    except DecodeError:
        return whole, None


@given(st.lists(SIZES, max_size=5))
def test_a_call_is_what_it_was(sizes: list[int]):
    """Whatever the sizes; and only what is large is taken."""
    wire = predict(sizes)
    message = wire.SerializeToString()
    whole, found = read_both_ways(pb.PredictRequest, message, take_data, INPUTS, DATA)
    assert found == whole == wire
    taken = take_data(message, INPUTS, DATA)[1]
    assert {place: len(content) for place, content in taken.items()} == {
        place: size for place, size in enumerate(sizes) if size >= LARGE_BYTES
    }


@given(st.lists(SIZES, max_size=5))
def test_contents_that_stand_by_themselves(sizes: list[int]):
    """As the Open Inference Protocol has them."""
    wire = oip.ModelInferRequest(model_name="m", raw_input_contents=[FILL[:size] for size in sizes])
    whole, found = read_both_ways(oip.ModelInferRequest, wire.SerializeToString(), take_contents, RAW)
    assert found == whole == wire


FOUR_INPUTS = predict([8, LARGE_BYTES, 8, LARGE_BYTES]).SerializeToString()
PLACES = [*range(60), *range(LARGE_BYTES + 20, LARGE_BYTES + 120), *range(-30, 0)]  # around the contents, and in them


@given(st.integers(0, len(PLACES) - 1), st.integers(0, 255))
def test_a_byte_that_is_wrong(place: int, byte: int):
    """Of all that stands around the contents: both readings agree, on what it means or that it means nothing."""
    message = bytearray(FOUR_INPUTS)
    message[PLACES[place]] = byte
    whole, found = read_both_ways(pb.PredictRequest, bytes(message), take_data, INPUTS, DATA)
    assert found == whole


@pytest.mark.parametrize("cut", [1, 100, LARGE_BYTES, LARGE_BYTES + 40])
def test_a_message_that_is_cut_off_is_refused(cut: int):
    """Whether within a content or outside."""
    message = predict([LARGE_BYTES, LARGE_BYTES]).SerializeToString()[:-cut]
    assert read_both_ways(pb.PredictRequest, message, take_data, INPUTS, DATA) == (None, None)


LARGE = nested(length_tag(DATA), FILL[:LARGE_BYTES])
IN_INPUT = nested(length_tag(INPUTS), LARGE)
ODD = {
    "two contents in one tensor": nested(length_tag(INPUTS), LARGE + nested(length_tag(DATA), b"last")),
    "a group": b"\xa3\x06" + nested(length_tag(INPUTS), LARGE) + b"\xa4\x06" + nested(length_tag(INPUTS), LARGE),
    "more fields than one looks at": nested(length_tag(5), b"y") * 80 + nested(length_tag(INPUTS), LARGE),
    "a tag of five bytes": b"\x9a\x80\x80\x80\x00" + IN_INPUT[1:],
    "a tag of six bytes": b"\x9a\x80\x80\x80\x80\x00" + IN_INPUT[1:],
    "a tag that is too large": b"\x9a\x80\x80\x80\x10" + IN_INPUT[1:],
    "a length with bytes to spare": b"\x1a" + bytes([0x84, 0x80, 0x88, 0x80, 0x00]) + LARGE,
    "a field of another type": nested(length_tag(INPUTS), b"\x25abcd" + LARGE),
    "an unknown field": nested(length_tag(99), FILL) + nested(length_tag(INPUTS), LARGE),
}


REFUSED = {"a tag of six bytes", "a tag that is too large"}
LEFT_TO_THE_PARSER = {*REFUSED, "two contents in one tensor", "a group", "more fields than one looks at"}


@pytest.mark.parametrize("kind", ODD)
def test_odd_layouts(kind: str):
    """What no client writes is read all the same, as the parser reads it."""
    whole, found = read_both_ways(pb.PredictRequest, ODD[kind], take_data, INPUTS, DATA)
    assert found == whole
    assert (whole is None) == (kind in REFUSED)
    assert (not take_data(ODD[kind], INPUTS, DATA)[1]) == (kind in LEFT_TO_THE_PARSER)


BUDGETS = Budgets(default_s=60, longest_s=3600)


def decoded(message: bytes) -> Request:
    """A call as its service decodes it."""
    around, contents = take_data(message, INPUTS, DATA)
    return PredictDecoder(budgets=BUDGETS, max_inputs=4).decode(
        pb.PredictRequest.FromString(around), size_bytes=0, now=0.0, remaining_s=None, contents=contents
    )


def test_a_decoded_input_is_a_view_of_the_message():
    """Nothing of it is copied, and it cannot be written to."""
    wire = predict([LARGE_BYTES])
    message = wire.SerializeToString()
    (tensor,) = decoded(message).inputs.values()
    assert tensor.tobytes() == FILL[:LARGE_BYTES]
    assert np.shares_memory(tensor, np.frombuffer(message, np.uint8))
    assert not tensor.flags.writeable


def test_texts_of_a_large_input():
    """They are objects of their own: a view would keep the message for as long as any of them lives."""
    texts = [b"a" * LARGE_BYTES, b"b"]
    data = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    wire = pb.PredictRequest(inputs=[pb.Tensor(name="t", dtype=pb.DATA_TYPE_BYTES, shape=[2], data=data)])
    request = decoded(wire.SerializeToString())
    assert request.inputs["t"].tolist() == texts
    assert {type(text) for text in request.inputs["t"].tolist()} == {bytes}


@pytest.mark.parametrize("request_id", ["", "7"])
def test_the_open_inference_protocol(request_id: str):
    """A call with an id, which is never known again, and one without, which is the second time."""
    decoder = InferDecoder(budgets=BUDGETS, limits=WireLimits.of(oip.ModelInferRequest, 8))
    tensor = {"name": "x", "datatype": "UINT8", "shape": [LARGE_BYTES]}
    wire = oip.ModelInferRequest(
        model_name="m", id=request_id, inputs=[tensor], raw_input_contents=[FILL[:LARGE_BYTES]]
    )
    for _ in range(2):
        decoded = decoder.decode(wire.SerializeToString(), now=0.0, remaining_s=None)
        assert decoded.request.inputs["x"].tobytes() == FILL[:LARGE_BYTES]


def test_a_size_that_is_wrong_is_refused_as_ever():
    """The shape says what is expected."""
    wire = predict([LARGE_BYTES])
    wire.inputs[0].shape[:] = [LARGE_BYTES + 1]
    with pytest.raises(InvalidInput, match=f"expected {LARGE_BYTES + 1} bytes, got {LARGE_BYTES}") as refused:
        decoded(wire.SerializeToString())
    assert refused.value.reason == "WRONG_SIZE"
