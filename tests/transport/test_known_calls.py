"""Calls that are read without being parsed: the same calls as the parser reads, or none."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.criticality import Criticality
from serinus.core.errors import ServerError
from serinus.core.predictor import Request
from serinus.transport.attributes import Said
from serinus.transport.deadlines import Budgets
from serinus.transport.known_calls import KnownCalls
from serinus.transport.predict_codec import PredictDecoder
from serinus_api.v1 import predict_pb2 as pb

SAID = Said(attributes={"cohort": "beta"}, routing_key="k")
DECODER = PredictDecoder(budgets=Budgets(), max_inputs=4)
NOW = 100.0


def tensor(rows: int = 1, *, name: str = "x", fill: float = 1.0) -> pb.Tensor:
    data = np.full((rows, 2), fill, np.float32).tobytes()
    return pb.Tensor(name=name, dtype=pb.DATA_TYPE_FP32, shape=[rows, 2], data=data)


def request(**fields: object) -> pb.PredictRequest:
    return pb.PredictRequest(**({"model": "m", "timeout_us": 1_000_000, "inputs": [tensor()]} | fields))


def frame(*requests: pb.PredictRequest, first_id: int = 1) -> bytes:
    calls = [pb.Call(id=first_id + place, request=each) for place, each in enumerate(requests)]
    return pb.PredictFrame(calls=calls).SerializeToString()


def plain(request: Request) -> dict[str, object]:
    """A request that can be compared."""
    fields = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    inputs = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in request.inputs.items()}
    return fields | {"inputs": inputs, "attributes": dict(request.attributes)}


def parsed(message: bytes) -> list[tuple[int, dict[str, object]]]:
    calls = pb.PredictFrame.FromString(message).calls
    size_bytes = len(message) // max(1, len(calls))
    return [
        (
            call.id,
            plain(DECODER.decode(call.request, size_bytes=size_bytes, now=NOW, remaining_s=None, said=SAID)),
        )
        for call in calls
    ]


def known(calls: KnownCalls, message: bytes) -> list[tuple[int, dict[str, object]]] | None:
    """What is read; where nothing is, the frame is learned from."""
    found = calls.read(message, NOW)
    if found is None:
        calls.learn(pb.PredictFrame.FromString(message).calls)
        return None
    return [(call_id, plain(each)) for call_id, each in found]


@pytest.mark.parametrize(
    "like",
    [
        pytest.param({}, id="the usual call"),
        pytest.param({"inputs": [tensor(), tensor(2, name="z")]}, id="two inputs"),
        pytest.param({"inputs": []}, id="no input"),
        pytest.param(
            {
                "version": "1.2.0",
                "outputs": ["y", "p"],
                "priority": 3,
                "attributes": {"cohort": "gamma"},
                "criticality": pb.CRITICALITY_SHEDDABLE,
                "tenant": "t",
            },
            id="everything that a caller may keep saying",
        ),
    ],
)
def test_a_call_like_one_before_is_read_as_the_parser_reads_it(like: dict[str, object]):
    """Other data, other time-outs, other ids, any number of them."""
    calls = KnownCalls(DECODER, SAID)
    assert known(calls, frame(request(**like))) is None
    others = [request(**like, timeout_us=timeout_us) for timeout_us in (1, 300, 5_000_000_000)]
    for other in others:
        for each in other.inputs:
            each.data = bytes(range(len(each.data)))
    message = frame(*others, first_id=2**40)
    assert known(calls, message) == parsed(message)
    assert known(calls, b"") == []


@pytest.mark.parametrize(
    "unlike",
    [
        pytest.param({"model": "n"}, id="another model"),
        pytest.param({"inputs": [tensor(2)]}, id="another shape"),
        pytest.param({"inputs": [tensor(name="z")]}, id="another input"),
        pytest.param({"priority": 1}, id="another priority"),
        pytest.param({"criticality": pb.CRITICALITY_CRITICAL}, id="another criticality"),
        pytest.param({"timeout_us": 0}, id="no time-out"),
        pytest.param({"request_id": "r"}, id="a name of its own"),
    ],
)
def test_a_call_unlike_those_before_is_left_to_the_parser(unlike: dict[str, object]):
    """With the whole of its frame."""
    calls = KnownCalls(DECODER, SAID)
    known(calls, frame(request()))
    assert calls.read(frame(request(), request(**unlike)), NOW) is None
    assert calls.read(frame(request()), NOW) is not None


@pytest.mark.parametrize(
    "never",
    [
        pytest.param({"request_id": "r"}, id="a name of its own"),
        pytest.param({"routing_key": "u"}, id="a key of its own"),
        pytest.param({"timeout_us": 0}, id="no time-out"),
        pytest.param({"inputs": [pb.Tensor(name="x", dtype=pb.DATA_TYPE_BOOL, shape=[1], data=b"\1")]}, id="BOOL"),
        pytest.param(
            {"inputs": [pb.Tensor(name="x", dtype=pb.DATA_TYPE_BYTES, shape=[1], data=b"\1\0\0\0a")]}, id="BYTES"
        ),
        pytest.param({"inputs": [pb.Tensor(name="x", dtype=pb.DATA_TYPE_FP32, shape=[9], data=b"x")]}, id="refused"),
    ],
)
def test_some_calls_are_never_learned(never: dict[str, object]):
    """What they hold has to be looked at, or is each call's own."""
    calls = KnownCalls(DECODER, SAID)
    assert [known(calls, frame(request(**never))) for _ in range(3)] == [None, None, None]


