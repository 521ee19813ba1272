"""How versions are made: what was declared is compared, samples are filled, layers are built."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from prometheus_client import CollectorRegistry

from serinus.app.cost_keeping import CostKeeper
from serinus.app.loading import VersionLoader, check_declarations
from serinus.config.models import DeclaredFill, ModelOptions, TensorDeclaration, VersionSpec
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.dtypes import DType
from serinus.core.errors import DataLost, Draining, ModelRejected, StoreUnavailable
from serinus.core.predictor import Request
from serinus.core.signature import TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.runtime.load_threads import LoadThreads
from serinus.runtime.pool import ComputePool
from serinus.serving.admission import ByteBudget
from serinus.serving.batching.slots import RunSlots
from serinus.serving.pressure import Pressure
from serinus.telemetry.metrics import Metrics
from tests.app.conftest import Written
from tests.support import models

FOUND = (TensorSpec("x", DType.FP32, ("n", 8), 0), TensorSpec("text", DType.BYTES, ("n",), 0))


M1 = ModelVersion("m", Version(1), 1)


def spec(path: Path = Path("1.onnx"), **options: Any) -> VersionSpec:
    return VersionSpec(M1, path, ModelOptions(**options))


async def enough(_size_bytes: int) -> None:
    """There is always room."""


def declared(name: str, dtype: str, *dims: int) -> TensorDeclaration:
    return TensorDeclaration(name=name, dtype=dtype, dims=dims)


@pytest.mark.parametrize(
    ("max_batch_size", "declarations"),
    [
        (8, []),
        (8, [declared("x", "FP32", 8), declared("text", "BYTES")]),
        (8, [declared("x", "FP32", -1)]),
        (0, [declared("x", "FP32", -1, 8)]),
        (None, [declared("text", "BYTES", 5)]),  # the model's length is open
    ],
)
def test_declarations_that_fit_the_model_pass(max_batch_size: int | None, declarations: list[TensorDeclaration]):
    """-1 fits any length, in both directions; the batch axis is declared by the rows."""
    check_declarations(ModelOptions(max_batch_size=max_batch_size), declarations, FOUND, "input")


@pytest.mark.parametrize(
    ("max_batch_size", "declaration", "message"),
    [
        (8, declared("z", "FP32", 8), "input 'z': the model has ['text', 'x']"),
        (8, declared("x", "FP16", 8), "input 'x': the configuration says FP16 [-1, 8], the model FP32 [-1, 8]"),
        (8, declared("x", "FP32", 9), "input 'x': the configuration says FP32 [-1, 9], the model FP32 [-1, 8]"),
        (8, declared("x", "FP32"), "input 'x': the configuration says FP32 [-1], the model FP32 [-1, 8]"),
        (0, declared("x", "FP32", 8), "input 'x': the configuration says FP32 [8], the model FP32 [-1, 8]"),
        (8, declared("x", "FP32", 1, 8), "input 'x': the configuration says FP32 [-1, 1, 8], the model FP32 [-1, 8]"),
    ],
)
def test_declarations_that_contradict_the_model_are_refused(
    max_batch_size: int, declaration: TensorDeclaration, message: str
):
    """With both sides of the contradiction."""
    with pytest.raises(ModelRejected) as refused:
        check_declarations(ModelOptions(max_batch_size=max_batch_size), [declaration], FOUND, "input")
    assert refused.value.message == message


class CostsInMemory:
    """What was kept of earlier starts."""

    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, Any]] = {}

    async def read(self, subject: str) -> Mapping[str, Any] | None:
        return self.kept.get(subject)

    async def write(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self.kept.update(documents)


class World:
    """A loader with everything that it needs.

    Attributes:
        store: Where the files of registered versions are, by their path.
        fetched: Manifests whose files were asked for.
        refusal: What the loader is told about every version; None lets it load.
        at_work: Versions that were noted while they were loaded, and whether on the thread of a load.
    """

    def __init__(self, tasks: asyncio.TaskGroup, pool: ComputePool, fetch_timeout_s: float) -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.budget = ByteBudget(1 << 20)
        self.store: dict[str, Path] | None = None
        self.fetched: list[Manifest] = []
        self.refusal: ModelRejected | None = None
        self.at_work: list[tuple[str, bool]] = []
        self.costs = CostsInMemory()
        self.load = VersionLoader(
            pool=pool,
            slots=RunSlots(1),
            budget=self.budget,
            pressure=Pressure(high=1, full=1),
            stood_s=0.5,
            metrics=self.metrics,
            providers=("cpu",),
            tasks=tasks,
            threads=LoadThreads(),
            fetch=self.fetch,
            costs=CostKeeper(self.costs),
            fetch_timeout_s=fetch_timeout_s,
            admit=self.admit,
            noted=self.noted,
        )

    def admit(self, _identity: ModelVersion) -> None:
        if self.refusal is not None:
            raise self.refusal

    @contextlib.contextmanager
    def noted(self, identity: ModelVersion) -> Iterator[None]:
        self.at_work.append((str(identity), threading.current_thread().name.startswith("load-")))
        yield

    async def fetch(self, manifest: Manifest) -> Mapping[str, Path]:
        self.fetched.append(manifest)
        if self.store is None:
            await asyncio.get_running_loop().create_future()  # a store that never answers
        assert self.store is not None
        return self.store


@pytest.fixture
def world() -> Callable[..., contextlib.AbstractAsyncContextManager[World]]:
    @contextlib.asynccontextmanager
    async def made(fetch_timeout_s: float = 60) -> AsyncIterator[World]:
        with ComputePool(1) as pool:
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                yield World(tasks, pool, fetch_timeout_s)

    return made


def file(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def request(value: float = 1.0) -> Request:
    return Request({"x": np.full((2, 8), value, np.float32)}, deadline=1e12, size_bytes=64)


async def test_a_version_answers_until_it_is_closed(world, tmp_path: Path):
    """Its calls are counted under it; then it refuses, and is over when its task is."""
    async with world() as made:
        served = await made.load(spec(file(tmp_path, models.tabular())), enough)
        response = await served.predict(request())
        weights, bias = models.tabular_weights()
        np.testing.assert_allclose(response.outputs["y"], np.ones((2, 8), np.float32) @ weights + bias, rtol=1e-6)
        assert (str(response.answered_by), served.max_rows) == ("m@1.0.0", 256)
        await served.close()
        with pytest.raises(Draining):
            await served.predict(request())
        (metrics,) = made.metrics.models()
        assert (metrics.answered_calls, metrics.rows, made.budget.used) == (1, 2, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": [declared("z", "FP32", -1, 8)]}, "input 'z': the model has ['x']"),
        (
            {"outputs": [declared("y", "FP32", -1, 5)]},
            "output 'y': the configuration says FP32 [-1, 5], the model FP32 [-1, 4]",
        ),
        (
            {
                "warm_up": [
                    {
                        "name": "s",
                        "inputs": {"x": {"dtype": "FP32", "dims": [1, 8], "fill": "file", "file": "/nowhere"}},
                    }
                ]
            },
            "warm-up input 'x': its data file does not hold FP32 [1, 8]",
        ),
    ],
)
async def test_a_version_that_contradicts_what_was_said_is_refused(
    world, tmp_path: Path, options: dict[str, Any], message: str
):
    """And nothing of it is left, not even a counter."""
    async with world() as made:
        with pytest.raises(ModelRejected) as refused:
            await made.load(spec(file(tmp_path, models.tabular()), **options), enough)
        assert refused.value.message == message
        assert made.metrics.models() == ()


@pytest.mark.usefixtures("logs")
async def test_notes_of_the_model_are_in_the_log(world, tmp_path: Path, written: Written):
    """A model that mixes its rows is served alone, and the operator reads why."""
    async with world() as made:
        served = await made.load(spec(file(tmp_path, models.batch_leak())), enough)
        await served.close()
    notes = [event for event in written.events if event["event"] == "model note"]
    assert len(notes) >= 1
    assert {(note["model"], note["version"], note["level"]) for note in notes} == {("m", "1.0.0", "info")}


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(
    ("pooling", "said"),
    [
        ("masked mean", []),
        ("mean", [("warning", "calls are not padded: the output 'all' of a row depends on how far it is padded")]),
    ],
)
async def test_a_model_that_is_served_unpadded_is_worth_a_warning(
    world, tmp_path: Path, written: Written, pooling: str, said: list[tuple[str, str]]
):
    """Somebody declared that it may be padded, and would otherwise wonder why it is slow."""
    padding = {"ids": DeclaredFill(axis=1), "mask": DeclaredFill(axis=1)}
    async with world() as made:
        declared = spec(file(tmp_path, models.tokens(pooling)), padding=padding, unpadding={"each": 1})
        served = await made.load(declared, enough)
        await served.close()
    notes = [event for event in written.events if event["event"] == "model note"]
    assert [(note["level"], note["note"]) for note in notes] == said


async def test_a_load_whose_caller_goes_away_leaves_nothing_behind(world, tmp_path: Path):
    """Not even a task that would hold the server up when it ends."""
    async with world() as made:
        for steps in range(6):
            loading = asyncio.create_task(made.load(spec(file(tmp_path, models.tabular())), enough))
            for _ in range(steps):
                await asyncio.sleep(0)
            loading.cancel()
            await asyncio.wait((loading,))
            assert loading.cancelled()


def registered(folder: Path, content: bytes) -> tuple[VersionSpec, dict[str, Path]]:
    """A version that is known by hash, and where its file lies."""
    lies = file(folder, content)
    entry = ArtifactFile("net/model.onnx", hashlib.sha256(content).hexdigest(), len(content))
    return VersionSpec(M1, Manifest(entry.path, (entry,)), ModelOptions()), {entry.path: lies}


async def test_a_registered_version_is_fetched_and_answers(world, tmp_path: Path):
    """Its size is that of its files, and is said before they come into memory."""
    version, store = registered(tmp_path, models.tabular())
    asked: list[int] = []

    async def make_room(size_bytes: int) -> None:
        asked.append(size_bytes)
        assert made.metrics.models() == ()

    async with world() as made:
        made.store = store
        served = await made.load(version, make_room)
        assert (await served.predict(request())).outputs["y"].shape == (2, 4)
        assert made.fetched == [version.source]
        assert asked[0] == len(models.tabular())
        assert served.size_bytes >= asked[0]
        await served.close()


async def test_bytes_that_are_not_those_registered_are_not_served(world, tmp_path: Path):
    """Whoever changed them."""
    version, store = registered(tmp_path, models.tabular())
    store["net/model.onnx"].write_bytes(models.identity())
    async with world() as made:
        made.store = store
        with pytest.raises(DataLost):
            await made.load(version, enough)
        assert made.metrics.models() == ()


async def test_a_store_that_never_answers_is_given_up(world, tmp_path: Path):
    """Loads from elsewhere do not wait for it."""
    version, _ = registered(tmp_path, models.tabular())
    async with world(fetch_timeout_s=0.05) as made:
        fetching = [asyncio.create_task(made.load(version, enough)) for _ in range(6)]
        served = await made.load(spec(file(tmp_path, models.tabular())), enough)
        await asyncio.wait(fetching)
        errors = [fetch.exception() for fetch in fetching]
        assert [type(error) for error in errors] == [StoreUnavailable] * 6
        assert str(errors[0]).endswith(" bytes took longer than 0.05 s")
        await served.close()


@pytest.mark.parametrize("nth", [1, 2])
async def test_a_version_for_which_there_is_no_room_is_not_loaded(world, tmp_path: Path, nth: int):
    """Neither when its file is too large, nor when its weights elsewhere turn out to be; nothing is left of it."""
    asked: list[int] = []

    async def make_room(size_bytes: int) -> None:
        asked.append(size_bytes)
        if len(asked) == nth:
            raise ModelRejected("no room", reason="NO_MEMORY_BUDGET")

    path = tmp_path / "model.onnx"
    model = onnx.ModelProto.FromString(models.tabular())
    onnx.save(model, str(path), save_as_external_data=True, location="weights", size_threshold=0)
    async with world() as made:
        with pytest.raises(ModelRejected, match="no room"):
            await made.load(spec(path), make_room)
        assert (len(asked), sorted(asked), made.metrics.models()) == (nth, asked, ())


async def test_use_is_told(world, tmp_path: Path):
    """Calls inside, and when the last one left."""
    async with world() as made:
        served = await made.load(spec(file(tmp_path, models.tabular())), enough)
        before = served.last_used_s
        call = asyncio.create_task(served.predict(request()))
        await asyncio.sleep(0)
        await call
        assert (served.calls, served.last_used_s > before) == (0, True)
        await served.close()


async def test_what_must_not_be_loaded_is_not(world, tmp_path: Path):
    """Nothing of it is touched; any other load is noted while it is under way, where a crash would find it."""
    async with world() as made:
        served = await made.load(spec(file(tmp_path, models.tabular())), enough)
        await served.close()
        made.refusal = ModelRejected("killed four workers", reason="QUARANTINED")
        with pytest.raises(ModelRejected, match="killed four workers"):
            await made.load(spec(Path("/nowhere/model.onnx")), enough)
        assert made.at_work == [("m@1.0.0", True)]
