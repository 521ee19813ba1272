"""From a registered version and real inputs to a quantized version."""

import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serinus.app.quantizing import Quantizing, golden_inputs, next_patch
from serinus.config.models import ModelOptions, WarmUpInput, WarmUpSample
from serinus.config.version_facts import ServingOptions, VersionFacts
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.dtypes import DType
from serinus.core.errors import AlreadyExists, InvalidInput, Overloaded, StoreUnavailable
from serinus.core.predictor import Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.registry.records import Examination, GoldenResult, ModelRecord, Registered, VersionRecord
from serinus.runtime.golden_files import write_golden
from serinus.runtime.quantization.quantizer import Progress
from serinus.runtime.quantization.report import QuantizationBounds, QuantizationReport, RecipeResult
from serinus.runtime.sources import Bundle
from serinus.transport.registry.quantize_values import QuantizeOrder
from tests.support.records import PAIR, model_record, version_record
from tests.support.scratch import scratch

X = np.arange(8, dtype=np.float32).reshape(2, 4)
FLOAT, INT8 = RecipeResult("float", accepted=True), RecipeResult("dynamic-all", accepted=True)


class FakeQuantizer:
    """Lets the recipe `winner` win; "" lets none.

    Attributes:
        calibrations: What it was given.
        folders: Where it worked.
        is_closed: Whether its caller went away.
    """

    def __init__(self, winner: str = "dynamic-all") -> None:
        self.winner = winner
        self.calibrations: list[Tensors] = []
        self.folders: list[Path] = []
        self.is_closed = False

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
        assert isinstance(source, Bundle)
        assert (options, recipes, bounds) == (source_options(), ("dynamic-all",), QuantizationBounds())
        self.calibrations.append(calibration)
        self.folders.append(folder)
        try:
            yield Progress("trying dynamic-all", 0, 1)
        except GeneratorExit:
            self.is_closed = True
            raise
        yield Progress("measured", 1, 1, INT8)
        file = None
        if self.winner:
            file = folder / "model.onnx"
            file.write_bytes(b"quantized")
        report = QuantizationReport((FLOAT, INT8), self.winner, "a sentence")
        yield Progress("compared", 1, 1, report=report, model_file=file)


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class FakeRegistrations:
    """Keeps what was registered: version, facts, content by path, report; says that `taken` versions exist."""

    def __init__(self, *taken: str) -> None:
        self.taken = set(taken)
        self.registered: list[tuple[str, VersionFacts, dict[str, bytes], Mapping[str, object] | None]] = []

    async def register_files(
        self,
        model: str,
        version: Version,
        folder: Path,
        facts: VersionFacts,
        *,
        main: str = "",
        actor: str,
        report: Mapping[str, object] | None = None,
    ) -> Registered:
        assert (model, main, actor) == ("m", "model.onnx", "ann")
        if str(version) in self.taken:
            raise AlreadyExists(f"{version} was deleted")
        self.registered.append((str(version), facts, content_of(folder), report))
        return Registered(version_record(str(version), 9), is_new=True, revision=9)


class FakeRegistry:
    """One model."""

    def __init__(self, record: ModelRecord) -> None:
        self.record = record

    async def model(self, _name: str) -> ModelRecord:
        return self.record

    async def version(self, _model: str, selector: str) -> VersionRecord:
        found = self.record.select(selector)
        assert found is not None
        return found


