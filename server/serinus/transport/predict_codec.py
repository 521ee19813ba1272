"""Reads and writes the messages of serinus.v1.PredictService."""

from collections.abc import Sequence

from serinus.core.criticality import Criticality
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Request, Response, Route, Tensor
from serinus.core.raw_tensors import raw_from_tensor, tensor_from_raw
from serinus.core.signature import TensorSpec
from serinus.core.traffic import Trigger
from serinus.core.version import ModelVersion
from serinus.transport.attributes import NOTHING_SAID, Said, together
from serinus.transport.deadlines import Budgets
from serinus.transport.large_contents import NO_CONTENTS, Contents
from serinus.transport.wire import KeptPrefixes, length_tag, nested, number_tag, varint
from serinus.transport.wire_limits import check_text
from serinus_api.v1 import predict_pb2 as pb

TO_WIRE = {dtype: pb.DataType.Value(f"DATA_TYPE_{dtype}") for dtype in DType}
_CRITICALITIES: dict[int, Criticality] = {
    pb.Criticality.Value(f"CRITICALITY_{each.name}"): each for each in Criticality
}
FROM_WIRE: dict[int, DType] = {number: dtype for dtype, number in TO_WIRE.items()}


class PredictDecoder:
    """Decodes requests; deadlines come from `budgets`.

    Attributes:
        max_inputs: Most inputs of one call.
    """

    def __init__(self, *, budgets: Budgets, max_inputs: int) -> None:
        self._budgets = budgets
        self._max_inputs = max_inputs

    def deadline(self, now: float, timeout_us: int) -> float:
        """That of a call in a frame which came `now` and says how long it waits."""
        return self._budgets.deadline(now, None, timeout_us)

    def decode(
        self,
        wire: pb.PredictRequest,
        *,
        size_bytes: int,
        now: float,
        remaining_s: float | None,
        said: Said = NOTHING_SAID,
        contents: Contents = NO_CONTENTS,
    ) -> Request:
        """Decode one call.

        Args:
            wire: As received.
            size_bytes: What it occupies.
            now: Event-loop time in seconds.
            remaining_s: Until the gRPC deadline, or None.
            said: In its metadata, or its stream's; what the call says itself has precedence.
            contents: Data of inputs that was taken out of it before it was parsed.

        Raises:
            InvalidInput: it breaks a rule of the protocol.
        """
        request_id, routing_key = wire.request_id, wire.routing_key
        if request_id:
            check_text("request_id", request_id)
        if routing_key:
            check_text("routing_key", routing_key)
        if tenant := wire.tenant:
            check_text("tenant", tenant, field="tenant")
        number, timeout_us = wire.criticality, wire.timeout_us
        return Request(
            inputs=decode_tensors(wire.inputs, max_inputs=self._max_inputs, contents=contents),
            deadline=self._budgets.deadline(now, remaining_s, timeout_us),
            arrived=now,
            model=wire.model,
            version=wire.version,
            outputs=tuple(wire.outputs) if wire.outputs else (),
            request_id=request_id,
            routing_key=routing_key or said.routing_key,
            attributes=together(said.attributes, wire.attributes),
            priority=wire.priority,
            criticality=_criticality(number) if number else said.criticality,
            tenant=tenant or said.tenant,
            size_bytes=size_bytes,
            has_deadline=remaining_s is not None or timeout_us > 0,
        )


def _criticality(number: int) -> Criticality:
    criticality = _CRITICALITIES.get(number)
    if criticality is None:
        expected = ", ".join(f"{each.value} ({each.name.lower()})" for each in Criticality)
        raise InvalidInput(
            f"criticality: expected one of {expected}, got number {number}", reason="WRONG_VALUE", field="criticality"
        )
    return criticality