def test_a_frame_that_cancels_is_left_to_the_parser():
    """It is more than calls."""
    calls = KnownCalls(DECODER, SAID)
    known(calls, frame(request()))
    assert calls.read(frame(request()) + pb.PredictFrame(cancel=[1]).SerializeToString(), NOW) is None


def test_a_client_whose_calls_are_never_alike_is_not_learned_from_for_ever():
    """Learning costs as much as a call; a pattern that comes after all is still found, later."""
    calls = KnownCalls(DECODER, SAID)
    for number in range(100):
        known(calls, frame(request(request_id=str(number))))
    seen = [known(calls, frame(request())) is not None for _ in range(64)]
    assert seen == sorted(seen)
    assert 1 < sum(seen) < 63


def test_what_is_kept_has_a_bound():
    """A caller chooses shapes."""
    calls = KnownCalls(DECODER, SAID)
    for rows in range(1, 600):
        known(calls, frame(request(inputs=[tensor(rows)])))
    assert calls._kept <= 256
    assert sum(len(patterns) for patterns in calls._by_length.values()) <= 5 * 256


def test_what_is_kept_is_no_tensor():
    """Hundreds of large calls of different shapes would hold gigabytes for as long as their stream is open."""
    calls = KnownCalls(DECODER, SAID)
    tracemalloc.start()
    try:
        for rows in range(100_000, 100_020):
            assert known(calls, frame(request(inputs=[tensor(rows)]))) is None
        kept_bytes, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes > 800_000, "one of them"
    assert kept_bytes < 200_000
    assert known(calls, frame(request(inputs=[tensor(100_000)]))) is not None


def test_what_stands_around_the_data_is_short_or_not_kept():
    """A name may be as long as a message."""
    calls = KnownCalls(DECODER, SAID)
    message = frame(request(inputs=[tensor(name="x" * 5000)]))
    assert [known(calls, message), known(calls, message)] == [None, None]


def test_of_calls_of_one_length_few_are_known():
    """A caller chooses names as well, and each call would be compared with all of them."""
    calls = KnownCalls(DECODER, SAID)
    for number in range(100, 120):
        known(calls, frame(request(model=f"m{number}")))
    assert max(len(patterns) for patterns in calls._by_length.values()) == 8
    assert calls.read(frame(request(model="m119")), NOW) is not None


def test_more_calls_than_a_frame_may_have_are_left_to_the_parser():
    """It refuses them."""
    calls = KnownCalls(DECODER, SAID)
    known(calls, frame(request()))
    assert calls.read(frame(*[request()] * 2048), NOW) is not None
    assert calls.read(frame(*[request()] * 2049), NOW) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_change_of_a_message_is_read_otherwise_than_the_parser_reads_it(data: st.DataObject):
    """Bytes changed, cut out or put in: the same calls, or left to the parser."""
    calls = KnownCalls(DECODER, SAID)
    known(calls, frame(request(tenant="t")))
    message = bytearray(frame(request(tenant="t"), request(tenant="t", timeout_us=77)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "put"]))
        byte = data.draw(st.integers(0, 255))
        message[at : at + (change != "put")] = b"" if change == "cut" else bytes([byte])
    found = calls.read(bytes(message), NOW)
    if found is not None:
        try:
            assert [(call_id, plain(each)) for call_id, each in found] == parsed(bytes(message))
        except ServerError as error:
            raise AssertionError(f"read what is refused: {error!r}") from error


def test_what_a_pattern_says_is_what_was_decoded():
    """The stream's own metadata included."""
    calls = KnownCalls(DECODER, SAID)
    known(calls, frame(request()))
    ((_, found),) = calls.read(frame(request(timeout_us=2_000_000)), NOW) or [(0, None)]
    assert found is not None
    assert (found.routing_key, found.attributes, found.criticality) == ("k", {"cohort": "beta"}, Criticality.DEFAULT)
    assert (found.deadline, found.arrived, found.has_deadline) == (NOW + 2.0, NOW, True)