class FakeFiles:
    """The files of the version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def paths(self, manifest: Manifest) -> Mapping[str, Path]:
        return {file.path: self.folder / file.path for file in manifest.files}


def source_options() -> ServingOptions:
    sample = WarmUpInput(dtype=DType.FP32, dims=(4,), fill="file", file=Path("samples/x.bin"))
    return ServingOptions(warm_up=(WarmUpSample(name="real", inputs={"x": sample}),))


@dataclasses.dataclass
class World:
    quantizer: FakeQuantizer
    registrations: FakeRegistrations
    quantizing: Quantizing
    folder: Path

    def order(self, **order: Any) -> QuantizeOrder:
        said = {
            "calibration": {},
            "traffic_rows": 0,
            "traffic_timeout_s": 5.0,
            "recipes": ("dynamic-all",),
            "bounds": QuantizationBounds(),
            "is_dry_run": False,
            "actor": "ann",
        }
        return QuantizeOrder("m", "1.2.0", **{**said, **order})

    async def ordered(self, **order: Any) -> list[Any]:
        steps = [step async for step in self.quantizing.quantize(self.order(**order))]
        assert list(self.folder.rglob("*")) == [], "nothing is left of the work"
        return steps


def world(tmp_path: Path, *, winner: str = "dynamic-all", taken: tuple[str, ...] = ()) -> World:
    files = tmp_path / "files"
    for path in ("model.onnx", "samples/x.bin"):
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_bytes(path.encode())
    write_golden(files / "golden.npz", {"x": X}, {"y": X})
    manifest = Manifest(
        "model.onnx",
        tuple(ArtifactFile(path, "a" * 64, 1) for path in ("golden.npz", "model.onnx", "samples/x.bin")),
    )
    facts = VersionFacts(author="eve", metrics={"accuracy": 0.9}, serving=source_options())
    record = dataclasses.replace(
        version_record("1.2.0", 2, facts=facts),
        manifest=manifest,
        examination=Examination(PAIR, goldens=(GoldenResult("golden.npz", 0.0),)),
    )
    model = model_record(record, version_record("1.2.4", 4), version_record("1.3.0", 5))
    quantizer, registrations = FakeQuantizer(winner), FakeRegistrations(*taken)

    async def collect(version: ModelVersion, rows: int, timeout_s: float) -> Tensors:
        assert (str(version), rows, timeout_s) == ("m@1.2.0", 7, 5.0)
        return {"x": X * 2}

    quantizing = Quantizing(
        registry=FakeRegistry(model),
        artifacts=FakeFiles(files),
        registrations=registrations,
        quantizer=quantizer,
        collect=collect,
        scratch=lambda: scratch(tmp_path / "work"),
    )
    return World(quantizer, registrations, quantizing, tmp_path / "work")


async def test_the_winner_becomes_the_next_patch_of_its_line(tmp_path: Path):
    """It says what it was made from, keeps what its author said and its samples, and claims no metric of the other."""
    here = world(tmp_path)
    steps = await here.ordered()
    ((version, facts, content, report),) = here.registrations.registered
    assert version == "1.2.5"
    assert (facts.quantized_from, facts.author, facts.metrics) == ("m@1.2.0", "eve", {})
    assert content == {"model.onnx": b"quantized", "samples/x.bin": b"samples/x.bin"}
    assert report is not None
    assert (report["winner"], report["sentence"]) == ("dynamic-all", "a sentence")
    assert [step.stage for step in steps] == ["trying dynamic-all", "measured", "registering the winner", "compared"]
    assert steps[1].result == INT8
    assert (steps[-1].registered.identity.version_text, steps[-1].report.winner) == ("1.2.5", "dynamic-all")


async def test_a_number_that_a_deleted_version_had_is_passed_over(tmp_path: Path):
    """Nobody lists it, and nobody may have it again."""
    here = world(tmp_path, taken=("1.2.5", "1.2.6"))
    await here.ordered()
    assert [version for version, *_ in here.registrations.registered] == ["1.2.7"]


@pytest.mark.parametrize(("winner", "is_dry_run"), [("", False), ("dynamic-all", True)])
async def test_nothing_is_registered_that_did_not_win_or_was_not_wanted(tmp_path: Path, winner: str, is_dry_run: bool):  # noqa: FBT001 - a case
    """The report is there all the same."""
    here = world(tmp_path, winner=winner)
    steps = await here.ordered(is_dry_run=is_dry_run)
    assert here.registrations.registered == []
    assert (steps[-1].report.winner, steps[-1].registered) == (winner, None)


async def test_what_is_learned_from(tmp_path: Path):
    """What was sent, or else traffic, or else the golden requests."""
    here = world(tmp_path, winner="")
    await here.ordered(calibration={"x": X * 3}, traffic_rows=7)
    await here.ordered(traffic_rows=7)
    await here.ordered()
    expected = [X * 3, X * 2, X]
    assert [np.array_equal(c["x"], x) for c, x in zip(here.quantizer.calibrations, expected, strict=True)] == [True] * 3


async def test_a_disk_that_takes_nothing_is_said_to(tmp_path: Path):
    """Wherever in the work it happens; the message names no place."""
    (tmp_path / "work").write_bytes(b"a file where the folder should be")
    with pytest.raises(StoreUnavailable) as refused:
        await world(tmp_path).ordered()
    assert str(tmp_path) not in refused.value.message


async def test_a_caller_that_goes_away_leaves_nothing(tmp_path: Path):
    """The quantizer's generator is closed, and its folder gone."""
    here = world(tmp_path)
    steps = here.quantizing.quantize(here.order())
    assert (await anext(steps)).stage == "trying dynamic-all"
    assert here.quantizer.folders[0].is_dir()
    await steps.aclose()
    assert here.quantizer.is_closed
    assert list(here.folder.rglob("*")) == []


async def test_orders_that_wait_are_bounded(tmp_path: Path):
    """Each keeps its calibration data; a place is free again when one ends, however it does."""
    here = world(tmp_path)
    waiting = [here.quantizing.quantize(here.order(traffic_rows=7)) for _ in range(4)]
    for steps in waiting:
        assert (await anext(steps)).stage == "collecting 7 rows from the calls that come in"
    with pytest.raises(Overloaded) as refused:
        await anext(here.quantizing.quantize(here.order()))
    assert refused.value.reason == "TOO_MANY_QUANTIZATIONS"
    for steps in waiting:
        await steps.aclose()
    assert len(await here.ordered()) == 4


def test_golden_requests_stack(tmp_path: Path):
    """Along the batch axis; those that do not are refused, and so is having none."""
    free = Signature((TensorSpec("x", DType.FP32, ("n", "length"), 0),), PAIR.outputs)
    for name, inputs in (("a", X), ("b", X[:1]), ("c", np.zeros((1, 5), np.float32))):
        write_golden(tmp_path / name, {"x": inputs}, {"y": X})
    stacked = golden_inputs([("a", tmp_path / "a"), ("b", tmp_path / "b")], free)
    assert stacked["x"].tolist() == [*X.tolist(), X[0].tolist()]
    for goldens in ([], [("a", tmp_path / "a"), ("c", tmp_path / "c")]):
        with pytest.raises(InvalidInput) as refused:
            golden_inputs(goldens, free)
        assert refused.value.reason == "NO_CALIBRATION"


def test_the_next_patch_is_of_the_same_line():
    """Whatever other lines there are."""
    model = model_record(version_record("1.2.0", 1), version_record("1.2.9", 2), version_record("2.0.3", 3))
    assert str(next_patch(model, Version(1, 2, 0))) == "1.2.10"
    assert str(next_patch(model, Version(2, 0, 3), 2)) == "2.0.6"
    assert str(next_patch(model, Version(3, 1, 4))) == "3.1.5"  # deleted while it was quantized
