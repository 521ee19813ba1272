"""Operating a server: what it is doing now."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from serinus_api.v1 import admin_pb2
from serinus_client.session import Session

_GET_SERVER_STATUS = "/serinus.v1.AdminService/GetServerStatus"

T = TypeVar("T")


class AsyncAdmin:
    """The operator's calls of an `AsyncClient`."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def server_status(self, *, timeout_s: float | None = None) -> admin_pb2.GetServerStatusResponse:
        """What the server serves, how much and how fast, as the protocol's own message.

        Raises:
            SerinusError: the server did not answer.
        """
        return await self._session().ask(
            _GET_SERVER_STATUS,
            admin_pb2.GetServerStatusRequest(),
            admin_pb2.GetServerStatusResponse,
            timeout_s=timeout_s,
        )


class Run(Protocol):
    """Runs a coroutine on the client's loop and returns what it returns."""

    def __call__(self, job: Coroutine[Any, Any, T], /) -> T:
        """Wait for it."""
        ...


class Admin:
    """The operator's calls of a `Client`."""

    def __init__(self, run: Run, admin: AsyncAdmin) -> None:
        self._run = run
        self._admin = admin

    def server_status(self, *, timeout_s: float | None = None) -> admin_pb2.GetServerStatusResponse:
        """As `AsyncAdmin.server_status`."""
        return self._run(self._admin.server_status(timeout_s=timeout_s))
