"""What a model takes and gives, as the server tells it."""

import dataclasses
from typing import Self

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.dtypes import NAMES


@dataclasses.dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output.

    Attributes:
        name: As the model file names it.
        dtype: Element type, "FP32" or the like.
        shape: Every axis, the batch axis included; -1 where each call chooses; () is a scalar.
        batch_axis: The axis along which calls are joined, or None.
        optional: The model has a default for it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    batch_axis: int | None = None
    optional: bool = False

    @classmethod
    def from_message(cls, message: pb.TensorInfo) -> Self:
        """Read the wire form."""
        return cls(
            name=message.name,
            dtype=NAMES.get(message.dtype, f"UNKNOWN_{message.dtype}"),
            shape=tuple(message.shape),
            batch_axis=message.batch_axis if message.HasField("batch_axis") else None,
            optional=message.optional,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model, and the version that a call would reach now.

    Attributes:
        model: Its name.
        version: The semantic version that a call with the version asked about would reach.
        inputs: In the model file's order.
        outputs: In the model file's order.
        serving_versions: All that serve now, newest first.
        max_rows: Most rows in one run; 1 when calls are never joined.
    """

    model: str
    version: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    serving_versions: tuple[str, ...] = ()
    max_rows: int = 1

    @classmethod
    def from_message(cls, message: pb.GetModelInfoResponse) -> Self:
        """Read the wire form."""
        return cls(
            model=message.model,
            version=message.version,
            inputs=tuple(TensorInfo.from_message(tensor) for tensor in message.inputs),
            outputs=tuple(TensorInfo.from_message(tensor) for tensor in message.outputs),
            serving_versions=tuple(message.serving_versions),
            max_rows=message.max_rows,
        )

    def takes_and_gives_the_same_as(self, other: Self) -> bool:
        """Whether a call made for one fits the other."""
        return self.inputs == other.inputs and self.outputs == other.outputs
