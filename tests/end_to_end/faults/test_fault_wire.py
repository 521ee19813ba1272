"""Bytes that are no messages, messages that are all structure, and messages that are too long."""

import gzip
import random
import zlib
from pathlib import Path

import grpc
import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.transport.wire import length_tag, nested, number_tag, varint
from serinus_api.v1 import predict_pb2 as pb
from tests.end_to_end.faults.messages import (
    GOOD_INFER,
    GOOD_PREDICT,
    INFER,
    INFER_STREAM,
    PREDICT,
    PREDICT_STREAM,
    ROW,
    infer,
    infer_input,
    predict,
    tensor,
)
from tests.end_to_end.faults.raw_h2 import prefixed, raw_call
from tests.support.invariants import World, assert_no_leak, assert_refused
from tests.support.server import refused_start

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
MIB = 1 << 20
BOTH = pytest.mark.parametrize(
    ("method", "good"), [(INFER, GOOD_INFER), (PREDICT, GOOD_PREDICT)], ids=["oip", "serinus"]
)
CONTROL = [
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/RepositoryModelLoad",
    "/inference.GRPCInferenceService/LogSettings",
    "/serinus.v1.PredictService/GetModelInfo",
    "/serinus.v1.AdminService/GetServerStatus",
    "/grpc.health.v1.Health/Check",
]


@pytest.mark.parametrize("method", [INFER, PREDICT, *CONTROL])
async def test_random_bytes(world: World, method: str):
    """Row 1: what is no message is answered by us and not by the text of an exception."""
    rng = random.Random(method)
    async with world.standing():
        for size in (1, 7, 100, 5000, 100_000):
            # 0xff first: the tag of no field, so that not even a short one is a message by chance.
            garbage = b"\xff" * 11 + rng.randbytes(size)
            answer = await world.call(method, garbage, is_counted=method in {INFER, PREDICT})
            assert_refused(answer, INVALID, "MALFORMED_REQUEST", "cannot parse the message as a ")


