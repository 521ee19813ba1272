"""Inputs of the next calls to a version, whichever worker they meet."""

import asyncio
import base64
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from serinus.core.dtypes import DType, dtype_of
from serinus.core.errors import NotFound
from serinus.core.predictor import Tensors
from serinus.core.raw_tensors import raw_from_tensor, tensor_from_raw
from serinus.core.signature import Signature
from serinus.core.version import ModelVersion
from serinus.serving.batching.joining import Joiner
from serinus.threads import to_thread
from serinus.workers.control import Body
from serinus.workers.others import COLLECT

_TURN_S: Final = 1.0  # calls that come between two turns are missed, and nobody waits longer than one too long
_MARGIN_S: Final = 2.0
_MOST_SENT_BYTES: Final = 8 << 20  # of a worker in a turn, as JSON through the supervisor


class Collects(Protocol):
    """A version that serves here."""

    signature: Signature

    async def collect(self, rows: int, *, timeout_s: float) -> Tensors:
        """Inputs of the next calls, as `serving.sampling` gives them."""
        ...


class AskOthers(Protocol):
    """The other workers."""

    async def __call__(self, kind: str, body: Body, *, wait_s: float) -> Sequence[Body]:
        """What they answer within so many seconds; nothing of those that do not."""
        ...


class Collecting:
    """Collects here and at the other workers, in turns of a second, until there is enough.

    Attributes:
        find: The version of a model and of a number in text that serves here; NotLoaded, Loading, NotFound.
        ask_others: The other workers.
    """

    def __init__(self, find: Callable[[str, str], Collects], ask_others: AskOthers) -> None:
        self._find = find
        self._ask_others = ask_others

    async def collect(self, version: ModelVersion, rows: int, timeout_s: float) -> Tensors:
        """Inputs of the next calls to a version, stacked: `rows` rows, or fewer if no more come in time.

        Raises:
            Refused: somebody collects here already.
            NotFound: no call came.
            NotLoaded, Loading: the version does not serve.
        """
        served = self._find(version.model, version.number_text)
        joiner = Joiner(served.signature)
        parts: list[Tensors] = []
        missing, give_up = rows, time.monotonic() + timeout_s
        while missing > 0 and (left_s := give_up - time.monotonic()) > 0:
            for found in await self._turn(version, missing, min(_TURN_S, left_s)):
                # What does not stack with the first is left out, as where one worker collects.
                if _key(joiner, found) == _key(joiner, parts[0] if parts else found):
                    parts.append(found)
                    missing -= _rows(served.signature, found)
        if not parts:
            raise NotFound(f"no call came within {timeout_s:g} s, so there are no inputs to learn from")
        return joiner.rows_between(await to_thread(joiner.join, parts), 0, rows)

    async def answer(self, body: Body) -> Body:
        """What this worker collects in a turn, for another one."""
        served = self._find(body["model"], body["version"])
        rows = int(body["rows"])
        found = await served.collect(rows, timeout_s=min(_TURN_S, float(body["wait_s"])))
        # Half the rows take half the bytes; one row that is too long by itself is left out.
        while (size_bytes := sum(tensor.nbytes for tensor in found.values())) > _MOST_SENT_BYTES:
            rows = min(rows, _rows(served.signature, found)) // 2
            if rows == 0:
                raise NotFound(f"one row of {size_bytes} bytes is too long to be handed on")
            found = Joiner(served.signature).rows_between(found, 0, rows)
        return {"tensors": await to_thread(_said, found)}

    async def _turn(self, version: ModelVersion, rows: int, wait_s: float) -> Sequence[Tensors]:
        body = {"model": version.model, "version": version.number_text, "rows": rows, "wait_s": wait_s}
        served = self._find(version.model, version.number_text)
        mine, theirs = await asyncio.gather(
            _own(served, rows, wait_s), self._ask_others(COLLECT, body, wait_s=wait_s + _MARGIN_S)
        )
        read = await to_thread(lambda: [_heard(each["tensors"]) for each in theirs])
        return [*mine, *read]


async def _own(served: Collects, rows: int, wait_s: float) -> Sequence[Tensors]:
    try:
        return [await served.collect(rows, timeout_s=wait_s)]
    except NotFound:
        return []


def _key(joiner: Joiner, inputs: Tensors) -> tuple[object, ...]:
    return (*sorted(inputs), joiner.key(inputs))


def _rows(signature: Signature, inputs: Tensors) -> int:
    """How many calls' worth of rows; 1 for a model whose calls have none."""
    for spec in signature.inputs:
        if spec.batch_axis is not None and spec.name in inputs:
            return int(inputs[spec.name].shape[spec.batch_axis])
    return 1


def _said(tensors: Tensors) -> list[Body]:
    return [
        {
            "name": name,
            "dtype": dtype_of(tensor).value,
            "shape": list(tensor.shape),
            "data": base64.b64encode(raw_from_tensor(tensor)).decode(),
        }
        for name, tensor in tensors.items()
    ]


def _heard(tensors: Sequence[Body]) -> Tensors:
    return {
        each["name"]: tensor_from_raw(
            each["name"], DType(each["dtype"]), tuple(each["shape"]), base64.b64decode(each["data"])
        )
        for each in tensors
    }
