"""Messages whose size lies in their structure."""

import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.core.errors import InvalidInput
from serinus.transport.service import parse
from serinus.transport.wire_limits import WireLimits, check_text
from serinus_api.v1 import predict_pb2 as pb

FILL = bytes(1 << 17)  # makes a message long enough to be walked
INFER = WireLimits.of(oip.ModelInferRequest, 8)
PREDICT = WireLimits.of(pb.PredictRequest, 8)
FRAME = WireLimits.of(pb.PredictFrame, 8)


def refusal(
    limits: WireLimits, message: oip.ModelInferRequest | pb.PredictRequest | pb.PredictFrame
) -> tuple[str, ...]:
    with pytest.raises(InvalidInput) as refused:
        parse(type(message), message.SerializeToString(), limits)
    return refused.value.reason, refused.value.field, refused.value.message


def long(**fields: object) -> pb.PredictRequest:
    """A request that is walked."""
    return pb.PredictRequest(inputs=[pb.Tensor(data=FILL)], **fields)


@pytest.mark.parametrize(
    ("short", "walked", "reason", "field"),
    [
        (pb.PredictRequest(inputs=[pb.Tensor()] * 9), None, "TOO_MANY_INPUTS", "inputs"),
        (pb.PredictRequest(outputs=["y"] * 9), long(outputs=["y"] * 9), "TOO_MANY_ENTRIES", "outputs"),
    ],
)
def test_too_many_parts_are_refused_short_or_long(short, walked, reason: str, field: str):
    """A short message is counted after it is parsed and says the number; a long one is never parsed."""
    assert refusal(PREDICT, short) == (reason, field, f"{field}: expected at most 8 entries, got 9")
    if walked is not None:
        assert refusal(PREDICT, walked) == (reason, field, f"{field}: expected at most 8 entries, got more")


def test_too_many_inputs_of_a_long_message_are_refused_before_it_is_parsed():
    """The ninth is where the walk ends."""
    message = pb.PredictRequest(inputs=[pb.Tensor(data=FILL), *[pb.Tensor()] * 8])
    expected = ("TOO_MANY_INPUTS", "inputs", "inputs: expected at most 8 entries, got more")
    assert refusal(PREDICT, message) == expected


@pytest.mark.parametrize("fields", [{"raw_input_contents": [b""] * 9}, {"outputs": [{}] * 9}, {"inputs": [{}] * 9}])
def test_too_many_parts_of_an_infer_request_are_refused(fields: dict[str, list[object]]):
    """Texts, bytes and messages alike."""
    (name,) = fields
    reason = "TOO_MANY_INPUTS" if "input" in name else "TOO_MANY_ENTRIES"
    expected = (reason, name, f"{name}: expected at most 8 entries, got 9")
    assert refusal(INFER, oip.ModelInferRequest(**fields)) == expected


def test_a_map_has_entries_too():
    """Parameters count as other repeated fields do."""
    message = oip.ModelInferRequest()
    for index in range(9):
        message.parameters[f"p{index}"].int64_param = 1
    expected = ("TOO_MANY_ENTRIES", "parameters", "parameters: expected at most 8 entries, got 9")
    assert refusal(INFER, message) == expected


@pytest.mark.parametrize("lengths", [[1] * 321, [2**62] * 40])
def test_a_shape_of_too_many_axes_is_refused_where_the_message_is_walked(lengths: list[int]):
    """By its bytes: 32 lengths take 320 at most."""
    message = pb.PredictRequest(inputs=[pb.Tensor(data=FILL, shape=lengths)])
    assert refusal(PREDICT, message) == ("TOO_MANY_AXES", "", "shape: expected at most 32 axes, got more")


def test_a_name_of_64_kib_is_no_name():
    """Nothing repeats such a text in a status or a log."""
    expected = ("TEXT_TOO_LONG", "model", "model: expected at most 65536 bytes, got 65537")
    assert refusal(PREDICT, long(model="m" * 65_537)) == expected


