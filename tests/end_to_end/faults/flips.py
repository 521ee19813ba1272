"""Valid requests with bits flipped at random, and the in-process part of the server that reads them.

    python -m tests.end_to_end.faults.flips CASES [SEED]

counts how that many cases end, and fails at the first that ends in anything but an answer or a refusal.
"""

import asyncio
import collections
import random
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput, NotFound, ServerError, Unsupported
from serinus.core.predictor import Request, Response
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import ModelVersion, Version, check_model_name
from serinus.serving.validation import Validation
from serinus.transport.deadlines import Budgets
from serinus.transport.oip.decode import InferDecoder
from serinus.transport.predict_codec import PredictDecoder
from serinus.transport.service import parse
from serinus.transport.status import status_of
from serinus.transport.wire_limits import WireLimits
from serinus_api.v1 import predict_pb2 as pb
from tests.end_to_end.faults.messages import GOOD_INFER, GOOD_PREDICT, ROW, f32, infer, infer_input, predict, tensor

_TEXT = b"\x03\0\0\0yes\x02\0\0\0no"
INFERS = (
    GOOD_INFER,
    infer("tabular", infer_input(fp32_contents=range(8)), parameters={"timeout": {"int64_param": 1_000_000}}),
    infer("text", infer_input(datatype="BYTES", shape=(1, 2)), raw=(_TEXT,), outputs=("y", "is_yes")),
    infer("two", infer_input("a", shape=(1, 2)), infer_input("b", shape=(1, 2)), raw=(f32(1, 2), f32(3, 4)), id="two"),
    infer("int8", infer_input(datatype="INT8", shape=(2, 2), int_contents=[1, -2, 3, -4]), model_version="1"),
)
PREDICTS = (
    GOOD_PREDICT,
    predict("text", tensor(dtype=DType.BYTES, shape=(1, 2), data=_TEXT), outputs=["is_yes"]),
    predict(
        "two", tensor("a", shape=(1, 2), data=f32(1, 2)), tensor("b", shape=(1, 2), data=f32(3, 4)), version="1.0.0"
    ),
    predict("tabular", tensor(shape=(2, 8), data=ROW * 2), timeout_us=1_000_000, priority=3, routing_key="key"),
)
# One bit, one in a hundred, one in ten: the more are flipped, the less is left that parses.
_RATES = (0.0, 0.01, 0.1)


def flipped(message: bytes, rng: random.Random) -> bytes:
    """`message` with at least one bit flipped."""
    bits = np.unpackbits(np.frombuffer(message, np.uint8))
    count = max(1, int(rng.choice(_RATES) * bits.size))
    bits[[rng.randrange(bits.size) for _ in range(count)]] ^= 1
    return np.packbits(bits).tobytes()


def cases(seed: int) -> Iterator[tuple[bool, bytes]]:
    """Flipped messages without end; whether each was a ModelInferRequest."""
    rng = random.Random(seed)
    while True:
        is_infer = rng.random() < 0.5
        yield is_infer, flipped(rng.choice(INFERS if is_infer else PREDICTS), rng)


class _Echo:
    """Answers with what a model might: the rows that were asked for."""

    async def predict(self, request: Request, /) -> Response:
        return Response(request.inputs, ModelVersion("echo", Version(1), 1))


def _signature(*inputs: TensorSpec, outputs: tuple[str, ...] = ("y",)) -> Signature:
    return Signature(inputs, tuple(TensorSpec(name, DType.FP32, ("N", 4), 0) for name in outputs))


_SIGNATURES: Mapping[str, Signature] = {
    "tabular": _signature(TensorSpec("x", DType.FP32, ("N", 8), 0)),
    "text": _signature(TensorSpec("x", DType.BYTES, ("N", 2), 0), outputs=("y", "is_yes")),
    "two": _signature(TensorSpec("a", DType.FP32, ("N", 2), 0), TensorSpec("b", DType.FP32, ("N", 2), 0)),
    "int8": _signature(TensorSpec("x", DType.INT8, ("N", 2), 0)),
}


class Reader:
    """Reads requests as the server does: limits, parser, decoder, validation."""

    def __init__(self) -> None:
        budgets = Budgets()
        self._infer = InferDecoder(budgets=budgets, limits=WireLimits.of(oip.ModelInferRequest, 64))
        self._predict = PredictDecoder(budgets=budgets, max_inputs=64)
        self._limits = WireLimits.of(pb.PredictRequest, 64)
        self._models = {name: Validation(_Echo(), signature=found) for name, found in _SIGNATURES.items()}

    async def ends(self, message: bytes, *, is_infer: bool) -> str:
        """The reason of the refusal, or "OK"; whatever else a message brings about is raised."""
        try:
            await self._answer(message, is_infer=is_infer)
        except (InvalidInput, NotFound, Unsupported) as error:
            return _checked(error)
        return "OK"

    async def _answer(self, message: bytes, *, is_infer: bool) -> None:
        if is_infer:
            request = self._infer.decode(message, now=0.0, remaining_s=None).request
        else:
            wire = parse(pb.PredictRequest, message, self._limits)
            request = self._predict.decode(wire, size_bytes=len(message), now=0.0, remaining_s=None)
        model = self._models.get(request.model)
        if model is None:
            check_model_name(request.model)
            raise NotFound("no such model")
        await model.predict(request)


def _checked(error: ServerError) -> str:
    """The reason; what a caller would see of the error is well-formed."""
    status = status_of(error)
    assert len(status.message) <= 512
    assert status.message.isascii()
    assert status.message.isprintable()
    assert sum(len(value) for _, value in status.trailers()) < 4096
    return status.reason


async def count(most: int, seed: int) -> collections.Counter[str]:
    """How `most` cases end, by reason."""
    reader = Reader()
    ends: collections.Counter[str] = collections.Counter()
    for number, (is_infer, message) in zip(range(most), cases(seed), strict=False):
        try:
            ends[await reader.ends(message, is_infer=is_infer)] += 1
        except Exception as error:
            error.add_note(f"case {number}, seed {seed}: {message!r}")
            raise
    return ends


if __name__ == "__main__":
    found = asyncio.run(count(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    sys.stdout.write("".join(f"{cases:9} {reason}\n" for reason, cases in found.most_common()))
