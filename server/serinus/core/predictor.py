"""The one idea: a model is an asynchronous function from a request to a response, and so is every layer around one."""

import dataclasses
import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from serinus.core.criticality import Criticality
from serinus.core.traffic import Trigger
from serinus.core.version import ModelVersion

NO_ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType({})
"""Of a caller that says nothing of itself."""

Tensor = npt.NDArray[np.generic]
Tensors = Mapping[str, Tensor]


@dataclasses.dataclass(slots=True)
class Request:
    """One call to one model, decoded.

    Attributes:
        inputs: Tensor by input name; often a read-only view of the received bytes.
        deadline: `time.monotonic()` in seconds after which nobody waits for the answer; not the loop's time, which
            uvloop reads once per iteration and in milliseconds.
        arrived: `time.monotonic()` in seconds at which the call was received.
        model: The name that the caller wrote.
        version: What the caller wrote: "" (let the server choose), "1.2.0", or an integer as text.
        outputs: The outputs wanted, in the order wanted; () means all.
        request_id: The caller's name for the call, echoed.
        routing_key: Calls that share it are served by the same version; "" draws each call by itself.
        attributes: What the caller says of itself, such as its cohort, for the rules of a split.
        priority: 1 is the most urgent; 0 takes the model's default. It orders calls; `criticality` says who is refused.
        criticality: Who is refused first when not all can be answered.
        tenant: On whose account the call is; "" for nobody's. Tenants share a full server fairly.
        alone: No other call came in the same message: there is no company to wait for.
        size_bytes: What the call occupies in memory while it is in flight.
        has_deadline: The caller said how long it waits; else `deadline` is the server's default.
        rows: Length of the batch axis; 1 for a model without one. Set by validation.
    """

    inputs: Tensors
    deadline: float
    arrived: float = 0.0
    model: str = ""
    version: str = ""
    outputs: tuple[str, ...] = ()
    request_id: str = ""
    routing_key: str = ""
    attributes: Mapping[str, str] = dataclasses.field(default_factory=lambda: NO_ATTRIBUTES)
    priority: int = 0
    criticality: Criticality = Criticality.DEFAULT
    tenant: str = ""
    alone: bool = False
    size_bytes: int = 0
    has_deadline: bool = True
    rows: int = 1


class Route(enum.IntEnum):
    """Why a version answered.

    USUAL: nothing shares the model's calls out. PINNED: something does, but the caller named the version. RULE: a rule
    of the split. WEIGHT: its bucket.
    """

    USUAL = 1
    PINNED = 2
    RULE = 3
    WEIGHT = 4


@dataclasses.dataclass(slots=True)
class Response:
    """The answer to one call.

    Attributes:
        outputs: Tensor by output name, in the order that the request asked for.
        answered_by: The version that answered.
        queue_s: Seconds between admission and the start of the run.
        compute_s: Seconds of the run that held these rows, shared with the other rows of its batch.
        batch_rows: Rows in that run.
        nonfinite_rows: Rows of that run in which an output holds NaN or an infinity.
        route: Why the version was chosen; set by routing.
        fallback: Why another one than the chosen one answered; None if it answered itself.
    """

    outputs: Tensors
    answered_by: ModelVersion
    queue_s: float = 0.0
    compute_s: float = 0.0
    batch_rows: int = 1
    nonfinite_rows: int = 0
    route: Route = Route.USUAL
    fallback: Trigger | None = None


class Predictor(Protocol):
    """An asynchronous function from a request to a response: a model, or a layer around one."""

    async def predict(self, request: Request, /) -> Response:
        """Answer one call.

        Raises:
            ServerError: the call ends without an answer; see `core.errors`.
        """
        ...
