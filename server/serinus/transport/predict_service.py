"""serinus.v1.PredictService: what the SDK speaks."""

from collections.abc import Callable
from time import monotonic

import grpc

from serinus.core.errors import ServerError
from serinus.core.predictor import Predictor
from serinus.lifecycle.models import Models
from serinus.telemetry.metrics import Metrics
from serinus.transport.attributes import said_in
from serinus.transport.drain import Drain
from serinus.transport.frames import FrameStream
from serinus.transport.guard import Context
from serinus.transport.large_contents import take_data
from serinus.transport.predict_codec import PredictDecoder, PredictEncoder, tensor_info
from serinus.transport.service import parse, service, typed
from serinus.transport.wire_limits import WireLimits
from serinus_api.v1 import predict_pb2 as pb

NAME = "serinus.v1.PredictService"
_DATA_OF_INPUTS = (pb.PredictRequest.INPUTS_FIELD_NUMBER, pb.Tensor.DATA_FIELD_NUMBER)


class PredictService:
    """Answers predictions with `predictor`, one by one or in frames; `models` says what there is.

    Attributes:
        worker: Which of how many processes that share the port this one is, such as "2/4".
    """

    def __init__(
        self,
        *,
        models: Models,
        predictor: Predictor,
        decoder: PredictDecoder,
        limits: WireLimits,
        drain: Drain,
        metrics: Metrics,
        worker: str = "1/1",
    ) -> None:
        self._worker = worker
        self._models = models
        self._predictor = predictor
        self._decoder = decoder
        self._limits = limits
        self._drain = drain
        self._metrics = metrics
        self._encoder = PredictEncoder()

    def handler(self, arrive: Callable[[], None]) -> grpc.GenericRpcHandler:
        """What a server registers; `arrive` is called for each call."""
        return service(
            NAME,
            unary={"Predict": self._predict, "GetModelInfo": typed(pb.GetModelInfoRequest, self._model_info)},
            streams={"PredictStream": self._predict_stream},
            arrive=arrive,
        )

    async def _predict(self, message: bytes, context: Context) -> bytes:
        try:
            around, contents = take_data(message, *_DATA_OF_INPUTS)
            request = self._decoder.decode(
                parse(pb.PredictRequest, around, self._limits),
                size_bytes=len(message),
                now=monotonic(),
                remaining_s=context.time_remaining(),
                said=said_in(context.invocation_metadata()),
                contents=contents,
            )
        except ServerError as error:
            self._metrics.refused(error.reason)
            raise
        request.alone = True
        response = await self._predictor.predict(request)
        started = monotonic()
        answer = self._encoder.encode(request, response)
        self._metrics.encoded(response.answered_by, monotonic() - started)
        return answer

    async def _predict_stream(self, context: Context) -> None:
        try:
            said = said_in(context.invocation_metadata())
        except ServerError as error:
            self._metrics.refused(error.reason)
            raise
        stream = FrameStream(
            context,
            said=said,
            predictor=self._predictor,
            decoder=self._decoder,
            encoder=self._encoder,
            drain=self._drain,
            metrics=self._metrics,
            worker=self._worker,
        )
        await stream.serve()

    def _model_info(self, asked: pb.GetModelInfoRequest) -> pb.GetModelInfoResponse:
        servable = self._models.find(asked.model, asked.version)
        return pb.GetModelInfoResponse(
            model=asked.model,
            version=servable.identity.version_text,
            inputs=[tensor_info(spec) for spec in servable.signature.inputs],
            outputs=[tensor_info(spec) for spec in servable.signature.outputs],
            serving_versions=[other.identity.version_text for other in self._models.serving(asked.model)],
            max_rows=servable.max_rows,
        )
