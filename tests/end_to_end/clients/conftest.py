"""Both of Triton's Python clients, unmodified, behind one fixture."""

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from tests.end_to_end.clients.process import ChildServer


class EitherClient:
    """`tritonclient.grpc` or `tritonclient.grpc.aio`: every method is awaited, whichever it is.

    The blocking client blocks the loop of the test, which has nothing else to do: the server is another process.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            return await answer if inspect.isawaitable(answer) else answer

        return call


@pytest.fixture(params=["grpc", "grpc.aio"])
async def client(request: pytest.FixtureRequest, server: ChildServer) -> AsyncIterator[EitherClient]:
    """Each of the two clients, connected to the server of the session."""
    module = triton if request.param == "grpc" else triton_aio
    opened = EitherClient(module.InferenceServerClient(server.target))
    yield opened
    await opened.close()
