"""ModelInfer with broken input: what each mistake is answered with, and that nothing else happens."""

from typing import Any

import grpc
import pytest

from open_inference import grpc_service_pb2 as oip
from tests.end_to_end.faults.messages import INFER, ROW, f32, infer, infer_arrays, infer_input
from tests.support.invariants import World, assert_refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT

WRONG_TYPE = [
    pytest.param("FP8", "UNKNOWN_DTYPE", ("expected a datatype of BOOL, UINT8", "got 'FP8'"), id="row 5: no such type"),
    pytest.param("float32", "UNKNOWN_DTYPE", ("FP32, FP64, BYTES", "got 'float32'"), id="row 5: numpy's name"),
    pytest.param("", "UNKNOWN_DTYPE", ("got ''",), id="row 5: none"),
    pytest.param("FP64", "WRONG_SIZE", ("expected 64 bytes, got 32",), id="row 6: bytes of another type"),
]


@pytest.mark.parametrize(("datatype", "reason", "words"), WRONG_TYPE)
async def test_an_element_type_that_is_none(world: World, datatype: str, reason: str, words: tuple[str, ...]):
    """The refusal lists what there is."""
    async with world.standing():
        answer = await world.call(INFER, infer("tabular", infer_input(datatype=datatype), raw=(ROW,)))
    assert_refused(answer, INVALID, reason, "input 'x'", *words, field="x")


SHAPES = [
    pytest.param((8,), ROW, "WRONG_SHAPE", "expected shape [-1, 8], got [8]", id="row 7: an axis too few"),
    pytest.param((1, 1, 8), ROW, "WRONG_SHAPE", "expected shape [-1, 8], got [1, 1, 8]", id="row 7: an axis too many"),
    pytest.param((), f32(1), "WRONG_SHAPE", "expected shape [-1, 8], got []", id="row 7: a scalar"),
    pytest.param((2, 4), ROW, "WRONG_SHAPE", "expected shape [-1, 8], got [2, 4]", id="row 7: a fixed length"),
    pytest.param((1,) * 33, f32(1), "TOO_MANY_AXES", "at most 32 axes, got 33", id="row 7: more axes than numpy has"),
    pytest.param((1,) * 5000, f32(1), "TOO_MANY_AXES", "at most 32 axes, got 5000", id="row 7: 5000 axes"),
    pytest.param((-1, 8), ROW, "NEGATIVE_LENGTH", "at least 0, got shape [-1, 8]", id="row 8: -1"),
    pytest.param((-2, -4), ROW, "NEGATIVE_LENGTH", "at least 0, got shape [-2, -4]", id="row 8: a positive product"),
    pytest.param((-(1 << 63), 8), ROW, "NEGATIVE_LENGTH", "at least 0", id="row 8: the least number"),
    pytest.param((1 << 33, 1 << 33), ROW, "SHAPE_TOO_LARGE", "at most 2147483647 elements", id="row 9: 2^66"),
    pytest.param(((1 << 63) - 1, 8), ROW, "SHAPE_TOO_LARGE", "at most 2147483647 elements", id="row 9: 2^63 - 1"),
    pytest.param((1 << 32, 1 << 32), b"", "SHAPE_TOO_LARGE", "at most 2147483647", id="row 9: 0 modulo 2^64"),
    pytest.param(((1 << 63) - 1, 0), b"", "SHAPE_TOO_LARGE", "at most 2147483647", id="row 9: long and empty"),
    pytest.param((1 << 30, 1 << 30, 0), b"", "SHAPE_TOO_LARGE", "at most 2147483647", id="row 9: wide and empty"),
    pytest.param((1 << 27, 8), b"", "WRONG_SIZE", "expected 4294967296 bytes, got 0", id="row 10: huge, no bytes"),
    pytest.param((2, 8), ROW, "WRONG_SIZE", "expected 64 bytes, got 32", id="row 12: a row short"),
    pytest.param((1, 8), ROW + f32(1), "WRONG_SIZE", "expected 32 bytes, got 36", id="row 12: an element long"),
    pytest.param((1, 8), ROW[:-4], "WRONG_SIZE", "expected 32 bytes, got 28", id="row 12: an element short"),
    pytest.param((1, 8), ROW + b"\0", "WRONG_SIZE", "expected 32 bytes, got 33", id="row 12: a byte long"),
    pytest.param((1, 8), ROW[:-1], "WRONG_SIZE", "expected 32 bytes, got 31", id="row 12: a byte short"),
]


@pytest.mark.parametrize(("shape", "raw", "reason", "words"), SHAPES)
async def test_a_shape_that_does_not_fit(world: World, shape: tuple[int, ...], raw: bytes, reason: str, words: str):
    """The refusal says what was expected and what came; nothing is allocated for a claim."""
    before = await world.server.look()
    async with world.standing():
        answer = await world.call(INFER, infer("tabular", infer_input(shape=shape), raw=(raw,)))
    assert_refused(answer, INVALID, reason, "input 'x'", words, field="x")
    assert (await world.server.look()).rss_bytes - before.rss_bytes < 16 << 20


