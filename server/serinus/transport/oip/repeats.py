"""Decodes again what came before: most requests of a client differ from the last in nothing but their numbers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from open_inference import grpc_service_pb2 as oip
from serinus.core.predictor import Tensor
from serinus.core.raw_tensors import ALIGNMENT_BYTES, LARGE_BYTES
from serinus.transport.wire import length_tag, varint

Meant = TypeVar("Meant")

_RAW: Final = length_tag(7)  # ModelInferRequest.raw_input_contents
_MOST_PATTERNS: Final = 256  # of one server; each is as long as a request without its tensors
_LONGEST_PREFIX_BYTES: Final = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class _Pattern(Generic[Meant]):
    """A request without its numbers.

    Attributes:
        prefix: Its bytes up to the first tensor's content.
        heads: Where each content is announced, and how: tag and length.
        tensors: Name, element type, shape, where the content begins, and where it ends if it is to be copied: small
            ones are, unless they begin where arrays do.
        meant: What the prefix was decoded to.
    """

    prefix: bytes
    heads: tuple[tuple[int, bytes], ...]
    tensors: tuple[tuple[str, "np.dtype[Any]", tuple[int, ...], int, int | None], ...]
    meant: Meant


class Repeats(Generic[Meant]):
    """Remembers requests by their length, the last one of each, and knows one again by its bytes.

    A serialised request is its fields one after the other, and clients write the contents of their tensors last. When
    all before them is the same as in a request that was decoded and checked, so is what it means, and only views of
    the contents have to be made: decoding takes 2.3 us in place of 8.4.
    """

    def __init__(self) -> None:
        self._patterns: dict[int, _Pattern[Meant]] = {}

    def recall(self, message: bytes) -> tuple[Meant, dict[str, Tensor]] | None:
        """What a request means and its inputs, if it repeats an earlier one; else None."""
        pattern = self._patterns.get(len(message))
        if pattern is None or not message.startswith(pattern.prefix):
            return None
        for offset, head in pattern.heads:
            if not message.startswith(head, offset):
                return None
        return pattern.meant, {
            name: np.ndarray(shape, dtype, message, offset)
            if stop is None
            else np.ndarray(shape, dtype, message[offset:stop])
            for name, dtype, shape, offset, stop in pattern.tensors
        }

    def learn(
        self, message: bytes, meant: Meant, inputs: Mapping[str, Tensor], raws: Sequence[bytes | memoryview]
    ) -> None:
        """Remember a request that was decoded, if it is of the kind that can be known again.

        Args:
            message: The request.
            meant: What it was decoded to, apart from its inputs; must depend on nothing else than the bytes.
            inputs: What its contents were decoded to, in their order.
            raws: Its contents.
        """
        # Text and truth values have contents that must be looked at; of nothing there is no view.
        if (
            not raws
            or not all(raws)
            or any(tensor.dtype.hasobject or tensor.dtype == np.bool_ for tensor in inputs.values())
        ):
            return
        size = len(message)
        announced = [_RAW + varint(len(raw)) for raw in raws]
        begin = size - sum(map(len, announced)) - sum(map(len, raws))
        if not 0 < begin <= _LONGEST_PREFIX_BYTES:
            return
        if message[begin:] != b"".join(part for pair in zip(announced, raws, strict=True) for part in pair):
            return
        prefix = message[:begin]
        # Messages join by concatenation: what parses, without contents, before these contents has exactly these.
        try:
            if oip.ModelInferRequest.FromString(prefix).raw_input_contents:
                return
        except DecodeError:
            return
        heads, tensors = [], []
        offset = begin
        for head, raw, (name, tensor) in zip(announced, raws, inputs.items(), strict=True):
            heads.append((offset, head))
            offset += len(head)
            stop = offset + len(raw)
            is_copied = offset % ALIGNMENT_BYTES > 0 and len(raw) < LARGE_BYTES
            tensors.append((name, tensor.dtype, tensor.shape, offset, stop if is_copied else None))
            offset = stop
        if size not in self._patterns and len(self._patterns) >= _MOST_PATTERNS:
            del self._patterns[next(iter(self._patterns))]
        self._patterns[size] = _Pattern(prefix, tuple(heads), tuple(tensors), meant)

    def __repr__(self) -> str:
        return f"<Repeats {len(self._patterns)} patterns>"
