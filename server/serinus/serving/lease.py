"""Lends a loaded version to calls, so that it is not unloaded under one of them."""

import asyncio

from serinus.core.errors import Draining
from serinus.core.predictor import Predictor, Request, Response


class Leases:
    """A layer that counts the calls inside, and lets the owner wait for the last of them.

    Open → closed; never back.
    """

    def __init__(self, inner: Predictor) -> None:
        self._inner = inner
        self._held = 0
        self._closed = False
        self._all_returned = asyncio.Event()

    @property
    def held(self) -> int:
        """Calls that hold the version now."""
        return self._held

    async def predict(self, request: Request, /) -> Response:
        """Answer a call while the version is held.

        Raises:
            Draining: the version is being unloaded.
        """
        if self._closed:
            raise Draining("the version is being unloaded")
        self._held += 1
        try:
            return await self._inner.predict(request)
        finally:
            self._held -= 1
            if self._closed and not self._held:
                self._all_returned.set()

    async def close(self) -> None:
        """Refuse new calls and wait for those inside; their deadlines bound the wait."""
        self._closed = True
        if self._held:
            await self._all_returned.wait()

    def __repr__(self) -> str:
        return f"<Leases {self._held} held{', closed' if self._closed else ''}>"