@pytest.mark.parametrize(
    "method",
    [
        PREDICT_STREAM,
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_random_bytes_in_a_stream(world: World, method: str):
    """Row 1: a stream with a message that is none ends with the same refusal."""
    async with world.standing():
        stream = world.channel.stream_stream(method)(timeout=30)
        await stream.write(b"\xff" * 20)
        code, details = await stream.code(), await stream.details()
        if method == PREDICT_STREAM:
            world.count(code)
    assert code is INVALID
    assert details.startswith("MALFORMED_REQUEST: cannot parse the message as a ")


@BOTH
async def test_a_message_cut_short(world: World, method: str, good: bytes):
    """Row 1: every prefix of a message is none, or another message: what came before the id is all that is needed."""
    async with world.standing():
        codes = {(await world.call(method, good[:length])).code for length in range(len(good))}
    assert codes <= {INVALID, grpc.StatusCode.OK}


def _nested_groups(depth: int) -> bytes:
    start, end = varint(100 << 3 | 3), varint(100 << 3 | 4)
    return start * depth + end * depth


@BOTH
@pytest.mark.parametrize("depth", [101, 5000, 100_000])
async def test_groups_in_groups(world: World, method: str, good: bytes, depth: int):
    """Row 2: the parser's limit of depth holds, and the walk before it does not recurse into what it does not know."""
    async with world.standing():
        answer = await world.call(method, _nested_groups(depth) + good)
    reason = "TOO_MANY_ENTRIES" if depth > 1 << 15 else "MALFORMED_REQUEST"
    assert_refused(answer, INVALID, reason)


async def test_a_parser_without_a_limit_of_depth_is_not_started(tmp_path: Path):
    """Row 2: a server whose protobuf is not upb says so and does not start."""
    code, errors = await refused_start(tmp_path, "", PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python")
    assert (code, errors.splitlines()[-1]) == (
        1,
        (
            "error: protobuf runs on its 'python' implementation: expected 'upb'; unset "
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install a protobuf wheel for this platform"
        ),
    )


def _empty(field: int, size: int = 4 * MIB) -> bytes:
    """A field that is there as often as `size` bytes can say, and empty."""
    return (length_tag(field) + b"\0") * (size // 2)


def _keys(tag: bytes, count: int) -> bytes:
    """Entries of a map with keys of their own."""
    return b"".join(nested(tag, b"\x0a" + varint(len(key)) + key) for key in (b"%x" % n for n in range(count)))


PARTS = [
    pytest.param(INFER, _empty(5), "inputs", id="oip inputs"),
    pytest.param(INFER, _empty(6), "outputs", id="oip outputs"),
    pytest.param(INFER, _empty(7), "raw_input_contents", id="oip raw tensors"),
    pytest.param(INFER, _empty(4), "parameters", id="oip parameters"),
    pytest.param(INFER, _keys(length_tag(4), 400_000), "parameters", id="oip parameters with keys"),
    pytest.param(INFER, nested(length_tag(5), _keys(length_tag(4), 400_000)), "parameters", id="oip input parameters"),
    pytest.param(INFER, nested(length_tag(6), _keys(length_tag(2), 400_000)), "parameters", id="oip output parameters"),
    pytest.param(INFER, nested(length_tag(5), b"\x1a" + varint(4 * MIB) + bytes(4 * MIB)), "shape", id="oip axes"),
    pytest.param(INFER, nested(length_tag(5), b"\x18\x01" * (2 * MIB)), "shape", id="oip axes one by one"),
    pytest.param(
        INFER,
        nested(length_tag(5), nested(length_tag(5), _empty(8))),
        "bytes_contents",
        id="oip typed strings",
    ),
    pytest.param(
        INFER,
        nested(length_tag(5), nested(length_tag(5), b"\x10\x01" * (2 * MIB))),
        "message",
        id="oip typed one by one",
    ),
    pytest.param(
        INFER, varint(99 << 3 | 3) + varint(99 << 3 | 4) + _empty(5), "inputs", id="oip inputs behind a group"
    ),
    pytest.param(INFER, b"".join(number_tag(n) + b"\0" for n in range(100, MIB)), "message", id="oip unknown fields"),
    pytest.param(INFER, _empty(5, 1 << 16), "inputs", id="oip inputs in a short message"),
    pytest.param(INFER, GOOD_INFER + _empty(6, 1 << 15), "outputs", id="oip outputs in a short message"),
    pytest.param(INFER, GOOD_INFER + _keys(length_tag(4), 4000), "parameters", id="oip parameters in a short message"),
    pytest.param(PREDICT, _empty(3), "inputs", id="serinus inputs"),
    pytest.param(PREDICT, _empty(4), "outputs", id="serinus outputs"),
    pytest.param(
        PREDICT, nested(length_tag(3), b"\x1a" + varint(4 * MIB) + bytes(4 * MIB)), "shape", id="serinus axes"
    ),
    pytest.param(PREDICT, nested(length_tag(3), b"\x18\x01" * (2 * MIB)), "shape", id="serinus axes one by one"),
    pytest.param(PREDICT, _empty(3, 1 << 16), "inputs", id="serinus inputs in a short message"),
]


@pytest.mark.parametrize(("method", "message", "what"), PARTS)
async def test_a_message_that_is_all_structure(world: World, method: str, message: bytes, what: str):
    """Row 3: parts are counted before objects are made of them."""
    async with world.standing():
        answer = await world.call(method, message)
    reason = "TOO_MANY_AXES" if what == "shape" else "TOO_MANY_INPUTS" if "input" in what else "TOO_MANY_ENTRIES"
    assert_refused(answer, INVALID, reason, what, "expected at most ")


FRAMES = [
    pytest.param(_empty(1), "TOO_MANY_ENTRIES", "calls: expected at most 2048", id="calls"),
    pytest.param(
        _empty(1, 1 << 16), "TOO_MANY_ENTRIES", "calls: expected at most 2048 entries, got 32768", id="short calls"
    ),
    pytest.param(
        nested(b"\x0a", nested(b"\x12", _empty(3))), "TOO_MANY_INPUTS", "inputs: expected", id="inputs of a call"
    ),
    pytest.param(
        nested(b"\x0a", nested(b"\x12", b"\x1a\0" * 1000) * 2000),
        "TOO_MANY_ENTRIES",
        "message",
        id="a request in parts",
    ),
]


@pytest.mark.parametrize(("message", "reason", "words"), FRAMES)
async def test_a_frame_that_is_all_structure(world: World, message: bytes, reason: str, words: str):
    """Row 3: the same for frames; the stream ends, because nobody knows which of its calls were meant."""
    async with world.standing():
        stream = world.channel.stream_stream(PREDICT_STREAM)(timeout=30)
        await stream.write(message)
        code, details = await stream.code(), await stream.details()
        world.count(code)
    assert code is INVALID
    assert details.startswith(f"{reason}: {words}")


async def test_a_message_of_a_stream_that_is_all_structure(world: World):
    """Row 3: ModelStreamInfer refuses it in place, and the stream goes on."""
    async with world.standing():
        stream = world.channel.stream_stream(INFER_STREAM)(timeout=30)
        for message in (_empty(5), GOOD_INFER):
            await stream.write(message)
        await stream.done_writing()
        answers = [oip.ModelStreamInferResponse.FromString(message) async for message in stream]
        world.count(INVALID)
        world.count(grpc.StatusCode.OK)
    assert [answer.error_message for answer in answers] == [
        "TOO_MANY_INPUTS: inputs: expected at most 64 entries, got more",
        "",
    ]


@BOTH
async def test_fields_that_nobody_knows(world: World, method: str, good: bytes):
    """Row 4: 10 MiB of them are dropped, and not echoed."""
    async with world.standing():
        answer = await world.call(method, good + nested(length_tag(999), bytes(10 * MIB)))
        assert answer.code is grpc.StatusCode.OK
        assert len(answer.content) < 1000


@BOTH
async def test_a_message_beyond_the_limit(world: World, method: str, good: bytes):
    """Row 26: 17 MiB are refused, with both numbers."""
    async with world.standing():
        message = good + nested(length_tag(999), bytes(17 * MIB))
        answer = await world.call(method, message, is_counted=False)
    assert answer.code is EXHAUSTED
    assert f"larger than max ({len(message)} vs. {16 * MIB})" in answer.message


async def test_a_message_that_announces_too_much(world: World):
    """Row 26: 100 MiB that are only announced are refused at once, before any of them came."""
    async with world.standing():
        end = await raw_call(world.server.grpc_port, INFER, prefixed(b"", claim=100 * MIB), is_whole=False)
    assert end.code is EXHAUSTED
    assert "larger than max (104857600 vs. 16777216)" in end.message


def _peak_rss(pid: int) -> int:
    """The most memory that a process had since `_forget_peak`, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no peak")


def _forget_peak(pid: int) -> int:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _peak_rss(pid)


async def test_a_gzip_bomb(world: World):
    """Row 27: 254 KiB that would become 256 MiB are refused while they grow; memory never sees them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(256)) + packer.flush()
    pid = (await world.server.look()).pid
    async with world.standing():
        before = _forget_peak(pid)
        end = await raw_call(world.server.grpc_port, INFER, prefixed(bomb, flag=1), headers=[("grpc-encoding", "gzip")])
        grown = _peak_rss(pid) - before
    assert (end.code, len(bomb) < 256 << 10) == (EXHAUSTED, True)
    assert "ecompressed message larger than max" in end.message
    assert grown < 64 * MIB


@BOTH
@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_a_compressed_request(world: World, method: str, good: bytes, compression: grpc.Compression):
    """Row 28: both usual encodings are understood."""
    async with world.standing():
        answer = await world.call(method, good, compression=compression)
    assert answer.code is grpc.StatusCode.OK


@pytest.mark.parametrize("encoding", ["br", "zstd", "snappy", "x" * 1000])
async def test_an_encoding_that_nobody_knows(world: World, encoding: str):
    """Row 28: refused by grpc core, with INTERNAL where its protocol says UNIMPLEMENTED; we never see the call."""
    async with world.standing():
        end = await raw_call(
            world.server.grpc_port, INFER, prefixed(GOOD_INFER, flag=1), headers=[("grpc-encoding", encoding)]
        )
    assert end.code in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL}
    assert encoding not in end.message


async def test_a_compressed_message_that_is_not(world: World):
    """Row 28: what claims to be gzip and is not ends that call alone."""
    async with world.standing():
        end = await raw_call(
            world.server.grpc_port,
            INFER,
            prefixed(gzip.compress(GOOD_INFER)[:-4] + b"\0\0\0\0", flag=1),
            headers=[("grpc-encoding", "gzip")],
        )
    assert end.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED, INVALID}, end


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([("x-long", "v" * 20_000)], id="a value of 20 KB"),
        pytest.param([(f"x-{n}", "v") for n in range(1000)], id="1000 headers"),
        pytest.param([("x-bin-bin", bytes(20_000))], id="20 KB of bytes"),
    ],
)
@BOTH
async def test_metadata_beyond_the_limit(world: World, method: str, good: bytes, metadata: list[tuple[str, str]]):
    """Row 29: refused, and the connection's other calls go on."""
    async with world.standing():
        answer = await world.call(method, good, metadata=metadata, is_counted=False)
        assert (await world.call(method, good)).code is grpc.StatusCode.OK
    assert answer.code is EXHAUSTED
    assert_no_leak(answer)


