"""How an operator's calls are made."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from serinus_client.session import Session

SERVICE = "/serinus.v1.AdminService/"
PAGE = 100

M = TypeVar("M", bound=Message)


class AdminCalls:
    """Asks and tells the AdminService of the open session."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def _ask(self, method: str, request: Message, answer: type[M], timeout_s: float | None) -> M:
        return await self._session().ask(SERVICE + method, request, answer, timeout_s=timeout_s)

    async def _tell(self, method: str, request: Message, answer: type[M], timeout_s: float | None) -> M:
        return await self._session().tell(SERVICE + method, request, answer, timeout_s=timeout_s)
