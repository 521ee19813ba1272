"""Rows to calibrate with, as the wire has them."""

from collections.abc import Mapping
from typing import Any

from serinus_api.v1 import predict_pb2, registry_pb2
from serinus_client.codec import InputCodec
from serinus_client.errors import InvalidInput
from serinus_client.model_info import TensorInfo


def calibration_tensors(version: registry_pb2.ModelVersion, calibration: Mapping[str, Any]) -> list[predict_pb2.Tensor]:
    """Arrays by input name, checked against what the version takes.

    Raises:
        InvalidInput: it does not take this.
    """
    codecs = {info.name: InputCodec(TensorInfo.from_message(info)) for info in version.inputs}
    if unknown := sorted(set(calibration) - set(codecs)):
        raise InvalidInput(f"unknown inputs {unknown[:8]}: expected {list(codecs)}", reason="UNKNOWN_INPUT")
    tensors = []
    for name, value in calibration.items():
        data, shape = codecs[name].encode(value)
        tensors.append(predict_pb2.Tensor(name=name, dtype=codecs[name].dtype, shape=shape, data=data))
    return tensors