async def test_no_rows_are_answered_with_no_rows(world: World):
    """Row 11: zero rows are a batch like any other, and divide nothing by zero."""
    async with world.standing():
        answer = await world.call(INFER, infer("tabular", infer_input(shape=(0, 8)), raw=(b"",)))
    assert infer_arrays(answer.content)["y"].shape == (0, 4)


BROKEN = [
    pytest.param(
        infer("tabular", infer_input(datatype="FP64"), raw=(ROW * 2,)),
        "WRONG_DTYPE",
        ("input 'x': expected FP32, got FP64",),
        "x",
        id="row 6: another type than the model's",
    ),
    pytest.param(
        infer("two", infer_input("a", shape=(1, 2)), infer_input("b", shape=(1, 2)), raw=(f32(1, 2),)),
        "WRONG_RAW_COUNT",
        ("expected 2 entries", "got 1"),
        None,
        id="row 13: a raw tensor missing",
    ),
    pytest.param(
        infer("tabular", infer_input(), raw=(ROW, ROW)),
        "WRONG_RAW_COUNT",
        ("expected 1 entries", "got 2"),
        None,
        id="row 13: a raw tensor too many",
    ),
    pytest.param(
        infer("tabular", infer_input(fp32_contents=range(8)), raw=(ROW,)),
        "RAW_AND_TYPED",
        ("input 'x'", "no contents beside raw_input_contents"),
        "x",
        id="row 14: raw and typed",
    ),
    pytest.param(
        infer("int64", infer_input(datatype="INT64", shape=(1, 2), fp64_contents=[1.0, 2.0])),
        "WRONG_CONTENTS",
        ("INT64: expected int64_contents, got fp64_contents",),
        "x",
        id="row 15: numbers of another kind",
    ),
    pytest.param(
        infer("int64", infer_input(datatype="INT64", shape=(1, 2), int64_contents=[1, 2], fp64_contents=[1.0])),
        "WRONG_CONTENTS",
        ("expected int64_contents, got fp64_contents",),
        "x",
        id="row 15: two kinds of numbers",
    ),
    pytest.param(
        infer("int8", infer_input(datatype="INT8", shape=(1, 2), int_contents=[1, 300])),
        "OUT_OF_RANGE",
        ("values that INT8 can hold, got 1 to 300",),
        "x",
        id="row 16: 300 as INT8",
    ),
    pytest.param(
        infer("int8", infer_input(datatype="INT8", shape=(1, 2), int_contents=[-129, 1])),
        "OUT_OF_RANGE",
        ("values that INT8 can hold, got -129 to 1",),
        "x",
        id="row 16: -129 as INT8",
    ),
    pytest.param(
        infer("bool", infer_input(datatype="BOOL", shape=(1, 2)), raw=(b"\x01\x02",)),
        "WRONG_VALUE",
        ("BOOL: expected bytes 0 or 1",),
        "x",
        id="row 16: 2 as BOOL",
    ),
    pytest.param(
        infer("fp16", infer_input(datatype="FP16", shape=(1, 2), fp32_contents=[1.0, 2.0])),
        "MUST_BE_RAW",
        ("FP16 must come in raw_input_contents",),
        "x",
        id="row 17: typed FP16",
    ),
    pytest.param(
        infer("bf16", infer_input(datatype="BF16", shape=(1, 2), fp32_contents=[1.0, 2.0])),
        "MUST_BE_RAW",
        ("BF16 must come in raw_input_contents",),
        "x",
        id="row 17: typed BF16",
    ),
    pytest.param(
        infer("two", infer_input("a", shape=(1, 2)), raw=(f32(1, 2),)),
        "MISSING_INPUT",
        ("missing inputs ['b']: expected ['a', 'b']",),
        "b",
        id="row 18: one missing",
    ),
    pytest.param(
        infer("two"),
        "MISSING_INPUT",
        ("missing inputs ['a', 'b']",),
        "a",
        id="row 18: all missing",
    ),
    pytest.param(
        infer("two", infer_input("a", shape=(1, 2)), infer_input("a", shape=(1, 2)), raw=(f32(1, 2), f32(3, 4))),
        "DUPLICATE_INPUT",
        ("input 'a': expected once",),
        "a",
        id="row 19: twice",
    ),
    pytest.param(
        infer("tabular", infer_input(), infer_input("z", shape=(1,)), raw=(ROW, f32(1))),
        "UNKNOWN_INPUT",
        ("unknown inputs ['z']: expected ['x']",),
        "z",
        id="row 20: one more",
    ),
    pytest.param(
        infer("two", infer_input("a", shape=(1, 2)), infer_input("b", shape=(2, 2)), raw=(f32(1, 2), f32(1, 2, 3, 4))),
        "ROWS_DIFFER",
        ("input 'b': expected 1 rows as in 'a', got 2",),
        "b",
        id="rows that differ",
    ),
    pytest.param(
        infer("tabular", infer_input(), raw=(ROW,), outputs=("z",)),
        "UNKNOWN_OUTPUT",
        ("unknown outputs ['z']: expected some of ['y']",),
        "z",
        id="row 21: no such output",
    ),
    pytest.param(
        infer("tabular", infer_input(), raw=(ROW,), outputs=("y", "y")),
        "DUPLICATE_OUTPUT",
        ("output 'y': expected at most once, got 2 times",),
        "y",
        id="row 21: an output twice",
    ),
    pytest.param(
        infer("strict", infer_input(shape=(1, 2)), raw=(f32(1, float("nan")),)),
        "NOT_FINITE",
        ("input 'x': expected finite values",),
        "x",
        id="row 22: NaN where the model refuses it",
    ),
    pytest.param(
        infer("text", infer_input(datatype="BYTES", shape=(1, 2), bytes_contents=[b"\xff\xfe", b"a"])),
        "INVALID_UTF8",
        ("input 'x': expected UTF-8 text",),
        "x",
        id="row 25: bytes that are no text",
    ),
    pytest.param(
        infer("tabular", infer_input(shape=(1, 8), fp32_contents=[1.0])),
        "WRONG_SIZE",
        ("expected 8 elements, got 1",),
        "x",
        id="typed values short",
    ),
    pytest.param(
        infer("int64", infer_input(datatype="INT64", shape=((1 << 19) + 1, 2), int64_contents=bytes((1 << 20) + 2))),
        "TOO_MANY_ELEMENTS",
        ("at most 1048576 elements in int64_contents", "raw_input_contents"),
        "x",
        id="typed values by the million",
    ),
]


