"""Predict with broken input: the mistakes that its message can hold, alone and in a frame."""

from typing import Any

import grpc
import pytest

from serinus.core.dtypes import DType
from serinus_api.v1 import predict_pb2 as pb
from tests.end_to_end.faults.messages import (
    GOOD_PREDICT,
    PREDICT,
    PREDICT_STREAM,
    ROW,
    f32,
    predict,
    predict_arrays,
    tensor,
)
from tests.support.invariants import World, assert_refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LONG = "n" * 257

BROKEN = [
    pytest.param(predict("tabular", tensor(dtype=0, data=ROW)), "UNKNOWN_DTYPE", "BOOL, UINT8", "x", id="row 5: none"),
    pytest.param(
        predict("tabular", tensor(dtype=99, data=ROW)), "UNKNOWN_DTYPE", "number 99", "x", id="row 5: no such"
    ),
    pytest.param(
        predict("tabular", tensor(dtype=DType.FP64, data=ROW * 2)),
        "WRONG_DTYPE",
        "input 'x': expected FP32, got FP64",
        "x",
        id="row 6: another type than the model's",
    ),
    pytest.param(
        predict("tabular", tensor(shape=(8,), data=ROW)), "WRONG_SHAPE", "[-1, 8], got [8]", "x", id="row 7: rank"
    ),
    pytest.param(
        predict("tabular", tensor(shape=(2, 5), data=f32(*range(10)))),
        "WRONG_SHAPE",
        "[-1, 8], got [2, 5]",
        "x",
        id="row 7: a fixed length",
    ),
    pytest.param(
        predict("tabular", tensor(shape=(1,) * 65)), "TOO_MANY_AXES", "32 axes, got 65", "x", id="row 7: 65 axes"
    ),
    pytest.param(
        predict("tabular", tensor(shape=(-1, 8), data=ROW)), "NEGATIVE_LENGTH", "[-1, 8]", "x", id="row 8: -1"
    ),
    pytest.param(
        predict("tabular", tensor(shape=(1 << 33, 1 << 33), data=ROW)),
        "SHAPE_TOO_LARGE",
        "at most 2147483647",
        "x",
        id="row 9: 2^66",
    ),
    pytest.param(
        predict("tabular", tensor(shape=((1 << 63) - 1,), data=ROW)),
        "SHAPE_TOO_LARGE",
        "at most 2147483647",
        "x",
        id="row 9: 2^63 - 1",
    ),
    pytest.param(
        predict("tabular", tensor(shape=(1 << 27, 8))),
        "WRONG_SIZE",
        "expected 4294967296 bytes, got 0",
        "x",
        id="row 10: huge, no bytes",
    ),
    pytest.param(
        predict("tabular", tensor(data=ROW + b"\0")), "WRONG_SIZE", "expected 32 bytes, got 33", "x", id="row 12: long"
    ),
    pytest.param(
        predict("tabular", tensor(data=ROW[:-1])), "WRONG_SIZE", "expected 32 bytes, got 31", "x", id="row 12: short"
    ),
    pytest.param(
        predict("bool", tensor(dtype=DType.BOOL, shape=(1, 2), data=b"\x00\x02")),
        "WRONG_VALUE",
        "bytes 0 or 1",
        "x",
        id="row 16: 2 as BOOL",
    ),
    pytest.param(
        predict("two", tensor("a", shape=(1, 2), data=f32(1, 2))),
        "MISSING_INPUT",
        "missing inputs ['b']: expected ['a', 'b']",
        "b",
        id="row 18: missing",
    ),
    pytest.param(
        predict("tabular", tensor(data=ROW), tensor(data=ROW)),
        "DUPLICATE_INPUT",
        "input 'x': expected once",
        "x",
        id="row 19: twice",
    ),
    pytest.param(
        predict("tabular", tensor(data=ROW), tensor("z", data=ROW)),
        "UNKNOWN_INPUT",
        "unknown inputs ['z']",
        "z",
        id="row 20: one more",
    ),
    pytest.param(
        predict("tabular", tensor(data=ROW), outputs=["z"]), "UNKNOWN_OUTPUT", "['z']", "z", id="row 21: no such output"
    ),
    pytest.param(
        predict("tabular", tensor(data=ROW), outputs=["y", "y"]),
        "DUPLICATE_OUTPUT",
        "got 2 times",
        "y",
        id="row 21: an output twice",
    ),
    pytest.param(
        predict("strict", tensor(shape=(1, 2), data=f32(1, float("inf")))),
        "NOT_FINITE",
        "expected finite values",
        "x",
        id="row 22: infinity where the model refuses it",
    ),
    pytest.param(
        predict("text", tensor(dtype=DType.BYTES, shape=(1, 2), data=b"\xff\xff\xff\xffabcdefgh")),
        "WRONG_SIZE",
        "a length prefix of 4294967295",
        "x",
        id="row 24: a prefix beyond the end",
    ),
    pytest.param(
        predict("text", tensor(dtype=DType.BYTES, shape=(1, 2), data=b"\x01\0\0\0\xff\0\0\0\0")),
        "INVALID_UTF8",
        "expected UTF-8",
        "x",
        id="row 25: no text",
    ),
    pytest.param(
        predict("tabular", request_id="a\nb"), "CONTROL_CHARACTER", "request_id", None, id="row 33: a line feed"
    ),
    pytest.param(predict("tabular", request_id=LONG), "TEXT_TOO_LONG", "request_id", None, id="row 33: a long id"),
    pytest.param(predict("tabular", routing_key="\0"), "CONTROL_CHARACTER", "routing_key", None, id="row 33: NUL"),
    pytest.param(
        predict("tabular", routing_key="k" * (1 << 20)), "TEXT_TOO_LONG", "routing_key", None, id="row 33: 1 MB"
    ),
    pytest.param(
        predict("tabular", *[tensor(f"x{n}", data=ROW) for n in range(65)]),
        "TOO_MANY_INPUTS",
        "inputs: expected at most 64 entries, got 65",
        None,
        id="row 3: 65 inputs",
    ),
]


