"""A hand-written server: tests say how it answers, and see what it was sent."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
import grpc.aio

from serinus_api.v1 import admin_pb2
from serinus_api.v1 import predict_pb2 as pb

Answer = Callable[[pb.PredictRequest], Awaitable[pb.PredictResponse]]


class RefusedError(Exception):
    """Raised by an `Answer` to end the call with an error."""

    def __init__(
        self, code: grpc.StatusCode, reason: str, message: str = "no", *, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.error = pb.CallError(code=code.value[0], reason=reason, message=message, retry_after_ms=retry_after_ms)


def info(
    *inputs: tuple[str, str, Iterable[int]], model: str = "m", version: str = "1.0.0", outputs: Iterable[str] = ("y",)
) -> pb.GetModelInfoResponse:
    """Describe a model: inputs as (name, dtype, shape), all outputs FP32."""
    return pb.GetModelInfoResponse(
        model=model,
        version=version,
        inputs=[
            pb.TensorInfo(name=name, dtype=pb.DataType.Value(f"DATA_TYPE_{dtype}"), shape=shape, batch_axis=0)
            for name, dtype, shape in inputs or [("x", "FP32", [-1, 2])]
        ],
        outputs=[pb.TensorInfo(name=name, dtype=pb.DATA_TYPE_FP32, shape=[-1, 2], batch_axis=0) for name in outputs],
        serving_versions=[version],
        max_rows=32,
    )


async def echo(request: pb.PredictRequest) -> pb.PredictResponse:
    """Answer with each input under the name "y"."""
    outputs = [pb.Tensor(name="y", dtype=t.dtype, shape=t.shape, data=t.data) for t in request.inputs]
    return pb.PredictResponse(
        model=request.model,
        version="1.0.0",
        outputs=outputs,
        request_id=request.request_id,
        queue_us=1500,
        compute_us=2500,
        batch_rows=3,
    )


class FakeServer:
    """Serves PredictService and AdminService on a free port: `async with FakeServer() as server`.

    Attributes:
        worker: What its streams say of themselves at once, such as "1/2"; then others may share its port. "" for a
            server that says nothing.
        answer: How calls are answered; tests replace it at any time.
        credits: Said with every reply.
        info: What `GetModelInfo` says.
        info_error: What `GetModelInfo` fails with instead, or None.
        stream_error: What a new stream fails with after its first frame, or None.
        raw_reply: Sent in place of every reply frame, or None.
        frames: Every frame received.
        unary: Every unary request received.
        info_requests: Every `GetModelInfo` received.
        metadata: Of every call and stream begun.
        streams: Streams begun.
        cancelled: Ids whose work was cancelled, by the client's `cancel` or by its stream's end.
    """

    def __init__(
        self,
        answer: Answer = echo,
        *,
        port: int = 0,
        worker: str = "",
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.worker = worker
        self.answer = answer
        self.credits = 0
        self.info = info()
        self.info_error: RefusedError | None = None
        self.stream_error: RefusedError | None = None
        self.raw_reply: bytes | None = None
        self.frames: list[pb.PredictFrame] = []
        self.unary: list[pb.PredictRequest] = []
        self.info_requests: list[pb.GetModelInfoRequest] = []
        self.metadata: list[dict[str, Any]] = []
        self.streams = 0
        self.cancelled: asyncio.Queue[int] = asyncio.Queue()
        self._break = asyncio.Event()
        self._end = asyncio.Event()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", int(bool(worker)))])
        self._server.add_generic_rpc_handlers(self._handlers())
        address = f"127.0.0.1:{port}"
        self.port = (
            self._server.add_insecure_port(address)
            if credentials is None
            else self._server.add_secure_port(address, credentials)
        )

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[pb.PredictRequest]:
        """Every call received in frames."""
        return [call.request for frame in self.frames for call in frame.calls]

    async def __aenter__(self):
        await self._server.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def stop(self):
        await self._server.stop(None)

    def break_streams(self) -> None:
        """End the streams that are open now, as a lost connection would."""
        self._break.set()
        self._break = asyncio.Event()

    def end_streams(self) -> None:
        """End the streams that are open now with status OK."""
        self._end.set()
        self._end = asyncio.Event()

    def _handlers(self):
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        predict = {
            "Predict": unary(self._predict),
            "PredictStream": stream(self._predict_stream),
            "GetModelInfo": unary(self._get_info),
        }
        return (
            grpc.method_handlers_generic_handler("serinus.v1.PredictService", predict),
            grpc.method_handlers_generic_handler("serinus.v1.AdminService", {"GetServerStatus": unary(self._status)}),
        )

    def _begun(self, context) -> None:
        self.metadata.append(dict(context.invocation_metadata()))

    async def _get_info(self, raw, context):
        self._begun(context)
        self.info_requests.append(pb.GetModelInfoRequest.FromString(raw))
        if self.info_error is not None:
            await _abort(context, self.info_error)
        return self.info.SerializeToString()

    async def _status(self, raw, context):
        self._begun(context)
        admin_pb2.GetServerStatusRequest.FromString(raw)
        return admin_pb2.GetServerStatusResponse(server_version="0.1.0", ready=True).SerializeToString()

    async def _predict(self, raw, context):
        self._begun(context)
        request = pb.PredictRequest.FromString(raw)
        self.unary.append(request)
        try:
            return (await self.answer(request)).SerializeToString()
        except RefusedError as refused:
            await _abort(context, refused)

    async def _predict_stream(self, _, context):
        self._begun(context)
        self.streams += 1
        if self.worker:
            await context.send_initial_metadata((("x-serinus-worker", self.worker),))
        handler = _StreamHandler(self, context)
        ends = {
            asyncio.ensure_future(handler.run()): None,
            asyncio.ensure_future(self._break.wait()): grpc.StatusCode.UNAVAILABLE,
            asyncio.ensure_future(self._end.wait()): grpc.StatusCode.OK,
        }
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if self.stream_error is not None:
            await _abort(context, self.stream_error)
        if any(ends[task] is grpc.StatusCode.UNAVAILABLE for task in done):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "broken by the test")


class _StreamHandler:
    """One stream: every call a task, replies in the order in which they finish."""

    def __init__(self, server: FakeServer, context) -> None:
        self._server = server
        self._context = context
        self._running: dict[int, asyncio.Task] = {}
        self._replies: asyncio.Queue[pb.Reply | None] = asyncio.Queue()

    async def run(self) -> None:
        writer = asyncio.ensure_future(self._write())
        try:
            while (raw := await self._context.read()) is not grpc.aio.EOF:
                frame = pb.PredictFrame.FromString(raw)
                self._server.frames.append(frame)
                if self._server.stream_error is not None:
                    return
                for call in frame.calls:
                    self._running[call.id] = asyncio.ensure_future(self._answer(call))
                for call_id in frame.cancel:
                    if (task := self._running.get(call_id)) is not None:
                        task.cancel()
        finally:
            # Replies that are late stay unsent; the write under way ends by itself, because a cancelled one would
            # leave grpc with an operation that collides with the stream's end.
            self._replies.put_nowait(None)
            await asyncio.gather(writer, return_exceptions=True)
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self) -> None:
        while (reply := await self._replies.get()) is not None:
            await self._context.write(self._server.raw_reply or self._frame(reply))

    def _frame(self, reply: pb.Reply) -> bytes:
        return pb.ReplyFrame(replies=[reply], credits=self._server.credits).SerializeToString()

    async def _answer(self, call: pb.Call) -> None:
        reply = pb.Reply(id=call.id)
        try:
            reply.response.CopyFrom(await self._server.answer(call.request))
        except RefusedError as refused:
            reply.error.CopyFrom(refused.error)
        except asyncio.CancelledError:
            self._server.cancelled.put_nowait(call.id)
            reply.error.CopyFrom(pb.CallError(code=grpc.StatusCode.CANCELLED.value[0], reason="CANCELLED"))
        finally:
            del self._running[call.id]
        self._replies.put_nowait(reply)


async def _abort(context, refused: RefusedError) -> None:
    trailers = ()
    if refused.error.HasField("retry_after_ms"):
        trailers = (("grpc-retry-pushback-ms", str(refused.error.retry_after_ms)),)
    await context.abort(refused.code, f"{refused.error.reason}: {refused.error.message}", trailers)


@contextlib.contextmanager
def loop_errors(loop: asyncio.AbstractEventLoop):
    """Collect what would be logged as an error of the loop: tasks destroyed, exceptions never retrieved."""
    seen: list[dict[str, Any]] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: seen.append(context))
    try:
        yield seen
    finally:
        loop.set_exception_handler(before)
