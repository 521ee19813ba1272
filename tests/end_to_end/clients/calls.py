"""Calls in the words of Triton's clients, and their ends."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException


def tensor(name: str, array: np.ndarray, datatype: str) -> triton.InferInput:
    """An input of a call."""
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def floats(name: str, *rows: list[float]) -> triton.InferInput:
    """An FP32 input with these rows."""
    return tensor(name, np.array(rows, np.float32), "FP32")


def busy(trips: int) -> list[triton.InferInput]:
    """Inputs of the model `slow`; a trip takes about 2 microseconds."""
    return [tensor("x", np.ones((1, 128), np.float32), "FP32"), tensor("trips", np.array(trips, np.int64), "INT64")]


async def sent(client: triton_aio.InferenceServerClient, **call: Any) -> "asyncio.Task[triton.InferResult]":
    """A call that the server has by now: round trips on the same connection came back after it went out."""
    task = asyncio.create_task(client.infer(**call))
    for _ in range(3):
        await client.is_server_live()
    return task


async def status_of(call: Awaitable[Any]) -> tuple[str, str]:
    """Status code and message of a call that must fail."""
    with pytest.raises(InferenceServerException) as caught:
        await call
    return caught.value.status(), caught.value.message()