def test_more_fields_than_any_honest_message_has_are_refused():
    """Counted at every depth, so that small lists inside small lists do not add up to hours."""
    inner = pb.Call(request=pb.PredictRequest(inputs=[pb.Tensor(name="x")] * 8, outputs=["y"] * 8))
    message = pb.PredictFrame(calls=[inner] * 2000)
    expected = ("TOO_MANY_ENTRIES", "message", "message: expected at most 32768 entries, got more")
    assert refusal(FRAME, message) == expected


@pytest.mark.parametrize("calls", [2049, 10_000])
def test_a_frame_of_too_many_calls_is_refused(calls: int):
    """Short or long."""
    reason, field, _ = refusal(FRAME, pb.PredictFrame(calls=[pb.Call(id=2**60)] * calls))
    assert (reason, field) == ("TOO_MANY_ENTRIES", "calls")


@pytest.mark.parametrize(
    "message",
    [
        pb.PredictRequest(),
        pb.PredictRequest(inputs=[pb.Tensor(data=FILL, shape=[2**62] * 32)] * 8, outputs=["y" * 60_000] * 8),
        long(model="m" * 65_536),
        oip.ModelInferRequest(raw_input_contents=[FILL] * 8, inputs=[{"shape": [1] * 32}] * 8),
        pb.PredictFrame(calls=[pb.Call(id=1, request=long())] * 100, cancel=range(100)),
    ],
)
def test_what_is_within_all_limits_is_parsed(message):
    """At the limits themselves, and long."""
    limits = WireLimits.of(type(message), 8)
    assert parse(type(message), message.SerializeToString(), limits) == message


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_long_message_that_is_cut_off_cannot_be_parsed(cut: int):
    """The walk leaves it to the parser, and ends."""
    content = long(model="m").SerializeToString()[:-cut]
    with pytest.raises(InvalidInput) as refused:
        parse(pb.PredictRequest, content, PREDICT)
    assert (refused.value.reason, refused.value.message) == (
        "MALFORMED_REQUEST",
        "cannot parse the message as a PredictRequest",
    )


@pytest.mark.parametrize(
    "garbage", [b"\xff" * (1 << 17), b"\x0b" * (1 << 17), b"\x0f" * (1 << 17), b"\x80" * (1 << 17)]
)
def test_long_garbage_is_refused(garbage: bytes):
    """Endless numbers, groups without an end, wire types that do not exist."""
    with pytest.raises(InvalidInput) as refused:
        parse(pb.PredictRequest, garbage, PREDICT)
    assert refused.value.reason in {"MALFORMED_REQUEST", "TOO_MANY_ENTRIES", "TEXT_TOO_LONG"}


def test_unknown_fields_of_every_wire_type_are_skipped():
    """Another program's newer message still means what we know of it."""
    unknown = (
        b"\xa0\x06\x05" + b"\xa1\x06" + bytes(8) + b"\xa2\x06\x02ab" + b"\xa5\x06" + bytes(4) + b"\xa3\x06\xa4\x06"
    )
    message = long(model="m")
    parsed = parse(pb.PredictRequest, unknown + message.SerializeToString(), PREDICT)
    parsed.DiscardUnknownFields()
    assert parsed == message


@pytest.mark.parametrize("text", ["", "a" * 256, "ü" * 128, "tab is none\u0085", "\ud800"])
def test_text_that_hurts_nobody_is_welcome(text: str):
    """Up to 256 bytes."""
    check_text("id", text)


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("a" * 257, "TEXT_TOO_LONG", "id: expected at most 256 bytes, got 257"),
        ("ü" * 129, "TEXT_TOO_LONG", "id: expected at most 256 bytes, got 258"),
        ("a\x00", "CONTROL_CHARACTER", "id: expected no control characters"),
        ("\x1b[2J", "CONTROL_CHARACTER", "id: expected no control characters"),
        ("\x7f", "CONTROL_CHARACTER", "id: expected no control characters"),
    ],
)
def test_text_that_would_hurt_a_log_is_refused(text: str, reason: str, message: str):
    """Too long, or obeyed by a terminal."""
    with pytest.raises(InvalidInput) as refused:
        check_text("id", text)
    assert (refused.value.reason, refused.value.message) == (reason, message)
