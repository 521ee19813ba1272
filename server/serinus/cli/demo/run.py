"""Starts a server on free ports, sends it every file, and stops it. Imports the whole server."""

import asyncio
import dataclasses
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from serinus.app.server import RunningServer, running_server
from serinus.cli.demo.features import Features
from serinus.cli.demo.package import FileTypeModel
from serinus.cli.output import CommandFailed
from serinus.cli.serving import loop_factory, refusals
from serinus.config.models import ModelSpec
from serinus.config.settings import Settings, load_settings
from serinus.telemetry.logs import Logs, configure_logs
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import AsyncClient, SerinusError

MODEL = "magika"
_CALLERS = 8  # enough to keep two cores busy; each more would only wait longer
_ANY_PORT = "127.0.0.1:0"

Sample = tuple[Path, Features]


@dataclasses.dataclass(frozen=True)
class Classified:
    """What the model said about one file.

    Attributes:
        file: Which.
        kind: Its label.
        score: How sure the model is, 0 to 1.
        batch_rows: Files in the run that it was part of.
    """

    file: Path
    kind: str
    score: float
    batch_rows: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A demo that ran.

    Attributes:
        answers: One for each file.
        elapsed_s: From the first call to the last answer.
        status: What the server counted.
        grpc_port: Where it answered.
    """

    answers: Sequence[Classified]
    elapsed_s: float
    status: pb.ModelStatus
    grpc_port: int


def run_demo(model: FileTypeModel, samples: Sequence[Sample], answered: Callable[[], None]) -> Outcome:
    """Serve `model`, ask about every sample over gRPC, and stop the server.

    Args:
        model: What to serve.
        samples: What to ask about; at least one.
        answered: Called after each answer.

    Raises:
        CommandFailed: the server does not start, or a call fails.
    """
    with tempfile.TemporaryDirectory(prefix="serinus-demo-") as state:
        settings = load_settings(
            None,
            flags={
                "grpc.host_port": _ANY_PORT,
                "http.host_port": _ANY_PORT,
                "state": Path(state),
                "models": [ModelSpec(name=MODEL, versions={1: model.onnx})],
            },
            environ={},  # the demo is the same wherever it runs
        )
        logs = configure_logs(sys.stderr, "error", json=False)
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner, refusals():
                return runner.run(_serve_and_ask(settings, logs, model, samples, answered))
        finally:
            logs.close()


async def _serve_and_ask(
    settings: Settings, logs: Logs, model: FileTypeModel, samples: Sequence[Sample], answered: Callable[[], None]
) -> Outcome:
    async with running_server(settings, logs=logs, rng=random.SystemRandom()) as server:
        try:
            return await _ask_all(server, model, samples, answered)
        except* SerinusError as group:
            raise CommandFailed(f"the demo's own server failed: {group.exceptions[0]}") from group
        finally:
            await server.drain()


async def _ask_all(
    server: RunningServer, model: FileTypeModel, samples: Sequence[Sample], answered: Callable[[], None]
) -> Outcome:
    answers: list[Classified] = []
    waiting = iter(samples)
    async with AsyncClient(f"127.0.0.1:{server.grpc_port}") as client:
        (input_,) = (await client.model_info(MODEL)).inputs
        started = time.perf_counter()
        async with asyncio.TaskGroup() as callers:
            for _ in range(_CALLERS):
                callers.create_task(_caller(client, model, input_.name, waiting, answers, answered))
        elapsed_s = time.perf_counter() - started
        status = await client.admin.server_status()
    return Outcome(answers, elapsed_s, next(iter(status.models)), server.grpc_port)


async def _caller(
    client: AsyncClient,
    model: FileTypeModel,
    input_name: str,
    waiting: Iterator[Sample],
    answers: list[Classified],
    answered: Callable[[], None],
) -> None:
    """Ask about one file after the other until none is left for this caller."""
    for file, features in waiting:
        answer = await client.call(MODEL, {input_name: features})
        (scores,) = next(iter(answer.outputs.values()))
        place = int(np.argmax(scores))
        score = float(scores[place])
        answers.append(Classified(file, model.kind(place, score), score, answer.batch_rows))
        answered()
