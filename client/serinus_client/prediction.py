"""A whole answer: the outputs, who gave them and how long it took."""

import dataclasses
from typing import Any, Self

import numpy.typing as npt

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.codec import decode_outputs

_US_PER_S = 1e6
# A server may be newer than this client: what it does not know is not said.
_ROUTES = {pb.ROUTE_PINNED: "pinned", pb.ROUTE_RULE: "rule", pb.ROUTE_WEIGHT: "weight"}
_REASONS = {
    pb.FALLBACK_REASON_ERROR: "error",
    pb.FALLBACK_REASON_TIMEOUT: "timeout",
    pb.FALLBACK_REASON_OVERLOAD: "overload",
    pb.FALLBACK_REASON_INVALID: "invalid",
    pb.FALLBACK_REASON_BREAKER: "breaker",
}


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
        route: Why the version was chosen while something shares the model's calls out: "pinned" by the caller, by a
            "rule", or by "weight"; "" while nothing does.
        fallback_reason: Why the chosen version could not answer, where `fallback` is set: "error", "timeout",
            "overload", "invalid" or "breaker"; "" otherwise.
    """

    outputs: dict[str, npt.NDArray[Any]]
    model: str
    version: str
    fallback: bool
    queue_s: float
    compute_s: float
    batch_rows: int
    request_id: str
    route: str = ""
    fallback_reason: str = ""

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
            route=_ROUTES.get(message.route, ""),
            fallback_reason=_REASONS.get(message.fallback_reason, ""),
        )
