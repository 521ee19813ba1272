"""The part of the demo in which a quantized version earns its calls, and a sabotaged one loses them again."""

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from serinus.runtime.sabotage import Fault, sabotaged
from serinus.threads import to_thread
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import AsyncClient, SerinusError

SABOTAGED_PERCENT: Final = 20
"""Of the files that the sabotaged version fails on."""

_ACTOR: Final = "serinus demo"
_CALLERS: Final = 8  # as many as in the rest of the demo
_PAUSE_S: Final = 0.08  # of a caller: a server that is busy all the time has none left for copies of calls

# Steps of seconds rather than hours, and limits that a few hundred calls can show to be kept.
PLAN: Final[Mapping[str, object]] = {
    "stages": [
        {"shadow": {"percent": 50, "min_pairs": 100, "min_s": 3, "measure": "class"}},
        {"canary": {"weight": 20, "min_requests": 100, "min_s": 3}},
        {"canary": {"weight": 50, "min_requests": 200, "min_s": 3}},
        {"canary": {"weight": 100, "min_requests": 200, "min_s": 3}},
    ],
    "guardrails": {
        "errors": {"ceiling": 0.1},
        "latency": {"limit_s": 0.25, "ceiling": 0.1},
        "invalid": {"ceiling": 0.15},
        "disagreement": {"limit": 0.1},
    },
}
"""What the quantized version goes through."""
HASTY_PLAN: Final[Mapping[str, object]] = {**PLAN, "stages": [{"canary": {"weight": 20}}, {"canary": {"weight": 100}}]}
"""What the sabotaged version goes through: nobody looks at it in the shadow first."""

Show = Callable[[pb.Rollout], None]


@dataclasses.dataclass
class Tally:
    """What callers got while a rollout went on.

    Attributes:
        answered: Calls by the version that answered.
        rescued: Of them those that another than the chosen version answered.
        failed: Calls that ended with an error.
    """

    answered: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    rescued: int = 0
    failed: int = 0


@dataclasses.dataclass(frozen=True)
class Story:
    """A rollout from its start to its end.

    Attributes:
        title: What it is about.
        rollout: As it ended.
        events: What happened to it, with the evidence.
        tally: What callers got meanwhile.
    """

    title: str
    rollout: pb.Rollout
    events: Sequence[pb.RolloutEvent]
    tally: Tally


async def roll_out(
    client: AsyncClient,
    title: str,
    spec: Mapping[str, object],
    inputs: Sequence[Mapping[str, npt.NDArray[Any]]],
    show: Show,
) -> Story:
    """Start a rollout and see it to its end, while callers ask on and on.

    Args:
        client: Of the server.
        title: What it is about.
        spec: Of the rollout.
        inputs: What the callers send, over and over again.
        show: Told whenever the rollout has moved.
    """
    started = await client.admin.start_rollout(spec, actor=_ACTOR)
    last = started
    async with (
        _callers(client, started.model, inputs) as tally,
        contextlib.aclosing(client.admin.watch_rollout(started.id)) as watching,
    ):
        async for last in watching:
            show(last)
    journal = await client.admin.rollout_journal(started.id)
    return Story(title, last, list(journal), tally)


async def register_sabotaged(client: AsyncClient, model: str, version: str, onnx: Path) -> None:
    """Register a version of the model in `onnx` that fails on some files; nothing serves it yet."""
    with tempfile.TemporaryDirectory(prefix="serinus-demo-") as folder:
        file = Path(folder) / "model.onnx"
        content = await to_thread(sabotaged, onnx, Fault.ERRS, percent=SABOTAGED_PERCENT)
        await to_thread(file.write_bytes, content)
        facts = {"description": f"Sabotaged: fails on {SABOTAGED_PERCENT} % of the files.", "author": _ACTOR}
        await client.registry.register(model, file, version, facts=facts, actor=_ACTOR)


@contextlib.asynccontextmanager
async def _callers(
    client: AsyncClient, model: str, inputs: Sequence[Mapping[str, npt.NDArray[Any]]]
) -> AsyncIterator[Tally]:
    """Callers that ask while the block runs."""
    tally, endless = Tally(), itertools.cycle(inputs)
    over = asyncio.Event()

    async def call() -> None:
        while not over.is_set():
            try:
                answer = await client.call(model, next(endless))
            except SerinusError:
                tally.failed += 1
            else:
                tally.answered[answer.version] += 1
                tally.rescued += answer.fallback
            await asyncio.sleep(_PAUSE_S)

    async with asyncio.TaskGroup() as callers:
        for _ in range(_CALLERS):
            callers.create_task(call())
        try:
            yield tally
        finally:
            over.set()
