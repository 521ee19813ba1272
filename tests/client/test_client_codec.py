"""One tensor between numpy and the wire."""

import numpy as np
import pytest

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.codec import InputCodec, decode_outputs
from serinus_client.dtypes import NAMES, NUMPY
from serinus_client.errors import InvalidInput, ServerFault, Unsupported
from serinus_client.model_info import TensorInfo


def codec(dtype="FP32", shape=(-1, 2)):
    return InputCodec(TensorInfo("x", dtype, shape, batch_axis=0))


def answer(dtype, shape, data):
    return pb.PredictResponse(outputs=[pb.Tensor(name="y", dtype=dtype, shape=shape, data=data)])


@pytest.mark.parametrize("number", NUMPY)
def test_arrays_of_every_type_survive_the_way_there_and_back(number):
    """Row-major whatever the memory order was."""
    array = np.asfortranarray(np.arange(6).reshape(3, 2).astype(NUMPY[number]))
    data, shape = codec(NAMES[number]).encode(array)
    decoded = decode_outputs(answer(number, shape, data))["y"]
    assert decoded.dtype == NUMPY[number]
    np.testing.assert_array_equal(decoded, array)


def test_strings_survive_as_bytes():
    """The model's strings are UTF-8; the caller decodes them if they are text."""
    data, shape = codec("BYTES").encode([["a", b"\0"], ["é", ""]])
    decoded = decode_outputs(answer(pb.DATA_TYPE_BYTES, shape, data))["y"]
    assert decoded.tolist() == [[b"a", b"\0"], ["é".encode(), b""]]


def test_bfloat16_outputs_are_float32():
    """Every BF16 is one."""
    data, shape = codec("BF16").encode(np.array([[1.5, -2.0]], np.float32))
    decoded = decode_outputs(answer(pb.DATA_TYPE_BF16, shape, data))["y"]
    assert (decoded.dtype, decoded.tolist()) == (np.float32, [[1.5, -2.0]])


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 2, 1), ()])
def test_a_shape_that_the_model_does_not_take_is_refused(shape):
    """Also after a good one was seen."""
    tested = codec()
    tested.encode(np.zeros((5, 2), np.float32))
    with pytest.raises(InvalidInput) as raised:
        tested.encode(np.zeros(shape, np.float32))
    assert str(raised.value) == f"WRONG_SHAPE: input 'x': expected shape [-1, 2], got {list(shape)}"


def test_an_element_that_is_no_string_is_refused():
    """Named by its Python type: it has no other."""
    with pytest.raises(InvalidInput, match="input 'x': expected BYTES, got an element of type float"):
        codec("BYTES").encode([["a", 1.0]])


def test_a_type_of_the_future_asks_for_a_newer_client():
    """Not a KeyError."""
    with pytest.raises(Unsupported, match="input 'x' has type UNKNOWN_99"):
        codec("UNKNOWN_99")


def test_outputs_are_read_only_views():
    """Documented: copying is the caller's choice."""
    decoded = decode_outputs(answer(pb.DATA_TYPE_FP32, [1], np.float32(1).tobytes()))["y"]
    assert not decoded.flags.writeable


def test_no_rows_are_an_empty_array():
    """Zero is a length."""
    assert decode_outputs(answer(pb.DATA_TYPE_FP32, [0, 4], b""))["y"].shape == (0, 4)


@pytest.mark.parametrize(
    ("dtype", "shape", "data"),
    [
        (pb.DATA_TYPE_FP32, [2], b"1234"),
        (pb.DATA_TYPE_FP32, [1], b"123"),
        (pb.DATA_TYPE_BF16, [1], b"123"),
        (pb.DATA_TYPE_BYTES, [1], b"123"),
        (pb.DATA_TYPE_BYTES, [2], b"\0\0\0\0"),
        (99, [1], b"1"),
    ],
)
def test_an_output_that_makes_no_sense_is_the_servers_fault(dtype, shape, data):
    """Never a numpy exception."""
    with pytest.raises(ServerFault) as raised:
        decode_outputs(answer(dtype, shape, data))
    assert raised.value.reason == "MALFORMED_RESPONSE"