@pytest.mark.parametrize(("message", "reason", "words", "field"), BROKEN)
async def test_a_request_that_breaks_a_rule(
    world: World, message: bytes, reason: str, words: tuple[str, ...], field: str | None
):
    """Each broken rule has its own word, and the sentence names the input, what was expected and what came."""
    async with world.standing():
        answer = await world.call(INFER, message)
    assert_refused(answer, INVALID, reason, *words, field=field)


def _bytes(*elements: bytes) -> bytes:
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


STRINGS = [
    pytest.param(_bytes(b"a") + b"\x05\0\0\0ab", "a length prefix of 5", id="row 24: a prefix beyond the end"),
    pytest.param(_bytes(b"a") + b"\xff\xff\xff\xff", "a length prefix of 4294967295", id="row 24: 0xFFFFFFFF"),
    pytest.param(_bytes(b"a", b"b") + b"\0", "1 more bytes", id="row 24: a trailing byte"),
    pytest.param(_bytes(b"a", b"b", b"c"), "5 more bytes", id="row 24: an element too many"),
    pytest.param(_bytes(b"abcdefgh"), "expected 2 elements, got 1", id="row 24: an element short"),
    pytest.param(b"\x01\0", "at least 8 bytes, got 2 bytes", id="row 24: half a prefix"),
    pytest.param(b"", "at least 8 bytes, got 0 bytes", id="row 24: nothing"),
]


@pytest.mark.parametrize(("raw", "words"), STRINGS)
async def test_strings_that_do_not_add_up(world: World, raw: bytes, words: str):
    """Row 24: every length prefix is checked against what there is before anything is made for it."""
    async with world.standing():
        answer = await world.call(INFER, infer("text", infer_input(datatype="BYTES", shape=(1, 2)), raw=(raw,)))
    assert_refused(answer, INVALID, "WRONG_SIZE", "input 'x'", words, field="x")


async def test_strings_by_the_million(world: World):
    """Row 24: more strings than the event loop could make in time are refused by their number."""
    raw = bytes(4 << 20)
    async with world.standing():
        message = infer("text", infer_input(datatype="BYTES", shape=(1 << 19, 2)), raw=(raw,))
        answer = await world.call(INFER, message)
    assert_refused(answer, INVALID, "TOO_MANY_ELEMENTS", "at most 262144 elements, got 1048576", field="x")


async def test_text_has_no_classes(world: World):
    """What cannot be ranked is refused before the model runs, and counts as refused."""
    message = oip.ModelInferRequest.FromString(
        infer("text", infer_input(datatype="BYTES", shape=(1, 2), bytes_contents=[b"a", b"b"]), outputs=("y",))
    )
    message.outputs[0].parameters["classification"].int64_param = 1
    async with world.standing():
        answer = await world.call(INFER, message.SerializeToString())
    assert_refused(answer, INVALID, "NOT_CLASSES", "output 'y'", "got BYTES", field="y")