async def test_tensors_with_names_as_long_as_a_message(world: World):
    """Row 33: a name of a megabyte, or of 60 KB, is named by its beginning at most."""
    async with world.standing():
        for size in (60_000, MIB):
            for method, message in (
                (INFER, infer("tabular", infer_input("\u00e9" * size), raw=(ROW,))),
                (PREDICT, predict("tabular", tensor("\u00e9" * size, data=ROW))),
                (INFER, infer("tabular", infer_input(datatype="T" * size), raw=(ROW,))),
                (INFER, infer("m" * size, infer_input(), raw=(ROW,))),
                (PREDICT, predict("tabular", tensor(data=ROW), version="v" * size)),
            ):
                answer = await world.call(method, message)
                assert answer.code is INVALID
                assert len(answer.message) <= 512
                assert sum(len(value) for _, value in answer.trailers) < 4096


async def test_a_frame_of_tiny_calls(world: World):
    """Row 3: as many calls as a frame may hold, each of them refused, hold the loop for no longer than others."""
    async with world.standing():
        stream = world.channel.stream_stream(PREDICT_STREAM)(timeout=30)
        await stream.write(b"".join(nested(b"\x0a", b"\x08" + varint(n)) for n in range(2048)))
        await stream.done_writing()
        replies = [reply async for message in stream for reply in pb.ReplyFrame.FromString(message).replies]
        world.count(INVALID, len(replies))
    assert {reply.id for reply in replies} == set(range(2048))
    assert {reply.error.reason for reply in replies} == {"INVALID_NAME"}
