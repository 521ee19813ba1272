"""Reads calls that look like earlier ones of their stream without parsing them again.

The parser's objects for one small call take 8 us to make and read, a quarter of what the call costs. But the calls of a
client differ in little more than their tensors' data: what stands around it is compared, byte by byte, with what a call
had that was parsed and found good, and then only ids, time-outs and data are read. Whatever differs otherwise is left
to the parser. Tests read each such frame both ways.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from serinus.core.dtypes import DType
from serinus.core.errors import ServerError
from serinus.core.predictor import Request, Tensor
from serinus.transport.attributes import Said
from serinus.transport.predict_codec import FROM_WIRE, PredictDecoder
from serinus.transport.wire import length_tag, number_tag, varint
from serinus_api.v1 import predict_pb2 as pb

_MOST_PATTERNS = 256  # callers choose shapes, and must not thereby choose how much is kept
_LONGEST_BYTES = 4096  # of what stands around the data
_MOST_ALIKE = 8  # patterns of one length, each of which every call of that length may be compared with
_MOST_CALLS = 2048  # of one frame; more is for the parser to refuse
_FRUITLESS = 8  # frames in a row that taught nothing: after that only each so many are learned from
_SELDOM = 64
_LONGEST_TIMEOUT = 5  # bytes of a varint: 9.5 hours in microseconds
_CALL, _ID, _REQUEST = length_tag(1)[0], number_tag(1)[0], length_tag(2)[0]
_INPUT, _DATA, _TIMEOUT = length_tag(3), length_tag(4), number_tag(8)
_LARGEST = (1 << 64) - 1
_LAST_SHIFT = 63  # of the tenth byte
_MORE = 0x80  # the bit of a varint's byte that says another follows


@dataclasses.dataclass(frozen=True, slots=True)
class _Data:
    """Where the data of one input stands, counted from the start of its request, and what it holds."""

    name: str
    start: int
    stop: int
    dtype: npt.DTypeLike
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Pattern:
    """Requests that differ in nothing but their data and time-out.

    Attributes:
        literals: What stands at which place; the last ends with the tag of the time-out.
        data: What stands between the literals.
        timeout_at: Where the time-out stands.
        end: What stands behind it.
        like: What one of them was decoded to, without its inputs: a stream keeps hundreds of patterns.
    """

    literals: tuple[tuple[int, bytes], ...]
    data: tuple[_Data, ...]
    timeout_at: int
    end: bytes
    like: Request

    def tensors(self, message: bytes, start: int) -> dict[str, Tensor] | None:
        """The inputs of the request at `start`, or None if it is another."""
        for offset, literal in self.literals:
            if not message.startswith(literal, start + offset):
                return None
        return {
            data.name: np.frombuffer(message[start + data.start : start + data.stop], data.dtype).reshape(data.shape)
            for data in self.data
        }


class KnownCalls:
    """The patterns of one stream's calls.

    Attributes:
        decoder: Decodes the first call of each pattern.
        said: In the stream's metadata.
    """

    def __init__(self, decoder: PredictDecoder, said: Said) -> None:
        self._decoder = decoder
        self._said = said
        self._by_length: dict[int, tuple[_Pattern, ...]] = {}
        self._kept = 0
        self._missed = 0
        self._fruitless = 0

    def __repr__(self) -> str:
        return f"<KnownCalls {self._kept} patterns>"

    def read(self, message: bytes, now: float) -> list[tuple[int, Request]] | None:
        """The calls of a frame with their ids, or None if any is unlike all before it, or is more than a call."""
        found: list[tuple[int, Request]] = []
        try:
            self._read(message, now, found)
        except (IndexError, _Unlike):
            self._missed = len(found)
            return None
        size_bytes = len(message) // max(1, len(found))
        for _, request in found:
            request.size_bytes = size_bytes
        return found

    def _read(self, message: bytes, now: float, found: list[tuple[int, Request]]) -> None:
        position, end = 0, len(message)
        while position < end:
            if message[position] != _CALL or len(found) >= _MOST_CALLS:
                raise _Unlike
            length, position = _number(message, position + 1)
            stop = position + length
            if stop > end or message[position] != _ID:
                raise _Unlike
            call_id, position = _number(message, position + 1)
            if message[position] != _REQUEST:
                raise _Unlike
            length, position = _number(message, position + 1)
            if position + length != stop:
                raise _Unlike
            found.append((call_id, self._request(message, position, stop, now)))
            position = stop

    def _request(self, message: bytes, start: int, stop: int, now: float) -> Request:
        for pattern in self._by_length.get(stop - start, ()):
            inputs = pattern.tensors(message, start)
            if inputs is None:
                continue
            timeout_us, position = _number(message, start + pattern.timeout_at)
            if not timeout_us or stop - position != len(pattern.end) or not message.startswith(pattern.end, position):
                continue
            like = pattern.like
            return Request(
                inputs,
                self._decoder.deadline(now, timeout_us),
                now,
                like.model,
                like.version,
                like.outputs,
                "",
                like.routing_key,
                like.attributes,
                like.priority,
                like.criticality,
                like.tenant,
            )
        raise _Unlike

    def learn(self, calls: Sequence[pb.Call]) -> None:
        """Keep the pattern of the call that `read` could not read, of a frame that has been parsed since."""
        if self._missed >= len(calls):
            return
        self._fruitless += 1
        if self._fruitless > _FRUITLESS and self._fruitless % _SELDOM:
            return
        pattern = self._pattern(calls[self._missed].request)
        if pattern is None:
            return
        if self._kept >= _MOST_PATTERNS:
            self._by_length.clear()
            self._kept = 0
        self._fruitless = 0
        self._kept += 1
        shortest = pattern.timeout_at + len(pattern.end)
        for length in range(shortest + 1, shortest + 1 + _LONGEST_TIMEOUT):
            self._by_length[length] = (pattern, *self._by_length.get(length, ()))[:_MOST_ALIKE]

    def _pattern(self, wire: pb.PredictRequest) -> _Pattern | None:
        """The pattern of a request, or None where callers would hardly send another like it."""
        if wire.request_id or wire.routing_key or not wire.timeout_us or len(wire.attributes) > 1:
            return None
        try:
            like = self._decoder.decode(wire, size_bytes=0, now=0.0, remaining_s=None, said=self._said)
        except ServerError:
            return None
        like.inputs = {}
        literals: list[tuple[int, bytes]] = []
        data: list[_Data] = []
        literal = pb.PredictRequest(model=wire.model, version=wire.version).SerializeToString()
        at = 0
        for tensor in wire.inputs:
            dtype = FROM_WIRE[tensor.dtype]
            if dtype in {DType.BOOL, DType.BYTES} or not tensor.data:
                return None  # what their data may be, is looked at for each call
            head = pb.Tensor(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape).SerializeToString()
            size_bytes = len(tensor.data)
            head += _DATA + varint(size_bytes)
            literal += _INPUT + varint(len(head) + size_bytes) + head
            literals.append((at, literal))
            start = at + len(literal)
            at, literal = start + size_bytes, b""
            data.append(_Data(tensor.name, start, at, dtype.numpy, tuple(tensor.shape)))
        literal += pb.PredictRequest(outputs=wire.outputs, priority=wire.priority).SerializeToString() + _TIMEOUT
        literals.append((at, literal))
        end = pb.PredictRequest(
            attributes=wire.attributes, criticality=wire.criticality, tenant=wire.tenant
        ).SerializeToString()
        if len(end) + sum([len(each) for _, each in literals]) > _LONGEST_BYTES:
            return None
        return _Pattern(tuple(literals), tuple(data), at + len(literal), end, like)


class _Unlike(Exception):
    """A frame that no pattern fits."""


def _number(message: bytes, position: int) -> tuple[int, int]:
    """The varint at `position`, and where it ends.

    Raises:
        IndexError: the message ends before it does.
        _Unlike: it is no number of 64 bits.
    """
    value = message[position]
    position += 1
    if value < _MORE:
        return value, position
    value -= _MORE
    shift = 7
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if value > _LARGEST or shift > _LAST_SHIFT:
            raise _Unlike  # the parser knows what it means
        if byte < _MORE:
            return value, position
        shift += 7
