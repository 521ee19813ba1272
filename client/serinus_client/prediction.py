"""A whole answer: the outputs, who gave them and how long it took."""

import dataclasses
from typing import Any, Self

import numpy.typing as npt

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.codec import decode_outputs

_US_PER_S = 1e6


@dataclasses.dataclass(slots=True)
class Prediction:
    """The answer to one call.

    Attributes:
        outputs: Array by output name, in the order that the call asked for; numbers are read-only views.
        model: The model that answered.
        version: The semantic version that answered.
        fallback: Whether another version than the chosen one answered, because the chosen one could not.
        queue_s: Seconds between admission and the start of the run.
        compute_s: Seconds of the run that held this call's rows.
        batch_rows: Rows in that run, this call's and its neighbours'.
        request_id: The caller's name for the call, echoed.
    """

    outputs: dict[str, npt.NDArray[Any]]
    model: str
    version: str
    fallback: bool
    queue_s: float
    compute_s: float
    batch_rows: int
    request_id: str

    @classmethod
    def from_message(cls, message: pb.PredictResponse) -> Self:
        """Read the wire form.

        Raises:
            ServerFault: a tensor's bytes do not fit its type and shape.
        """
        return cls(
            outputs=decode_outputs(message),
            model=message.model,
            version=message.version,
            fallback=message.fallback,
            queue_s=message.queue_us / _US_PER_S,
            compute_s=message.compute_us / _US_PER_S,
            batch_rows=message.batch_rows,
            request_id=message.request_id,
        )
