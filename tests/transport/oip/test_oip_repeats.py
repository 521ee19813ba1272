"""Requests that repeat earlier ones, decoded without being parsed: never otherwise than if they had been."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from open_inference import grpc_service_pb2 as oip
from serinus.core.errors import InvalidInput
from serinus.transport.deadlines import Budgets
from serinus.transport.oip.decode import Decoded, InferDecoder
from serinus.transport.oip.repeats import Repeats
from serinus.transport.wire_limits import WireLimits


def decoder() -> InferDecoder:
    return InferDecoder(budgets=Budgets(), limits=WireLimits.of(oip.ModelInferRequest, 64))


def message(*arrays: np.ndarray, model: str = "m", datatype: str = "FP32", **fields: object) -> bytes:
    """A request with the inputs x0, x1, ..."""
    return oip.ModelInferRequest(
        model_name=model,
        inputs=[
            oip.ModelInferRequest.InferInputTensor(name=f"x{number}", datatype=datatype, shape=array.shape)
            for number, array in enumerate(arrays)
        ],
        raw_input_contents=[array.tobytes() for array in arrays],
        **fields,
    ).SerializeToString()


def decoded(by: InferDecoder, request: bytes) -> tuple[object, ...]:
    return comparable(by.decode(request, now=1.0, remaining_s=2.0))


def comparable(found: Decoded) -> tuple[object, ...]:
    request = found.request
    inputs = {
        name: (tensor.dtype, tensor.shape, tensor.tobytes(), tensor.flags.writeable)
        for name, tensor in request.inputs.items()
    }
    rest = [getattr(request, name) for name in request.__slots__ if name != "inputs"]
    return inputs, rest, dict(found.classify)


def row(value: float, length: int = 4) -> np.ndarray:
    return np.full((1, length), value, np.float32)


def test_a_repeated_request_has_its_own_numbers():
    """And is known again: nothing of it is parsed."""
    repeats: Repeats[str] = Repeats()
    first, second = message(row(1), row(2)), message(row(3), row(4))
    parsed = oip.ModelInferRequest.FromString(first)
    repeats.learn(first, "meant", {"x0": row(1), "x1": row(2)}, parsed.raw_input_contents)
    found = repeats.recall(second)
    assert found is not None
    assert found[0] == "meant"
    assert [tensor.tolist() for tensor in found[1].values()] == [[[3.0] * 4], [[4.0] * 4]]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(1, 3), st.booleans()), max_size=12))
def test_whatever_came_before_a_request_means_the_same(calls: list[tuple[str, int, int, bool]]):
    """Other models, lengths, numbers of inputs and parameters of equal sizes among them."""
    one = decoder()
    for number, (model, length, count, urgent) in enumerate(calls):
        fields = {"parameters": {"priority": oip.InferParameter(int64_param=1 if urgent else 2)}}
        request = message(*[row(number + index, length) for index in range(count)], model=model, **fields)
        assert decoded(one, request) == decoded(decoder(), request)


@pytest.mark.parametrize(
    "content",
    [b"\x3a\x0f" + bytes(15) + b"\x3a", b"\x3a\x11" + bytes(16), b"\x32\x10" + bytes(16)],
    ids=["a shorter content and another tag", "a longer one than there is", "another field"],
)
def test_contents_that_are_announced_otherwise_are_parsed(content: bytes):
    """Of the same length in all; what is wrong with them is said as ever."""
    request = message(row(1))
    one = decoder()
    one.decode(request, now=1.0, remaining_s=None)
    changed = request[: -len(content)] + content
    assert len(changed) == len(request)
    outcomes = []
    for each in (one, decoder()):
        try:
            outcomes.append(decoded(each, changed))
        except InvalidInput as error:
            outcomes.append((error.reason, error.message))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", ["m" * length for length in range(1, 17)])
def test_numbers_begin_where_arrays_do(name: str):
    """Wherever they stand in the message: onnxruntime sums in another order from another address."""
    by, request = decoder(), message(row(1), row(2, 3), model=name)
    for _ in range(2):
        inputs = by.decode(request, now=1.0, remaining_s=2.0).request.inputs
        assert [tensor.ctypes.data % 16 for tensor in inputs.values()] == [0, 0]


def test_truth_values_are_looked_at_each_time():
    """A byte that is neither 0 nor 1 is refused, whatever was right before."""
    one = decoder()
    good = message(np.ones((1, 4), np.bool_), datatype="BOOL")
    one.decode(good, now=1.0, remaining_s=None)
    with pytest.raises(InvalidInput, match="expected bytes 0 or 1"):
        one.decode(good[:-1] + b"\x02", now=1.0, remaining_s=None)


def test_contents_behind_a_field_that_looks_like_them_are_not_learned():
    """What is last in a message need not be what it seems: here it lies in a field that nobody knows."""
    real = message(row(1))
    tail = b"\x3a\x10" + row(1).tobytes()
    assert real.endswith(tail)
    disguised = real + b"\xfa\x06" + bytes([len(tail)]) + tail
    one = decoder()
    first = one.decode(disguised, now=1.0, remaining_s=None)
    again = one.decode(disguised[:-16] + row(9).tobytes(), now=1.0, remaining_s=None)
    assert [each.request.inputs["x0"].tolist() for each in (first, again)] == [[[1.0] * 4]] * 2


def test_what_is_kept_is_bounded():
    """Callers choose lengths, and must not thereby choose how much is kept."""
    one = decoder()
    for length in range(1, 600):
        one.decode(message(row(1, length)), now=1.0, remaining_s=None)
    assert repr(one._repeats) == "<Repeats 256 patterns>"
