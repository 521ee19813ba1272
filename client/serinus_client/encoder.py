"""Turns a caller's arrays into the message of one call, for one model."""

from collections.abc import Mapping, Sequence
from typing import Any

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.codec import InputCodec
from serinus_client.criticality import Criticality
from serinus_client.errors import InvalidInput
from serinus_client.model_info import ModelInfo

_CALL_OVERHEAD_BYTES = 64  # ids, names and lengths around the tensors; only the order of magnitude matters


class Encoder:
    """Makes calls to one model and version.

    Attributes:
        info: What the model takes and gives.
        model: The name that the caller uses.
        version: What the caller writes: "", "1.2.0" or an alias.
    """

    def __init__(self, info: ModelInfo, *, model: str, version: str) -> None:
        self.info = info
        self.model = model
        self.version = version
        self._codecs = tuple(InputCodec(tensor) for tensor in info.inputs)
        self._inputs = frozenset(codec.name for codec in self._codecs)
        self._required = tuple(tensor.name for tensor in info.inputs if not tensor.optional)
        self._outputs = tuple(tensor.name for tensor in info.outputs)

    def encode(
        self,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        *,
        request_id: str,
        routing_key: str,
        attributes: Mapping[str, str] | None,
        priority: int,
        criticality: Criticality | None = None,
        tenant: str = "",
    ) -> tuple[pb.PredictFrame, int]:
        """A frame that holds this one call, its id and timeout still unset, and about how many bytes it takes.

        A frame, because frames join by concatenating their bytes: each call is encoded once, by its own caller.

        Raises:
            InvalidInput: the model does not take this; the sentence is the one that the server would answer.
        """
        frame = pb.PredictFrame()
        request = frame.calls.add().request
        request.model = self.model
        tensors = request.inputs
        size_bytes = _CALL_OVERHEAD_BYTES
        found = 0
        for codec in self._codecs:
            name = codec.name
            if name not in inputs:
                continue
            found += 1
            data, shape = codec.encode(inputs[name])
            tensor = tensors.add()
            tensor.name = name
            tensor.dtype = codec.dtype
            tensor.shape.extend(shape)
            tensor.data = data
            size_bytes += len(data)
        if found != len(inputs) or found < len(self._codecs):
            self._check_names(inputs)
        if self.version:
            request.version = self.version
        if outputs:
            self._check_outputs(outputs)
            request.outputs.extend(outputs)
        if request_id:
            request.request_id = request_id
        if routing_key:
            request.routing_key = routing_key
        if attributes:
            request.attributes.update(attributes)
        _say_what_matters(request, priority, criticality, tenant)
        return frame, size_bytes

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        if missing := [name for name in self._required if name not in inputs]:
            raise InvalidInput(f"missing inputs {missing}: expected {list(self._required)}", reason="MISSING_INPUT")
        if unknown := [str(name)[:64] for name in inputs if name not in self._inputs]:
            expected = [codec.name for codec in self._codecs]
            raise InvalidInput(f"unknown inputs {unknown[:8]}: expected {expected}", reason="UNKNOWN_INPUT")

    def _check_outputs(self, outputs: Sequence[str]) -> None:
        if unknown := [name[:64] for name in outputs if name not in self._outputs]:
            raise InvalidInput(
                f"unknown outputs {unknown[:8]}: expected some of {list(self._outputs)}", reason="UNKNOWN_OUTPUT"
            )
        if len(set(outputs)) != len(outputs):
            raise InvalidInput(f"outputs {list(outputs)}: expected each at most once", reason="DUPLICATE_OUTPUT")


def _say_what_matters(request: pb.PredictRequest, priority: int, criticality: Criticality | None, tenant: str) -> None:
    if priority:
        request.priority = priority
    if criticality is not None:
        request.criticality = criticality.number
    if tenant:
        request.tenant = tenant
