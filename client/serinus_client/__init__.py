"""The Serinus SDK: numpy arrays in, numpy arrays out, over gRPC.

    import numpy as np
    from serinus_client import AsyncClient, Client

    with Client("127.0.0.1:8001") as client:
        outputs = client.predict("iris", {"x": np.zeros((1, 4), np.float32)})

    async with AsyncClient("127.0.0.1:8001") as client:
        prediction = await client.call("iris", {"x": [[5.1, 3.5, 1.4, 0.2]]}, timeout_s=0.5)
        print(prediction.version, prediction.outputs["probabilities"], prediction.queue_s)

Calls made at the same time share messages without waiting for each other. Inputs are checked against what the model
says it takes before anything is sent. Every failure is a `SerinusError` whose class says what to do about it. It stands
on grpcio, protobuf and numpy alone.
"""

from serinus_client.client import AsyncClient
from serinus_client.criticality import Criticality
from serinus_client.errors import (
    AlreadyExists,
    Conflict,
    DataLost,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    NotLoaded,
    Overloaded,
    PermissionDenied,
    Refused,
    SerinusError,
    ServerFault,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from serinus_client.model_info import ModelInfo, TensorInfo
from serinus_client.options import FrameLimits, Spread, Tls, Transport
from serinus_client.prediction import Prediction
from serinus_client.retry import NO_RETRIES, RetryPolicy
from serinus_client.strings import decode_strings
from serinus_client.sync import Client

__all__ = [
    "NO_RETRIES",
    "AlreadyExists",
    "AsyncClient",
    "Client",
    "Conflict",
    "Criticality",
    "DataLost",
    "DeadlineExceeded",
    "FrameLimits",
    "InvalidInput",
    "ModelInfo",
    "NotFound",
    "NotLoaded",
    "Overloaded",
    "PermissionDenied",
    "Prediction",
    "Refused",
    "RetryPolicy",
    "SerinusError",
    "ServerFault",
    "Spread",
    "TensorInfo",
    "Tls",
    "Transport",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "decode_strings",
]