@pytest.mark.parametrize(("message", "reason", "words", "field"), BROKEN)
async def test_a_call_that_breaks_a_rule(world: World, message: bytes, reason: str, words: str, field: str | None):
    """Each broken rule has its own word, and the sentence names the input, what was expected and what came."""
    async with world.standing():
        answer = await world.call(PREDICT, message)
    assert_refused(answer, INVALID, reason, words, field=field)


async def test_no_rows_are_answered_with_no_rows(world: World):
    """Row 11: zero rows are a batch like any other."""
    async with world.standing():
        answer = await world.call(PREDICT, predict("tabular", tensor(shape=(0, 8))))
    assert predict_arrays(pb.PredictResponse.FromString(answer.content))["y"].shape == (0, 4)


async def test_broken_calls_in_a_frame_fail_alone(world: World):
    """Every row of the table in one frame, a good call before each: only the broken ones fail, as if alone."""
    rows: list[Any] = [row.values for row in BROKEN]
    frame = pb.PredictFrame()
    for number, (message, *_) in enumerate(rows):
        frame.calls.add(id=2 * number, request=pb.PredictRequest.FromString(GOOD_PREDICT))
        frame.calls.add(id=2 * number + 1, request=pb.PredictRequest.FromString(message))
    # The one that is refused before it is parsed, because it is long, is refused with all that its frame holds.
    long = [call.id for call in frame.calls if call.ByteSize() > 1 << 16]
    for number in reversed(range(len(frame.calls))):
        if frame.calls[number].id in long:
            del frame.calls[number]
    found: dict[int, pb.Reply] = {}
    async with world.standing():
        stream = world.channel.stream_stream(PREDICT_STREAM)(timeout=30)
        await stream.write(frame.SerializeToString())
        await stream.done_writing()
        async for reply_frame in stream:
            for reply in pb.ReplyFrame.FromString(reply_frame).replies:
                assert reply.id not in found, "a call ends once"
                found[reply.id] = reply
                failed = reply.WhichOneof("outcome") == "error"
                world.count(INVALID if failed else grpc.StatusCode.OK)
    assert {call.id for call in frame.calls} == set(found)
    for call_id, reply in found.items():
        if call_id % 2 == 0:
            assert predict_arrays(reply.response)["y"].shape == (1, 4)
        else:
            _, reason, words, _ = rows[call_id // 2]
            assert (reply.error.code, reply.error.reason) == (INVALID.value[0], reason)
            assert words in reply.error.message or reason == "TOO_MANY_INPUTS"