async def test_a_nul_in_a_string_is_a_character(world: World):
    """Row 25: NUL is valid UTF-8, and comes back as it went."""
    message = infer(
        "text", infer_input(datatype="BYTES", shape=(1, 2), bytes_contents=[b"a\0b", b"\xc3\xa9"]), outputs=("y",)
    )
    async with world.standing():
        answer = await world.call(INFER, message)
    assert answer.content.endswith(_bytes(b"a\0b", b"\xc3\xa9"))


@pytest.mark.parametrize(
    ("model", "value", "expected"),
    [
        pytest.param("identity", float("nan"), float("nan"), id="row 22: NaN in"),
        pytest.param("identity", float("-inf"), float("-inf"), id="row 22: infinity in"),
        pytest.param("log", 0.0, float("-inf"), id="row 23: infinity out"),
        pytest.param("log", -1.0, float("nan"), id="row 23: NaN out"),
    ],
)
async def test_values_that_are_not_finite_pass(world: World, model: str, value: float, expected: float):
    """Models may mean something by them; only those that say so refuse them. Rows answered with them are counted."""
    before = (await world.scrape()).total("serinus_nonfinite_rows_total", model=model)
    async with world.standing():
        answer = await world.call(INFER, infer(model, infer_input(shape=(1, 2)), raw=(f32(1, value),)))
    assert str(float(infer_arrays(answer.content)["y"][0, 1])) == str(expected)
    assert (await world.scrape()).total("serinus_nonfinite_rows_total", model=model) == before + 1


TEXTS: list[Any] = [
    pytest.param({"id": "a\nb"}, "CONTROL_CHARACTER", "id: expected no control", id="row 33: a line feed in the id"),
    pytest.param({"id": "\x1b[31m"}, "CONTROL_CHARACTER", "id: expected no control", id="row 33: an escape"),
    pytest.param({"id": "i" * 257}, "TEXT_TOO_LONG", "id: expected at most 256 bytes, got 257", id="row 33: long"),
    pytest.param({"id": "\u00e9" * 129}, "TEXT_TOO_LONG", "at most 256 bytes, got 258", id="row 33: long in bytes"),
    pytest.param({"id": "i" * (1 << 20)}, "TEXT_TOO_LONG", "id: expected at most 65536 bytes", id="row 33: 1 MB"),
    pytest.param(
        {"parameters": {"p": {"string_param": "v" * (1 << 20)}}},
        "TEXT_TOO_LONG",
        "parameter 'p'",
        id="row 33: 1 MB value",
    ),
    pytest.param(
        {"parameters": {"p": {"string_param": "a\r\nb"}}}, "CONTROL_CHARACTER", "parameter 'p'", id="row 33: CR LF"
    ),
    pytest.param({"parameters": {"a\0": {"bool_param": True}}}, "CONTROL_CHARACTER", "parameter", id="row 33: NUL key"),
    pytest.param(
        {"parameters": {"k" * 257: {"bool_param": True}}}, "TEXT_TOO_LONG", "parameter", id="row 33: long key"
    ),
    pytest.param(
        {"parameters": {"headers": {"string_param": "x"}}},
        "RESERVED_PARAMETER",
        "'headers' is reserved",
        id="row 33: reserved",
    ),
    pytest.param(
        {"parameters": {"triton_x": {"string_param": "x"}}},
        "RESERVED_PARAMETER",
        "'triton_x'",
        id="row 33: Triton's own",
    ),
    pytest.param(
        {"parameters": {"timeout": {"string_param": "1"}}}, "WRONG_PARAMETER", "'timeout'", id="timeout as text"
    ),
    pytest.param(
        {"parameters": {"timeout": {"int64_param": -1}}}, "WRONG_PARAMETER", "'timeout'", id="timeout below 0"
    ),
    pytest.param({"parameters": {"priority": {"double_param": 1}}}, "WRONG_PARAMETER", "'priority'", id="priority 1.0"),
    pytest.param(
        {"parameters": {f"p{n}": {"bool_param": True} for n in range(65)}},
        "TOO_MANY_ENTRIES",
        "parameters: expected at most 64 entries, got 65",
        id="row 33: 65 parameters",
    ),
]


@pytest.mark.parametrize(("fields", "reason", "words"), TEXTS)
async def test_ids_and_parameters_that_would_hurt_a_log(world: World, fields: dict[str, Any], reason: str, words: str):
    """Row 33: what is echoed or logged is short and printable."""
    async with world.standing():
        answer = await world.call(INFER, infer("tabular", infer_input(), raw=(ROW,), **fields))
    assert_refused(answer, INVALID, reason, words)