def decode_tensors(
    wire: Sequence[pb.Tensor], *, max_inputs: int, contents: Contents = NO_CONTENTS
) -> dict[str, Tensor]:
    """Inputs by name, as views of what was received.

    Args:
        wire: As parsed.
        max_inputs: Most of them.
        contents: In place of the data of some, by their places.

    Raises:
        InvalidInput: too many, a name twice, a type that there is not, bytes that are not what the shape says.
    """
    if len(wire) > max_inputs:
        raise InvalidInput(f"expected at most {max_inputs} inputs, got {len(wire)}", reason="TOO_MANY_INPUTS")
    tensors: dict[str, Tensor] = {}
    for place, tensor in enumerate(wire):
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
        data = contents.get(place) if contents else None
        tensors[name] = tensor_from_raw(name, dtype, tuple(tensor.shape), tensor.data if data is None else data)
    return tensors


def tensor_info(spec: TensorSpec) -> pb.TensorInfo:
    """What callers are told of an input or output."""
    return pb.TensorInfo(
        name=spec.name,
        dtype=TO_WIRE[spec.dtype],
        shape=spec.wire_shape,
        batch_axis=spec.batch_axis,
        optional=spec.optional,
    )


_OUTPUT, _REQUEST_ID, _DATA = length_tag(3), length_tag(4), length_tag(4)
_QUEUE, _COMPUTE, _BATCH_ROWS = number_tag(6), number_tag(7), number_tag(8)
_USUAL = Route.USUAL
_ROUTES = {
    route: pb.PredictResponse(route=number).SerializeToString()
    for route, number in {
        Route.USUAL: pb.ROUTE_UNSPECIFIED,
        Route.PINNED: pb.ROUTE_PINNED,
        Route.RULE: pb.ROUTE_RULE,
        Route.WEIGHT: pb.ROUTE_WEIGHT,
    }.items()
}
_FALLBACKS = {
    trigger: pb.PredictResponse(
        fallback=True, fallback_reason=pb.FallbackReason.Value(f"FALLBACK_REASON_{trigger.name}")
    ).SerializeToString()
    for trigger in Trigger
}


class PredictEncoder:
    """Serialises answers as PredictResponse."""

    def __init__(self) -> None:
        self._prefixes = KeptPrefixes(_output_prefix)
        self._answerers: dict[ModelVersion, bytes] = {}
        self._run = (0.0, 0)
        self._run_fields = b""

    def encode(self, request: Request, response: Response) -> bytes:
        """The answer to `request`."""
        parts: list[bytes | memoryview] = [self._answerer(response.answered_by)]
        for name, tensor in response.outputs.items():
            data = raw_from_tensor(tensor)
            parts += (self._prefixes.of(name, tensor, len(data)), data)
        if request.request_id:
            parts.append(nested(_REQUEST_ID, request.request_id.encode()))
        if response.route is not _USUAL:
            parts.append(_ROUTES[response.route])
        if response.fallback is not None:
            parts.append(_FALLBACKS[response.fallback])
        parts += (_QUEUE, varint(int(response.queue_s * 1e6)), self._fields_of_run(response))
        return b"".join(parts)

    def _fields_of_run(self, response: Response) -> bytes:
        """The same bytes for all calls of a run, which are encoded one after the other."""
        run = (response.compute_s, response.batch_rows)
        if run != self._run:
            self._run = run
            self._run_fields = (
                _COMPUTE + varint(int(response.compute_s * 1e6)) + _BATCH_ROWS + varint(response.batch_rows)
            )
        return self._run_fields

    def _answerer(self, version: ModelVersion) -> bytes:
        head = self._answerers.get(version)
        if head is None:
            head = pb.PredictResponse(model=version.model, version=version.version_text).SerializeToString()
            self._answerers[version] = head
        return head


def _output_prefix(name: str, dtype: DType, shape: tuple[int, ...], size_bytes: int) -> bytes:
    head = pb.Tensor(name=name, dtype=TO_WIRE[dtype], shape=shape).SerializeToString() + _DATA + varint(size_bytes)
    return _OUTPUT + varint(len(head) + size_bytes) + head
