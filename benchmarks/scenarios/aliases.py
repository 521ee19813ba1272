"""Aim 10: how soon an alias that was moved means its new version, on the server that was told and on another."""

import asyncio
import dataclasses
import tempfile
import time
from pathlib import Path

import grpc.aio
import numpy as np

from harness.models import layered
from harness.plan import Plan
from harness.processes import ServerProcess, serinus_server
from harness.rows import Row
from open_inference import grpc_service_pb2 as oip
from serinus.bench.messages import oip_message
from serinus.bench.transports import INFER
from serinus_client import AsyncClient

MOVED = ("1.0.0", "1.0.1")
"""Two versions of one signature; their numbers are 1 and 2."""

_MOVES = 25  # in each repeat
_AT_MOST_S = 30.0
_PAUSE_S = 0.002  # between two looks: without it they would take both cores from the servers


@dataclasses.dataclass(frozen=True)
class _Move:
    """Seconds of one move: of the call itself, and from its answer to the first new answer on each server."""

    write_s: float
    here_s: float
    there_s: float


def measure(plan: Plan) -> list[Row]:
    """Moves between loaded versions take turns with moves that must load their version first."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state")
        with serinus_server(state=state) as here, serinus_server(state=state) as there:
            asyncio.run(register_pair(here, Path(folder), "loaded", keep_both=True))
            asyncio.run(register_pair(here, Path(folder), "loading", keep_both=False))
            found: dict[str, list[_Move]] = {"loaded": [], "loading": []}
            for _ in range(plan.repeats):
                for model, moves in found.items():
                    moves.extend(asyncio.run(_moves(here, there, model)))
    what = {"loaded": "both versions loaded", "loading": "1 MiB to load first"}
    return [row for model, moves in found.items() for row in _rows(what[model], moves)]


def _rows(what: str, moves: list[_Move]) -> list[Row]:
    def figures(seconds: list[float]) -> str:
        return f"{np.median(seconds) * 1e3:.1f} / {max(seconds) * 1e3:.1f} ms"

    return [
        Row(10, f"{what}: SetAlias, median / longest of {len(moves)}", figures([move.write_s for move in moves])),
        Row(10, f"{what}: from there to effect on that server", figures([move.here_s for move in moves]), "<= 1 s"),
        Row(10, f"{what}: the same on another server", figures([move.there_s for move in moves]), "<= 1 s"),
    ]


async def register_pair(server: ServerProcess, folder: Path, model: str, *, keep_both: bool) -> None:
    """Register two versions of 1 MiB; the first is `stable`, and the other serves only if both are kept."""
    async with AsyncClient(server.target) as client:
        for number, version in enumerate(MOVED):
            path = layered(folder / "model.onnx", 1, seed=number)
            aliases = [f"kept-{number}"] if keep_both else []
            await client.registry.register(model, path, version, aliases=aliases)
        await client.admin.load_model(model)  # waits until it serves


async def _moves(here: ServerProcess, there: ServerProcess, model: str) -> list[_Move]:
    moves: list[_Move] = []
    async with (
        AsyncClient(here.target) as client,
        grpc.aio.insecure_channel(here.target) as channel,
        grpc.aio.insecure_channel(there.target) as other,
    ):
        current = (await client.registry.version(model, "stable")).version_number
        for _ in range(_MOVES):
            current = 3 - current
            waits = [asyncio.create_task(_first_answer_at(each, model, current)) for each in (channel, other)]
            began = time.perf_counter()
            await client.registry.set_alias(model, "stable", MOVED[current - 1])
            told = time.perf_counter()
            here_at, there_at = await asyncio.gather(*waits)
            # The new version may answer before the write is acknowledged.
            moves.append(_Move(told - began, max(0.0, here_at - told), max(0.0, there_at - told)))
    return moves


async def _first_answer_at(channel: grpc.aio.Channel, model: str, number: int) -> float:
    """When the first answer of that version came."""
    call, message = channel.unary_unary(INFER), oip_message(model, {"x": np.ones((1, 512), np.float32)})
    async with asyncio.timeout(_AT_MOST_S):
        while True:
            answer = await call(message)
            if oip.ModelInferResponse.FromString(answer).model_version == str(number):
                return time.perf_counter()
            await asyncio.sleep(_PAUSE_S)
