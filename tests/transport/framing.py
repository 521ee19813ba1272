"""Frames as a client writes and reads them, and a predictor whose calls a test ends one by one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import numpy as np
from prometheus_client import CollectorRegistry

from serinus.core.predictor import Request, Response
from serinus.core.version import ModelVersion, Version
from serinus.telemetry.metrics import Metrics
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.frames import FrameStream
from serinus.transport.guard import Context
from serinus.transport.predict_codec import PredictDecoder, PredictEncoder
from serinus_api.v1 import predict_pb2 as pb
from tests.transport.fake_context import FakeContext

VERSION = ModelVersion("m", Version(1), 1)
CANCELLED = pb.CallError(code=1, message="CANCELLED: the caller cancelled the call", reason="CANCELLED")


def frame(*call_ids: int, cancel: Iterable[int] = (), request: pb.PredictRequest | None = None) -> bytes:
    """A message with calls, each named after its id."""
    calls = [pb.Call(id=id_, request=request or pb.PredictRequest(model="m", request_id=str(id_))) for id_ in call_ids]
    return pb.PredictFrame(calls=calls, cancel=cancel).SerializeToString()


def answer(call_id: int, size_bytes: int = 0) -> pb.Reply:
    """The reply to a call that `Answers` answers."""
    return pb.Reply(id=call_id, response=answered(call_id, size_bytes))


def answered(call_id: int, size_bytes: int) -> pb.PredictResponse:
    outputs = [pb.Tensor(name="y", dtype=pb.DATA_TYPE_UINT8, shape=[size_bytes], data=bytes(size_bytes))]
    return pb.PredictResponse(
        model="m", version="1.0.0", request_id=str(call_id), outputs=outputs if size_bytes else [], batch_rows=1
    )


def replies(messages: Iterable[bytes]) -> list[list[pb.Reply]]:
    """The replies of each message."""
    return [list(pb.ReplyFrame.FromString(message).replies) for message in messages]


def flat(messages: Iterable[bytes]) -> list[pb.Reply]:
    """The replies of all messages."""
    return [reply for message in replies(messages) for reply in message]


class Answers:
    """A predictor: calls wait until they are let go, unless `opened` lets all of them go at once.

    Attributes:
        size_bytes: Of each answer.
        requests: The calls that came, by id.
        ended: How each ended: "answered", "failed" or "cancelled".
        failing: What a call raises, by id.
    """

    def __init__(self, *, opened: bool = True, size_bytes: int = 0) -> None:
        self.size_bytes = size_bytes
        self.requests: dict[int, Request] = {}
        self.ended: dict[int, str] = {}
        self.failing: dict[int, BaseException] = {}
        self._opened = opened
        self._gates: dict[int, asyncio.Event] = {}
        self._came = asyncio.Event()

    def let_go(self, *call_ids: int) -> None:
        """Answer these calls."""
        for call_id in call_ids:
            self._gate(call_id).set()

    def open(self) -> None:
        """Answer all calls, also those to come."""
        self._opened = True
        self.let_go(*self._gates)

    async def until_inside(self, calls: int) -> None:
        """Wait until so many calls came."""
        while len(self.requests) < calls:
            self._came.clear()
            await self._came.wait()

    def _gate(self, call_id: int) -> asyncio.Event:
        return self._gates.setdefault(call_id, asyncio.Event())

    async def predict(self, request: Request, /) -> Response:
        call_id = int(request.request_id or 0)
        self.requests[call_id] = request
        self._came.set()
        gate = self._gate(call_id)
        self.ended[call_id] = "cancelled"
        if not self._opened:
            await gate.wait()
        self.ended[call_id] = "failed"
        if (error := self.failing.get(call_id)) is not None:
            raise error
        self.ended[call_id] = "answered"
        outputs = {"y": np.zeros(self.size_bytes, np.uint8)} if self.size_bytes else {}
        return Response(outputs, VERSION)


class Framing:
    """What a stream is made of.

    Attributes:
        drain: The server's.
        metrics: The server's.
    """

    def __init__(self, predictor: Answers, *, worker: str = "1/1") -> None:
        self._worker = worker
        self.drain = Drain()
        self.metrics = Metrics(CollectorRegistry())
        self._predictor = predictor
        self._decoder = PredictDecoder(budgets=Budgets(), max_inputs=4)

    async def serve(self, context: Context) -> None:
        """Serve one stream."""
        await FrameStream(
            context,
            predictor=self._predictor,
            decoder=self._decoder,
            encoder=PredictEncoder(),
            drain=self.drain,
            metrics=self.metrics,
            worker=self._worker,
        ).serve()


@contextlib.asynccontextmanager
async def streaming(framing: Framing, context: FakeContext) -> AsyncIterator["asyncio.Task[None]"]:
    """A stream that is served while the block runs; afterwards the client is done, and the stream must end."""
    task = asyncio.create_task(framing.serve(context))
    try:
        yield task
        context.close()
        async with asyncio.timeout(60):
            await asyncio.wait((task,))
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


async def exchanged(predictor: Answers, *messages: bytes) -> list[pb.Reply]:
    """All replies to messages that a client sent at once."""
    context = FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(*messages)
    return flat(context.written)
