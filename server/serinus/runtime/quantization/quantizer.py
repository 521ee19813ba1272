"""Quantizes a model in child processes, one for each step, and judges what they found."""

import asyncio
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from serinus.config.models import ModelOptions
from serinus.core.errors import InvalidInput, ModelRejected
from serinus.core.predictor import Tensors
from serinus.runtime.quantization.agreement import PERFECT
from serinus.runtime.quantization.calibration import write_calibration
from serinus.runtime.quantization.errand_process import ErrandProcesses
from serinus.runtime.quantization.errands import Build, Built, Failure, Measure, Prepare, Prepared, Timed
from serinus.runtime.quantization.preparing_ways import Way
from serinus.runtime.quantization.recipe_names import RecipeName, chosen_recipes
from serinus.runtime.quantization.report import (
    Measured,
    QuantizationBounds,
    QuantizationReport,
    RecipeResult,
    choose,
    judge,
)
from serinus.runtime.sources import Bundle
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

log = get_logger("serinus.quantization")


@dataclasses.dataclass(frozen=True, slots=True)
class QuantizationLimits:
    """What quantizing one model may take.

    Attributes:
        memory_bytes: Most memory of a child process; the float model and all its forms are timed in one.
        recipe_s: Longest time of one recipe, of preparing, and of timing.
        total_s: Recipes for which no time is left are not tried; timing comes last, and keeps its share.
        timing_s: Seconds after which no further turn of timing starts.
        parallel: Models at once; others wait.
    """

    memory_bytes: int = 16 << 30
    recipe_s: float = 120.0
    total_s: float = 900.0
    timing_s: float = 30.0  # enough turns for eight forms that take 100 ms
    parallel: int = 1  # what runs beside a measurement spoils it


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """One piece of progress.

    Attributes:
        stage: What is being done, for people.
        done: Recipes done.
        total: Recipes to do.
        result: A row of the report that has just become known.
        report: At the end.
        model_file: At the end: the quantized model, or None to keep the float model.
    """

    stage: str
    done: int
    total: int
    result: RecipeResult | None = None
    report: QuantizationReport | None = None
    model_file: Path | None = None


