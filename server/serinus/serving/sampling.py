"""Copies the inputs of calls while somebody asks for real ones; keeps nothing otherwise."""

import asyncio

from serinus.core.errors import NotFound, Refused
from serinus.core.predictor import Predictor, Request, Response, Tensors
from serinus.core.signature import Signature
from serinus.serving.batching.joining import Joiner
from serinus.serving.pressure import Pressure, PressureLevel
from serinus.threads import to_thread

_MOST_BYTES = 256 << 20  # of copies; a quantizer learns no more from gigabytes


class Sampling:
    """A layer that hands copies of inputs to whoever collects them.

    The copies have one shape off the batch axis, that of the first call, so that they stack.

    Attributes:
        pressure: Of memory; while there is any, nothing is copied.
    """

    def __init__(self, inner: Predictor, *, signature: Signature, pressure: Pressure | None = None) -> None:
        self._inner = inner
        self._pressure = pressure
        self._joiner = Joiner(signature)
        self._wanted: _Collection | None = None

    async def predict(self, request: Request, /) -> Response:
        """Answer a call."""
        if self._wanted is not None and (self._pressure is None or self._pressure.level is PressureLevel.NORMAL):
            self._wanted.take(request)
        return await self._inner.predict(request)

    async def collect(self, rows: int, *, timeout_s: float) -> Tensors:
        """Inputs of the next calls, stacked: `rows` rows, or fewer if no more come in time.

        Raises:
            Refused: somebody else collects already.
            NotFound: no call came.
        """
        if self._wanted is not None:
            raise Refused("inputs of this version are being collected already", reason="ALREADY_COLLECTING")
        self._wanted = collection = _Collection(self._joiner, rows)
        try:
            async with asyncio.timeout(timeout_s):
                await collection.is_full.wait()
        except TimeoutError:
            pass  # fewer rows are rows too
        finally:
            self._wanted = None
        if not collection.parts:
            raise NotFound(f"no call came within {timeout_s:g} s, so there are no inputs to learn from")
        # On a thread: joining hundreds of megabytes would hold everybody up.
        return self._joiner.rows_between(await to_thread(self._joiner.join, collection.parts), 0, rows)


class _Collection:
    """Copies of inputs, up to a number of rows."""

    def __init__(self, joiner: Joiner, rows: int) -> None:
        self.parts: list[Tensors] = []
        self.is_full = asyncio.Event()
        self._joiner = joiner
        self._missing = rows
        self._bytes_left = _MOST_BYTES
        self._key: tuple[object, ...] = ()

    def take(self, request: Request) -> None:
        """Copy a call's inputs if they fit what is there."""
        if self._missing <= 0 or not request.rows or request.size_bytes > self._bytes_left:
            return
        key = (*request.inputs, self._joiner.key(request.inputs))
        if not self.parts:
            self._key = key
        elif key != self._key:
            return
        self.parts.append({name: tensor.copy() for name, tensor in request.inputs.items()})
        self._bytes_left -= request.size_bytes
        self._missing -= request.rows
        if self._missing <= 0:
            self.is_full.set()
