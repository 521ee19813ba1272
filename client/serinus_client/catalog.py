"""Remembers what each model takes: asks the server once, and again when a call does not fit any more."""

import asyncio
from collections.abc import Awaitable, Callable

from serinus_client.background import Background
from serinus_client.encoder import Encoder
from serinus_client.errors import DeadlineExceeded, SerinusError, client_closed
from serinus_client.model_info import ModelInfo

_MOST_MODELS = 4096  # far more than one client talks to; keeps a client that invents names from growing
_REREAD_EVERY_S = 1.0  # a caller whose inputs are wrong again and again costs the server at most this
_NEVER = float("-inf")

Key = tuple[str, str]


class Catalog:
    """Encoders by model and version, as far as they were asked for.

    Args:
        fetch: Asks the server about a model and version; raises SerinusError.
        background: Runs the questions: several calls share one, and none of them may cancel it for the others.
    """

    def __init__(self, fetch: Callable[[str, str], Awaitable[ModelInfo]], *, background: Background) -> None:
        self._fetch = fetch
        self._background = background
        self._loop = asyncio.get_running_loop()
        self._encoders: dict[Key, Encoder] = {}
        self._asking: dict[Key, asyncio.Task[Encoder | SerinusError]] = {}
        self._confirmed_at: dict[Key, float] = {}

    def known(self, model: str, version: str) -> Encoder | None:
        """What is remembered."""
        return self._encoders.get((model, version))

    async def learn(self, model: str, version: str, *, deadline: float) -> Encoder:
        """Ask the server.

        Raises:
            SerinusError: the server did not say, or not in time.
        """
        key = (model, version)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = self._background.spawn(self._ask(key))
        done, _ = await asyncio.wait({task}, timeout=deadline - self._loop.time())
        if not done:
            raise DeadlineExceeded(f"the server did not describe model {model!r} in time")
        if task.cancelled():
            raise client_closed()
        outcome = task.result()
        if isinstance(outcome, SerinusError):
            raise outcome.again()
        return outcome

    async def relearn(self, encoder: Encoder, *, deadline: float) -> Encoder | None:
        """Ask again, because a call made by `encoder` did not fit; the newer encoder, or None if nothing changed."""
        key = (encoder.model, encoder.version)
        current = self._encoders.get(key)
        if current is None or current is encoder:
            # Only questions that brought nothing new are counted: a version may be swapped at any moment.
            if self._loop.time() < self._confirmed_at.get(key, _NEVER) + _REREAD_EVERY_S:
                return None
            try:
                current = await self.learn(*key, deadline=deadline)
            except SerinusError:
                return None
        if current.info.takes_and_gives_the_same_as(encoder.info):
            self._confirmed_at[key] = self._loop.time()
            return None
        return current

    async def _ask(self, key: Key) -> Encoder | SerinusError:
        model, version = key
        try:
            encoder = Encoder(await self._fetch(model, version), model=model, version=version)
        except SerinusError as error:
            return error
        finally:
            del self._asking[key]
        self._encoders.pop(key, None)
        while len(self._encoders) >= _MOST_MODELS:
            oldest = next(iter(self._encoders))
            del self._encoders[oldest]
            self._confirmed_at.pop(oldest, None)
        self._encoders[key] = encoder
        return encoder