class Quantizer:
    """Tries recipes on models.

    Attributes:
        limits: What one model may take.
        providers: Hardware for models that name none.
        command: The child process; it gets two more arguments.
        environment: Of which child processes get what they need to find their libraries.
    """

    def __init__(
        self,
        limits: QuantizationLimits,
        *,
        providers: Sequence[str] = ("cpu",),
        command: Sequence[str] = (sys.executable, "-P", "-m", "serinus.runtime.quantization.child"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits
        self._providers = tuple(providers)
        self._command = tuple(command)
        self._environment = os.environ if environment is None else environment
        self._turns = asyncio.Semaphore(limits.parallel)

    async def quantize(
        self,
        source: Path | Bundle,
        options: ModelOptions,
        calibration: Tensors,
        folder: Path,
        *,
        recipes: Sequence[str] = (),
        bounds: QuantizationBounds | None = None,
    ) -> AsyncGenerator[Progress]:
        """Try recipes, time what they made, and leave the best in `folder`. Closing the generator ends all of it.

        Args:
            source: The float model's files.
            options: How it is served, and its quantized form would be.
            calibration: Real inputs by name, rows along each one's batch axis; one sample for a model without.
            folder: Private to the caller, who owns what is left in it: `model.onnx`, or nothing.
            recipes: Names of those to try; () for all.
            bounds: What the result must keep and gain; None for the usual.

        Raises:
            InvalidInput: the recipes or the calibration data cannot be meant.
            ModelRejected: the float model itself cannot be loaded.
        """
        names = chosen_recipes(recipes)
        async with self._turns:
            bench = Path(await to_thread(tempfile.mkdtemp, prefix="bench-", dir=folder))
            try:
                await to_thread(write_calibration, calibration, bench / "calibration.npz")
                processes = ErrandProcesses(
                    bench, options, self._providers, self._command, self._environment, self._limits.memory_bytes
                )
                run = _Run(processes, self._limits, source, bounds or QuantizationBounds())
                async with aclosing(run.steps(names)) as steps:
                    async for step in steps:
                        if step.report is not None and step.report.winner:
                            target = folder / "model.onnx"
                            await to_thread((bench / f"{step.report.winner}.onnx").replace, target)
                            yield dataclasses.replace(step, model_file=target)
                        else:
                            yield step
            finally:
                await to_thread(shutil.rmtree, bench, ignore_errors=True)


class _Run:
    """One model's way through all recipes."""

    def __init__(
        self,
        processes: ErrandProcesses,
        limits: QuantizationLimits,
        source: Path | Bundle,
        bounds: QuantizationBounds,
    ) -> None:
        self._processes = processes
        self._limits = limits
        self._source = source
        self._bounds = bounds
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + limits.total_s

    async def steps(self, names: Sequence[RecipeName]) -> AsyncGenerator[Progress]:
        total = len(names)
        yield Progress("preparing the model", 0, total)
        prepared = await self._prepare()
        results: dict[RecipeName, RecipeResult] = {}
        built: dict[RecipeName, Built] = {RecipeName.FLOAT: Built(prepared.size_bytes, PERFECT, "")}
        for done, name in enumerate(names):
            yield Progress(f"trying {name}", done, total)
            match await self._build(name, prepared):
                case Built() as form:
                    built[name] = form
                case Failure(message):
                    results[name] = RecipeResult(name, reason=message)
                    yield Progress(f"{name} gave no model", done + 1, total, results[name])
        yield Progress(f"timing {len(built)} models against each other, turn by turn", total, total)
        for name, result in (await self._judged(built, prepared.rows)).items():
            results[name] = result
            yield Progress(f"measured {name}", total, total, result)
        ordered = tuple(results[name] for name in (RecipeName.FLOAT, *names))
        winner, verdict = choose(ordered, self._bounds)
        # Without it nobody could tell what the shares in the report are shares of.
        sentence = f"{verdict}; compared on {prepared.rows} rows"
        log.info("quantization ended", winner=winner or "", detail=sentence)
        yield Progress("done", total, total, report=QuantizationReport(ordered, winner or "", sentence))

    async def _prepare(self) -> Prepared:
        answer = await self._processes.ask(Prepare(self._source, tuple(Way)), self._limits.recipe_s)
        if isinstance(answer, Failure) and not answer.reason:
            # It crashed or was too slow: converters and optimizers have their bugs, and can be done without.
            answer = await self._processes.ask(Prepare(self._source, (Way.PLAIN,)), self._limits.recipe_s)
        match answer:
            case Prepared():
                return answer
            case Failure(message, reason, "calibration"):
                raise InvalidInput(message, reason=reason, field="calibration")
            case Failure(message, reason, field):
                raise ModelRejected(f"the model cannot be quantized: {message}", reason=reason, field=field)
            case _:
                raise AssertionError("another errand's answer: this is a bug")

    async def _build(self, name: RecipeName, prepared: Prepared) -> Built | Failure:
        if not prepared.is_ready:
            return Failure("the model cannot be rewritten without changing its answers")
        left_s = min(self._limits.recipe_s, self._deadline - self._clock() - self._limits.recipe_s)
        if left_s <= 0:
            return Failure(f"no time was left for it of the {self._limits.total_s:g} s")
        answer = await self._processes.ask(Build(name, self._bounds, left_s / 2, prepared.rows), left_s)
        assert isinstance(answer, Built | Failure), "another errand's answer: this is a bug"
        return answer

    async def _judged(self, built: Mapping[RecipeName, Built], rows: int) -> dict[RecipeName, RecipeResult]:
        """The rows of the report, by recipe; without times if timing them failed."""
        recipes = tuple(name for name in built if name is not RecipeName.FLOAT)
        answer = await self._processes.ask(Measure(recipes, self._limits.timing_s, rows), self._limits.recipe_s)
        timings = answer.timings if isinstance(answer, Timed) else {}
        measured = {
            name: Measured(name, form.size_bytes, form.agreement, timings.get(name), form.note)
            for name, form in built.items()
        }
        return {name: judge(form, measured[RecipeName.FLOAT], self._bounds) for name, form in measured.items()}
