"""Starts a server on free ports, registers a model, sends it every file, rolls other versions out, and stops it.

Imports the whole server.
"""

import asyncio
import contextlib
import dataclasses
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from serinus.app.server import running_server
from serinus.cli.demo.features import Features
from serinus.cli.demo.package import FileTypeModel
from serinus.cli.demo.rollouts import HASTY_PLAN, PLAN, SABOTAGED_PERCENT, Show, Story, register_sabotaged, roll_out
from serinus.cli.loops import loop_factory
from serinus.cli.output import CommandFailed
from serinus.cli.serving import refusals
from serinus.config.settings import Settings, load_settings
from serinus.telemetry.logs import Logs, configure_logs
from serinus_api.v1 import admin_pb2, registry_pb2
from serinus_client import AsyncClient, SerinusError

MODEL = "magika"
VERSION = "1.0.0"
RECIPES = ("dynamic-matmul", "dynamic-all", "fp16")
"""What is tried unless more is asked for: half a minute; the recipes that need no calibration."""
SABOTAGED = "1.1.0"
_ACTOR = "serinus demo"
_SMALLER = 0.95  # of the float model's size; a form that is no faster is worth having if it is that much smaller
_COMPARED = 64  # files; one that is told otherwise in a hundred shows, most of the time
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
        status: What the server counted of the version that answered.
        grpc_port: Where it answered.
        registered: The version that came from the package.
        report: What quantizing it has shown.
        stories: Rollouts, in the order in which they went.
    """

    answers: Sequence[Classified]
    elapsed_s: float
    status: admin_pb2.ModelStatus
    grpc_port: int
    registered: registry_pb2.ModelVersion
    report: registry_pb2.QuantizationReport
    stories: Sequence[Story]


@dataclasses.dataclass(frozen=True)
class Watching:
    """Who is told how far the demo is.

    Attributes:
        quantizing: Called with what is being done, and how many recipes of how many are tried.
        answered: Called after each answer.
        rollout: Called with the title of each rollout, gives what is told whenever it has moved; in the block.
    """

    quantizing: Callable[[str, int, int], None]
    answered: Callable[[], None]
    rollout: Callable[[str], contextlib.AbstractContextManager[Show]]


def run_demo(
    model: FileTypeModel,
    samples: Sequence[Sample],
    watching: Watching,
    recipes: Sequence[str] = RECIPES,
    *,
    rollouts: bool = True,
) -> Outcome:
    """Register `model`, quantize it, ask it about every sample over gRPC, roll versions out, and stop the server.

    Args:
        model: What to register.
        samples: What to ask about; at least one.
        watching: Who is told how far it is.
        recipes: Of quantization, to try.
        rollouts: Whether versions are rolled out, which takes about a minute.

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
            },
            environ={},  # the demo is the same wherever it runs
        )
        logs = configure_logs(sys.stderr, "error", json=False)
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner, refusals():
                return runner.run(_serve_and_ask(settings, logs, _Demo(model, samples, watching, recipes, rollouts)))
        finally:
            logs.close()


@dataclasses.dataclass(frozen=True)
class _Demo:
    """What is to be shown."""

    model: FileTypeModel
    samples: Sequence[Sample]
    watching: Watching
    recipes: Sequence[str]
    rollouts: bool


async def _serve_and_ask(settings: Settings, logs: Logs, demo: _Demo) -> Outcome:
    async with running_server(settings, logs=logs, rng=random.SystemRandom()) as server:
        try:
            async with AsyncClient(f"127.0.0.1:{server.grpc_port}") as client:
                registered = await _register(client, demo.model)
                input_name = registered.inputs[0].name
                report = await _quantize(client, demo, input_name)
                answers, elapsed_s = await _ask_all(client, demo, input_name)
                status = await client.admin.server_status()
                stories = await _roll_out(client, demo, report, input_name) if demo.rollouts else ()
        except* SerinusError as group:
            raise CommandFailed(f"the demo's own server failed: {group.exceptions[0]}") from group
        finally:
            await server.drain()
    answered_by = next(each for each in status.models if each.answered)
    return Outcome(answers, elapsed_s, answered_by, server.grpc_port, registered, report, stories)


async def _register(client: AsyncClient, model: FileTypeModel) -> registry_pb2.ModelVersion:
    """Register the package's model, with what the package says of it, and wait until it serves."""
    facts: Mapping[str, object] = {
        "description": "Tells what kind a file is from its first and last bytes.",
        "framework": "magika",
        "author": "Google",
        "license": "Apache-2.0",
        "parameters": {"beg_size": str(model.beg_size), "end_size": str(model.end_size)},
        "tags": {"source": model.onnx.parent.name},
    }
    response = await client.registry.register(MODEL, model.onnx, VERSION, facts=facts, actor=_ACTOR)
    await client.admin.load_model(MODEL, actor=_ACTOR)
    return response.version


async def _quantize(client: AsyncClient, demo: _Demo, input_name: str) -> registry_pb2.QuantizationReport:
    """Quantize it by the files at hand; a form that is faster, or smaller and no slower than usual, is registered."""
    rows = np.concatenate([features for _, features in demo.samples[:_COMPARED]])
    report = registry_pb2.QuantizationReport()
    async for step in client.registry.quantize(
        MODEL,
        VERSION,
        calibration={input_name: rows},
        recipes=demo.recipes,
        bounds=registry_pb2.QuantizationBounds(max_size_ratio=_SMALLER),
        actor=_ACTOR,
    ):
        demo.watching.quantizing(step.stage, step.done, step.total)
        if step.HasField("report"):
            report = step.report
    return report


async def _roll_out(
    client: AsyncClient, demo: _Demo, report: registry_pb2.QuantizationReport, input_name: str
) -> Sequence[Story]:
    """Let the quantized version earn its calls, then a sabotaged one lose them."""
    inputs = [{input_name: features} for _, features in demo.samples]
    stories: list[Story] = []

    async def story(title: str, candidate: str, plan: Mapping[str, object]) -> None:
        with demo.watching.rollout(title) as show:
            spec = {"model": MODEL, "candidate": candidate, **plan}
            stories.append(await roll_out(client, title, spec, inputs, show))

    if report.HasField("version"):
        version = report.version.version
        await story(f"{MODEL}@{version}, quantized ({report.winner}), earns its calls", version, PLAN)
    await register_sabotaged(client, MODEL, SABOTAGED, demo.model.onnx)
    title = f"{MODEL}@{SABOTAGED}, sabotaged to fail on {SABOTAGED_PERCENT} % of the files, loses them"
    await story(title, SABOTAGED, HASTY_PLAN)
    return stories


async def _ask_all(client: AsyncClient, demo: _Demo, input_name: str) -> tuple[list[Classified], float]:
    """The answers, and the seconds that they took together."""
    answers: list[Classified] = []
    waiting = iter(demo.samples)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as callers:
        for _ in range(_CALLERS):
            callers.create_task(_caller(client, demo, input_name, waiting, answers))
    return answers, time.perf_counter() - started


async def _caller(
    client: AsyncClient, demo: _Demo, input_name: str, waiting: Iterator[Sample], answers: list[Classified]
) -> None:
    """Ask about one file after the other until none is left for this caller."""
    for file, features in waiting:
        answer = await client.call(MODEL, {input_name: features})
        (scores,) = next(iter(answer.outputs.values()))
        place = int(np.argmax(scores))
        score = float(scores[place])
        answers.append(Classified(file, demo.model.kind(place, score), score, answer.batch_rows))
        demo.watching.answered()
