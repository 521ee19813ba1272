"""ModelInfer and ModelStreamInfer of the Open Inference Protocol."""

import asyncio
from time import monotonic

import grpc.aio

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput, ModelFailed, ServerError
from serinus.core.predictor import Predictor
from serinus.lifecycle.models import Models
from serinus.telemetry.metrics import Metrics
from serinus.transport.attributes import Said, said_in
from serinus.transport.drain import Drain
from serinus.transport.guard import Context, is_ours, wire_status, write
from serinus.transport.oip.decode import Decoded, InferDecoder
from serinus.transport.oip.encode import InferEncoder, not_classes
from serinus.transport.wire import length_tag, nested

_MOST_OPEN = 256  # calls of one stream; then its messages wait in the transport
_INFER_RESPONSE = length_tag(2)
_STREAM = "inference.GRPCInferenceService/ModelStreamInfer"


class OipInfer:
    """Answers inference calls with `predictor`; `models` says what their versions give."""

    def __init__(
        self, *, models: Models, predictor: Predictor, decoder: InferDecoder, drain: Drain, metrics: Metrics
    ) -> None:
        self._models = models
        self._predictor = predictor
        self._decoder = decoder
        self._drain = drain
        self._metrics = metrics
        self._encoder = InferEncoder()

    async def infer(self, message: bytes, context: Context) -> bytes:
        """ModelInfer."""
        return await self._answer(message, context.time_remaining(), self._said(context), alone=True)

    def _said(self, context: Context) -> Said:
        try:
            return said_in(context.invocation_metadata())
        except InvalidInput as error:
            self._metrics.refused(error.reason)
            raise

    async def _answer(self, message: bytes, remaining_s: float | None, said: Said, *, alone: bool) -> bytes:
        """The serialised ModelInferResponse to a serialised request."""
        try:
            decoded = self._decoder.decode(message, now=monotonic(), remaining_s=remaining_s, said=said)
            if decoded.classify:
                self._check_classes(decoded)
        except ServerError as error:
            self._metrics.refused(error.reason)
            raise
        request = decoded.request
        request.alone = alone
        response = await self._predictor.predict(request)
        started = monotonic()
        labels = self._models.labels(response.answered_by) if decoded.classify else {}
        answer = self._encoder.encode(request, response, decoded.classify, labels)
        self._metrics.encoded(response.answered_by, monotonic() - started)
        return answer

    def _check_classes(self, decoded: Decoded) -> None:
        """Refuse before the run what could not be answered after it, and would count as answered."""
        request = decoded.request
        try:
            servable = self._models.find(request.model, request.version or request.attributes.get("version", ""))
        except ServerError:
            return  # another one may answer in its place; if none does, predicting says why
        outputs = servable.signature.output
        for name in decoded.classify:
            spec = outputs.get(name)
            if spec is not None and (spec.dtype is DType.BYTES or not spec.shape):
                raise not_classes(name, spec.dtype)

    async def stream(self, context: Context) -> None:
        """ModelStreamInfer: many calls at once, answered in the order in which they came.

        A call that fails is answered with `error_message`, and the stream goes on; a client that sent the metadata
        `triton_grpc_error: true` gets the status instead, and the stream ends.
        """
        metadata = context.invocation_metadata() or ()
        wants_status = ("triton_grpc_error", "true") in [(key, value) for key, value in metadata]
        said = self._said(context)
        answers: _Answers = asyncio.Queue()
        room = asyncio.Semaphore(_MOST_OPEN)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as calls:
            reading = calls.create_task(self._read_until_drained(context, said, calls, answers, room))
            while failure is None and (task := await answers.get()) is not None:
                answer, error = await task
                room.release()
                if error is not None and wants_status:
                    failure = error
                else:
                    await write(context, answer)
            reading.cancel()
            while not answers.empty():
                if (task := answers.get_nowait()) is not None:
                    task.cancel()
        if failure is not None:
            raise failure

    async def _read_until_drained(
        self, context: Context, said: Said, calls: asyncio.TaskGroup, answers: "_Answers", room: asyncio.Semaphore
    ) -> None:
        await self._drain.run(self._read(context, said, calls, answers, room))
        answers.put_nowait(None)

    async def _read(
        self, context: Context, said: Said, calls: asyncio.TaskGroup, answers: "_Answers", room: asyncio.Semaphore
    ) -> None:
        """Start the calls of a stream; between a message and its place among the answers nothing is awaited."""
        while True:
            await room.acquire()
            message = await context.read()
            if message is grpc.aio.EOF:  # type: ignore[comparison-overlap]  # the stubs forget the end
                return
            answers.put_nowait(calls.create_task(self._stream_answer(message, said)))

    async def _stream_answer(self, message: bytes, said: Said) -> tuple[bytes, Exception | None]:
        """The answer to one message of a stream, and what went wrong."""
        try:
            return nested(_INFER_RESPONSE, await self._answer(message, None, said, alone=False)), None
        except asyncio.CancelledError as error:
            if not is_ours(error):
                raise
            failure: Exception = ModelFailed("the call was interrupted")
        except Exception as error:  # noqa: BLE001 - a call's outermost frame; wire_status logs
            failure = error
        status = wire_status(failure, method=_STREAM)
        named = oip.ModelInferResponse(id=self._decoder.id_of(message))
        answer = oip.ModelStreamInferResponse(error_message=status.message, infer_response=named)
        return answer.SerializeToString(), failure


_Answers = asyncio.Queue[asyncio.Task[tuple[bytes, Exception | None]] | None]
