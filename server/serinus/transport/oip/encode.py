"""Writes a `Response` as a ModelInferResponse: one raw_output_contents entry per output, always.

A C++ client indexes raw_output_contents by output without looking; typed contents make it crash.
"""

import math
from collections.abc import Mapping

import numpy as np

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType, dtype_of
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Request, Response, Route, Tensor
from serinus.core.raw_tensors import object_array, raw_from_tensor
from serinus.core.traffic import Trigger
from serinus.core.version import ModelVersion
from serinus.transport.wire import KeptPrefixes, length_tag, nested, varint

_ID, _OUTPUT, _RAW = length_tag(3), length_tag(5), length_tag(6)
_USUAL = Route.USUAL


def _parameter(name: str, text: str) -> bytes:
    """One parameter of an answer; serialised maps put end to end are the map of all their entries."""
    return oip.ModelInferResponse(parameters={name: oip.InferParameter(string_param=text)}).SerializeToString()


_ROUTES = {route: _parameter("serinus_route", route.name.lower()) for route in Route}
_FALLBACKS = {trigger: _parameter("serinus_fallback", trigger) for trigger in Trigger}


class InferEncoder:
    """Serialises answers as ModelInferResponse."""

    def __init__(self) -> None:
        self._prefixes = KeptPrefixes(_output_prefix)
        self._answerers: dict[ModelVersion, bytes] = {}

    def encode(
        self, request: Request, response: Response, classify: Mapping[str, int], labels: Mapping[str, tuple[str, ...]]
    ) -> bytes:
        """The answer to `request`, with classes in place of the tensors that `classify` names.

        Raises:
            InvalidInput: an output that is to be classified holds no numbers.
        """
        parts: list[bytes | memoryview] = [self._answerer(response.answered_by)]
        if request.request_id:
            parts.append(nested(_ID, request.request_id.encode()))
        if response.route is not _USUAL:
            parts.append(_ROUTES[response.route])
        if response.fallback is not None:
            parts.append(_FALLBACKS[response.fallback])
        for name, tensor in response.outputs.items():
            shown = tensor
            if name in classify:
                shown = classes(name, tensor, classify[name], labels.get(name, ()))
            data = raw_from_tensor(shown)
            parts += (self._prefixes.of(name, shown, len(data)), data)
        return b"".join(parts)

    def _answerer(self, version: ModelVersion) -> bytes:
        head = self._answerers.get(version)
        if head is None:
            answer = oip.ModelInferResponse(model_name=version.model, model_version=version.number_text)
            head = self._answerers[version] = answer.SerializeToString()
        return head


def _output_prefix(name: str, dtype: DType, shape: tuple[int, ...], size_bytes: int) -> bytes:
    described = oip.ModelInferResponse.InferOutputTensor(name=name, datatype=dtype, shape=shape)
    return nested(_OUTPUT, described.SerializeToString()) + _RAW + varint(size_bytes)


def classes(name: str, scores: Tensor, count: int, labels: tuple[str, ...]) -> Tensor:
    """The `count` highest scores of each row as BYTES "score:index[:label]", highest first.

    Args:
        name: Of the output, for errors.
        scores: [rows, ...classes], or [classes].
        count: Most classes a row; fewer when there are fewer.
        labels: Class names in order, as far as they are known.

    Returns:
        [rows, min(count, classes)], or without the first axis if `scores` has one axis.

    Raises:
        InvalidInput: `scores` are strings or a scalar.
    """
    if scores.dtype.hasobject or not scores.ndim:
        raise not_classes(name, dtype_of(scores))
    rows = scores.reshape(scores.shape[0] if scores.ndim > 1 else 1, math.prod(scores.shape[1:] or scores.shape))
    kept = min(count, rows.shape[1])
    texts: list[bytes] = []
    for row in rows:
        for index in np.argsort(-row.astype(np.float64), kind="stable")[:kept]:
            label = f":{labels[index]}" if index < len(labels) else ""
            texts.append(f"{float(row[index]):f}:{index}{label}".encode())
    shape = (rows.shape[0], kept) if scores.ndim > 1 else (kept,)
    return object_array(texts).reshape(shape)


def not_classes(name: str, dtype: DType) -> InvalidInput:
    """The refusal to rank the values of an output that is text, or a single number."""
    return InvalidInput(
        f"output {name!r}: classification: expected numbers with at least one axis, got {dtype}",
        reason="NOT_CLASSES",
        field=name,
    )
