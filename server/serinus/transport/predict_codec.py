"""Reads and writes the messages of serinus.v1.PredictService."""

from serinus.core.dtypes import DType, dtype_of
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Request, Response, Tensor
from serinus.transport.deadlines import Budgets
from serinus.transport.tensors import raw_from_tensor, tensor_from_raw
from serinus.transport.wire_limits import check_text
from serinus_api.v1 import predict_pb2 as pb

TO_WIRE = {dtype: pb.DataType.Value(f"DATA_TYPE_{dtype}") for dtype in DType}
FROM_WIRE: dict[int, DType] = {number: dtype for dtype, number in TO_WIRE.items()}


class PredictDecoder:
    """Decodes requests; deadlines come from `budgets`.

    Attributes:
        max_inputs: Most inputs of one call.
    """

    def __init__(self, *, budgets: Budgets, max_inputs: int) -> None:
        self._budgets = budgets
        self._max_inputs = max_inputs

    def decode(self, wire: pb.PredictRequest, *, size_bytes: int, now: float, remaining_s: float | None) -> Request:
        """Decode one call.

        Args:
            wire: As received.
            size_bytes: What it occupies.
            now: Event-loop time in seconds.
            remaining_s: Until the gRPC deadline, or None.

        Raises:
            InvalidInput: it breaks a rule of the protocol.
        """
        request_id, routing_key = wire.request_id, wire.routing_key
        if request_id:
            check_text("request_id", request_id)
        if routing_key:
            check_text("routing_key", routing_key)
        return Request(
            inputs=self._inputs(wire),
            deadline=self._budgets.deadline(now, remaining_s, wire.timeout_us),
            arrived=now,
            model=wire.model,
            version=wire.version,
            outputs=tuple(wire.outputs) if wire.outputs else (),
            request_id=request_id,
            routing_key=routing_key,
            priority=wire.priority,
            size_bytes=size_bytes,
        )

    def _inputs(self, wire: pb.PredictRequest) -> dict[str, Tensor]:
        if len(wire.inputs) > self._max_inputs:
            raise InvalidInput(
                f"expected at most {self._max_inputs} inputs, got {len(wire.inputs)}", reason="TOO_MANY_INPUTS"
            )
        tensors: dict[str, Tensor] = {}
        for tensor in wire.inputs:
            name = tensor.name
            dtype = FROM_WIRE.get(tensor.dtype)
            if dtype is None:
                raise InvalidInput(
                    f"input {name!r}: expected a dtype of {', '.join(TO_WIRE)}, got number {tensor.dtype}",
                    reason="UNKNOWN_DTYPE",
                    field=name,
                )
            if name in tensors:
                raise InvalidInput(f"input {name!r}: expected once, got it again", reason="DUPLICATE_INPUT", field=name)
            tensors[name] = tensor_from_raw(name, dtype, tuple(tensor.shape), tensor.data)
        return tensors


def encode_predict(request: Request, response: Response) -> pb.PredictResponse:
    """The answer to `request`."""
    return pb.PredictResponse(
        model=response.answered_by.model,
        version=response.answered_by.version_text,
        outputs=[
            pb.Tensor(name=name, dtype=TO_WIRE[dtype_of(tensor)], shape=tensor.shape, data=raw_from_tensor(tensor))
            for name, tensor in response.outputs.items()
        ],
        request_id=request.request_id,
        fallback=response.fallback,
        queue_us=int(response.queue_s * 1e6),
        compute_us=int(response.compute_s * 1e6),
        batch_rows=response.batch_rows,
    )
