"""Reads a ModelInferRequest of the Open Inference Protocol into a `Request`."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from open_inference import grpc_service_pb2 as oip
from serinus.core.criticality import Criticality
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput, Unsupported
from serinus.core.predictor import Request, Tensor
from serinus.core.raw_tensors import element_count, object_array, tensor_from_raw
from serinus.transport.attributes import NOTHING_SAID, Said, criticality_named
from serinus.transport.deadlines import Budgets
from serinus.transport.large_contents import take_contents
from serinus.transport.oip.repeats import Repeats
from serinus.transport.service import parse
from serinus.transport.status import printable
from serinus.transport.wire_limits import WireLimits, check_text

_DTYPES = {str(dtype): dtype for dtype in DType}
# Which field of InferTensorContents holds which element type; half floats have none and must come raw.
_TYPED_FIELDS = {
    DType.BOOL: "bool_contents",
    DType.INT8: "int_contents",
    DType.INT16: "int_contents",
    DType.INT32: "int_contents",
    DType.INT64: "int64_contents",
    DType.UINT8: "uint_contents",
    DType.UINT16: "uint_contents",
    DType.UINT32: "uint_contents",
    DType.UINT64: "uint64_contents",
    DType.FP32: "fp32_contents",
    DType.FP64: "fp64_contents",
    DType.BYTES: "bytes_contents",
}
# Parameters with a meaning in the protocol that is empty here: this server keeps no sequences and streams one answer
# to each request. The C++ client sends the last one on every call.
_IGNORED = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "triton_enable_empty_final_response", "triton_final_response"}
)
_MOST_TYPED = 1 << 20  # of one tensor: 75 ms of making objects, which the event loop waits for
_RESERVED = frozenset({"headers", "binary_data_output"})


@dataclasses.dataclass(slots=True)
class Decoded:
    """A request, and what its answer must do besides holding the outputs.

    Attributes:
        request: The call.
        classify: By output name, how many classes to answer in place of the tensor.
    """

    request: Request
    classify: Mapping[str, int]


_NOTHING: Mapping[str, int] = {}


@dataclasses.dataclass(slots=True)
class _Meaning:
    """What a request says besides its inputs; the same bytes always mean the same.

    How it is to be answered: 0, "" or None where it does not say.
    """

    model: str
    version: str
    request_id: str
    outputs: tuple[str, ...] = ()
    classify: Mapping[str, int] = dataclasses.field(default_factory=lambda: _NOTHING)
    timeout_us: int = 0
    priority: int = 0
    routing_key: str = ""
    tenant: str = ""
    criticality: Criticality | None = None


class InferDecoder:
    """Decodes requests within `limits`; deadlines come from `budgets`."""

    def __init__(self, *, budgets: Budgets, limits: WireLimits) -> None:
        self._budgets = budgets
        self._limits = limits
        self._repeats: Repeats[_Meaning] = Repeats()

    def decode(self, message: bytes, *, now: float, remaining_s: float | None, said: Said = NOTHING_SAID) -> Decoded:
        """Decode a serialised request.

        Args:
            message: As received.
            now: Event-loop time in seconds.
            remaining_s: Until the gRPC deadline, or None.
            said: In its metadata, or its stream's; what the request says itself has precedence.

        Raises:
            InvalidInput: it cannot be read, or breaks a rule of the protocol.
            Unsupported: it asks for shared memory.
        """
        meaning, inputs = self._repeats.recall(message) or self._read(message)
        return Decoded(
            Request(
                inputs=inputs,
                deadline=self._budgets.deadline(now, remaining_s, meaning.timeout_us),
                arrived=now,
                model=meaning.model,
                version=meaning.version,
                outputs=meaning.outputs,
                request_id=meaning.request_id,
                routing_key=meaning.routing_key or said.routing_key,
                attributes=said.attributes,
                priority=meaning.priority,
                criticality=meaning.criticality or said.criticality,
                tenant=meaning.tenant or said.tenant,
                size_bytes=len(message),
                has_deadline=remaining_s is not None or meaning.timeout_us > 0,
            ),
            meaning.classify,
        )

    def _read(self, message: bytes) -> tuple[_Meaning, dict[str, Tensor]]:
        around, contents = take_contents(message, oip.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER)
        wire = parse(oip.ModelInferRequest, around, self._limits)
        check_text("id", wire.id)
        meaning = _Meaning(model=wire.model_name, version=wire.model_version, request_id=wire.id)
        if wire.parameters:
            _take_parameters(meaning, wire.parameters)
        if wire.outputs:
            meaning.outputs, meaning.classify = _outputs(wire.outputs)
        raws = [contents.get(place, raw) for place, raw in enumerate(wire.raw_input_contents)]
        inputs = self._inputs(wire, raws)
        if not wire.id:  # who names each call repeats none
            self._repeats.learn(message, meaning, inputs, raws)
        return meaning, inputs

    def id_of(self, message: bytes) -> str:
        """The id of a call that failed, if it can be read, so that the client knows which one it was."""
        try:
            request_id = parse(oip.ModelInferRequest, message, self._limits).id
        except InvalidInput:
            return ""
        try:
            check_text("id", request_id)
        except InvalidInput:
            return printable(request_id)
        return request_id

    def _inputs(self, wire: oip.ModelInferRequest, raws: Sequence[bytes | memoryview]) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        count = len(wire.inputs)
        if raws and len(raws) != count:
            raise InvalidInput(
                f"raw_input_contents: expected {count} entries, one for each input, got {len(raws)}",
                reason="WRONG_RAW_COUNT",
            )
        for index, tensor in enumerate(wire.inputs):
            name = tensor.name
            dtype = _DTYPES.get(tensor.datatype)
            if dtype is None:
                raise InvalidInput(
                    f"input {name!r}: expected a datatype of {', '.join(_DTYPES)}, got {tensor.datatype[:32]!r}",
                    reason="UNKNOWN_DTYPE",
                    field=name,
                )
            if tensor.parameters:
                _refuse_shared_memory(tensor.parameters, f"input {name!r}")
            if name in tensors:
                raise InvalidInput(f"input {name!r}: expected once, got it again", reason="DUPLICATE_INPUT", field=name)
            shape = tuple(tensor.shape)
            if not raws:
                tensors[name] = _typed(name, dtype, shape, tensor.contents)
                continue
            if tensor.HasField("contents"):
                raise InvalidInput(
                    f"input {name!r}: expected no contents beside raw_input_contents",
                    reason="RAW_AND_TYPED",
                    field=name,
                )
            tensors[name] = tensor_from_raw(name, dtype, shape, raws[index])
        return tensors


def _typed(name: str, dtype: DType, shape: tuple[int, ...], contents: oip.InferTensorContents) -> Tensor:
    """An array from typed contents; values out of range are refused, never wrapped."""
    field = _TYPED_FIELDS.get(dtype)
    if field is None:
        raise InvalidInput(f"input {name!r}: {dtype} must come in raw_input_contents", reason="MUST_BE_RAW", field=name)
    if others := [other.name for other, _ in contents.ListFields() if other.name != field]:
        raise InvalidInput(
            f"input {name!r}: {dtype}: expected {field}, got {others[0]}", reason="WRONG_CONTENTS", field=name
        )
    values = getattr(contents, field)
    expected = element_count(name, shape)
    if len(values) > _MOST_TYPED:
        raise InvalidInput(
            f"input {name!r}: expected at most {_MOST_TYPED} elements in {field}, got {len(values)}; "
            "raw_input_contents holds any number",
            reason="TOO_MANY_ELEMENTS",
            field=name,
        )
    if len(values) != expected:
        raise InvalidInput(
            f"input {name!r}: shape {list(shape)}: expected {expected} elements, got {len(values)}",
            reason="WRONG_SIZE",
            field=name,
        )
    if dtype is DType.BYTES:
        return object_array(list(values)).reshape(shape)
    array = np.array(values, dtype=_wide(dtype))
    narrow = array.astype(dtype.numpy)
    if dtype.numpy.kind in "iu" and not np.array_equal(array, narrow):
        raise InvalidInput(
            f"input {name!r}: expected values that {dtype} can hold, got {array.min()} to {array.max()}",
            reason="OUT_OF_RANGE",
            field=name,
        )
    return narrow.reshape(shape)


def _wide(dtype: DType) -> np.dtype[np.generic]:
    """The type in which the protocol carries values of `dtype`."""
    match dtype.numpy.kind:
        case "i":
            return np.dtype(np.int64)
        case "u":
            return np.dtype(np.uint64)
        case _:
            return dtype.numpy


def _outputs(
    wanted: Iterable[oip.ModelInferRequest.InferRequestedOutputTensor],
) -> tuple[tuple[str, ...], Mapping[str, int]]:
    names: list[str] = []
    classify: dict[str, int] = {}
    for output in wanted:
        names.append(output.name)
        if not output.parameters:
            continue
        _refuse_shared_memory(output.parameters, f"output {output.name!r}")
        if "classification" in output.parameters:
            classes = output.parameters["classification"].int64_param
            if classes < 1:
                raise InvalidInput(
                    f"output {output.name!r}: classification: expected at least 1, got {classes}",
                    reason="WRONG_PARAMETER",
                    field=output.name,
                )
            classify[output.name] = classes
    return tuple(names), classify


def _refuse_shared_memory(parameters: Mapping[str, oip.InferParameter], where: str) -> None:
    if "shared_memory_region" in parameters:
        raise Unsupported(f"{where}: shared memory is not supported; send the tensor's bytes in the message")


def _take_parameters(meaning: _Meaning, parameters: Mapping[str, oip.InferParameter]) -> None:
    for name, value in parameters.items():
        check_text("parameter", name)
        match name:
            case "timeout":
                meaning.timeout_us = _whole(name, value)
            case "priority":
                meaning.priority = _whole(name, value)
            case "routing_key":
                meaning.routing_key = _text(name, value)
            case "tenant":
                meaning.tenant = _text(name, value)
            case "criticality":
                meaning.criticality = criticality_named("parameter 'criticality'", _text(name, value))
            case _:
                _check_without_meaning(name, value)


def _check_without_meaning(name: str, value: oip.InferParameter) -> None:
    if name not in _IGNORED and (name in _RESERVED or name.startswith("triton_")):
        raise InvalidInput(f"parameter {name!r} is reserved by the protocol", reason="RESERVED_PARAMETER", field=name)
    if value.WhichOneof("parameter_choice") == "string_param":
        check_text(f"parameter {name!r}", value.string_param)


def _whole(name: str, value: oip.InferParameter) -> int:
    match value.WhichOneof("parameter_choice"):
        case "int64_param" if value.int64_param >= 0:
            return value.int64_param
        case "uint64_param":
            return value.uint64_param
        case _:
            raise InvalidInput(
                f"parameter {name!r}: expected a whole number of at least 0", reason="WRONG_PARAMETER", field=name
            )


def _text(name: str, value: oip.InferParameter) -> str:
    if value.WhichOneof("parameter_choice") != "string_param":
        raise InvalidInput(f"parameter {name!r}: expected text", reason="WRONG_PARAMETER", field=name)
    check_text(f"parameter {name!r}", value.string_param, field=name)
    return value.string_param
