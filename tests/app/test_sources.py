"""Where a model comes from when a client asks for one by name."""

import asyncio
from pathlib import Path

import pytest

from serinus.app.sources import ModelSources
from serinus.config.models import ModelOptions, ModelSpec, VersionSpec
from serinus.core.errors import InvalidInput, ModelRejected, NotFound, StoreUnavailable
from serinus.lifecycle.models import Models
from serinus.lifecycle.servable import MakeRoom
from tests.lifecycle.fake_servables import FakeLoader, FakeServable
from tests.support.fakes import settle
from tests.support.scratch import scratch

CONFIG = '{"max_batch_size": 4}'


class ReadingLoader(FakeLoader):
    """Reads the files that it is given.

    Attributes:
        read: Content by version of the last load of each.
        options: What was asked for, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[int, bytes] = {}
        self.options: list[ModelOptions] = []

    async def __call__(self, spec: VersionSpec, make_room: MakeRoom) -> FakeServable:
        self.options.append(spec.options)
        servable = await super().__call__(spec, make_room)
        assert isinstance(spec.source, Path)
        self.read[spec.identity.number] = spec.source.read_bytes()
        return servable


class World:
    """Sources over a folder."""

    def __init__(self, folder: Path) -> None:
        self.loader = ReadingLoader()
        self.models = Models(self.loader, refused=lambda _reason: None, forget=lambda _version: None)
        self.repository = folder / "repository"
        self.uploads = folder / "state" / "uploads"
        self.add("stored", 1, b"stored 1", config="max_batch_size: 8")
        (folder / "named.onnx").write_bytes(b"named")
        self.examined: list[str] = []
        self.taken: set[str] = set()
        self.named = {"named": ModelSpec(name="named", versions={7: folder / "named.onnx"})}

    def add(self, model: str, number: int, content: bytes, *, config: str = "") -> None:
        version = self.repository / model / str(number)
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(content)
        if config:
            (self.repository / model / "config.pbtxt").write_text(config)

    def sources(self, *, with_repository: bool = True) -> ModelSources:
        return ModelSources(
            self.models,
            named=self.named,
            repository=self.repository if with_repository else None,
            scratch=lambda: scratch(self.uploads),
            examine=self.examine,
            taken=self.taken,
        )

    async def examine(self, folder: Path, main: str, _options: ModelOptions) -> None:
        content = (folder / main).read_bytes()
        self.examined.append(content.decode())
        if b"crashes" in content:
            raise ModelRejected("the process that loaded it crashed (SIGSEGV)", reason="CRASHED")

    @property
    def serving(self) -> list[str]:
        return [str(servable.identity) for servable in self.models.serving()]

    @property
    def left_on_disk(self) -> list[Path]:
        return list(self.uploads.rglob("*"))


@pytest.fixture
async def world(tmp_path: Path):
    made = World(tmp_path)
    async with made.models:
        yield made
    assert made.left_on_disk == []


async def test_a_model_of_the_repository_is_read_anew(world: World):
    """A version that was added since is found."""
    sources = world.sources()
    await sources.load("stored", None, {})
    world.add("stored", 2, b"stored 2")
    await sources.load("stored", None, {})
    assert world.serving == ["stored@2.0.0"]
    assert (world.loader.read[2], world.loader.options[-1].max_batch_size) == (b"stored 2", 8)


async def test_a_model_that_was_named_at_the_start_is_loaded_from_where_it_lies(world: World):
    """With or without a repository."""
    for with_repository in (True, False):
        await world.sources(with_repository=with_repository).load("named", None, {})
        assert (world.serving, world.loader.read[7]) == (["named@7.0.0"], b"named")


async def test_a_configuration_that_is_sent_along_counts_in_place_of_the_file(world: World):
    """The model's own files are served by it."""
    await world.sources().load("stored", CONFIG, {})
    assert (world.serving, world.loader.options[-1].max_batch_size) == (["stored@1.0.0"], 4)


async def test_files_that_are_sent_along_count_in_place_of_all_files(world: World):
    """For a model of the repository and for a new one; they are gone once they are loaded."""
    sources = world.sources(with_repository=False)
    config = '{"max_batch_size": 4, "version_policy": {"all": {}}}'
    await sources.load("sent", config, {"1/model.onnx": b"one", "12/model.onnx": b"twelve"})
    assert world.serving == ["sent@12.0.0", "sent@1.0.0"]
    assert world.loader.read == {1: b"one", 12: b"twelve"}
    assert world.left_on_disk == []
    await world.sources().load("stored", CONFIG, {"3/model.onnx": b"three"})
    assert (world.serving[-1], world.loader.read[3]) == ("stored@3.0.0", b"three")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "model.onnx",
        "1/other.onnx",
        "0/model.onnx",
        "01/model.onnx",
        "-1/model.onnx",
        "1000000000/model.onnx",
        "../1/model.onnx",
        "/1/model.onnx",
        "1/../../model.onnx",
        "1/model.onnx/",
        "1/model.onnx\n",
        "1/model.onnx.data",
        "config.pbtxt",
        "1\\model.onnx",
        "\u0661/model.onnx",
        "x" * 1000,
    ],
)
async def test_a_file_that_a_client_may_not_name_is_refused(world: World, path: str):
    """Nothing is written, not even the files beside it."""
    with pytest.raises(InvalidInput) as refused:
        await world.sources().load("sent", CONFIG, {"1/model.onnx": b"good", path: b"bad"})
    error = refused.value
    assert (error.reason, error.field) == ("WRONG_FILE", "file")
    assert error.message == f"file {path[:64]!r}: expected '<version number>/model.onnx'"
    assert not world.uploads.exists()
    assert world.loader.started == []


@pytest.mark.parametrize("model", ["", "../sent", "a/b", "A", "a..b"])
async def test_a_name_that_is_none_is_refused(world: World, model: str):
    """Before anything is written or read."""
    with pytest.raises(InvalidInput) as refused:
        await world.sources().load(model, CONFIG, {"1/model.onnx": b""})
    assert (refused.value.reason, world.uploads.exists()) == ("INVALID_NAME", False)


async def test_files_need_a_configuration(world: World):
    """As the protocol says."""
    with pytest.raises(InvalidInput) as refused:
        await world.sources().load("sent", None, {"1/model.onnx": b""})
    assert (refused.value.reason, refused.value.message) == (
        "MISSING_CONFIG",
        "expected 'config' beside 'file:' parameters",
    )


@pytest.mark.parametrize("config", ["", "[]", "{", '{"no_such_field": 1}', '{"max_batch_size": "many"}'])
async def test_a_configuration_that_is_none_is_refused(world: World, config: str):
    """Before anything is written or read."""
    for files in ({}, {"1/model.onnx": b""}):
        with pytest.raises(InvalidInput) as refused:
            await world.sources().load("stored", config, files)
        assert (refused.value.reason, refused.value.field) == ("INVALID_CONFIG", "config")
    assert not world.uploads.exists()


async def test_a_model_that_no_source_has_is_not_found(world: World):
    """The sentence says where was looked."""
    for with_repository, message in [
        (True, "model 'none' is not in the repository"),
        (
            False,
            (
                "model 'none': expected one that is registered, or that the server was started with; "
                "'serinus models list' shows them"
            ),
        ),
    ]:
        with pytest.raises(NotFound) as refused:
            await world.sources(with_repository=with_repository).load("none", None, {})
        assert refused.value.message == message


async def test_a_configuration_for_a_model_named_at_the_start_is_refused(world: World):
    """The command line has decided how it is served, and there is no folder whose files it could mean."""
    with pytest.raises(InvalidInput) as refused:
        await world.sources(with_repository=False).load("named", CONFIG, {})
    assert refused.value.message == "model 'named' was named at the start: expected no 'config' for it"


async def test_files_that_cannot_be_served_are_gone_and_what_served_goes_on(world: World):
    """The index has the reason."""
    sources = world.sources()
    await sources.load("stored", None, {})
    world.loader.failing[2] = ModelRejected("the model file is damaged")
    with pytest.raises(ModelRejected):
        await sources.load("stored", CONFIG, {"2/model.onnx": b"bad"})
    assert (world.serving, world.left_on_disk) == (["stored@1.0.0"], [])


async def test_files_of_a_load_that_is_given_up_are_gone(world: World):
    """The client went away while its model was loaded."""
    world.loader.gates[1] = asyncio.Event()
    loading = asyncio.create_task(world.sources().load("sent", CONFIG, {"1/model.onnx": b"one"}))
    async with asyncio.timeout(20):
        while not world.loader.started:  # the files are written on a thread
            await settle()
    assert world.left_on_disk != []
    loading.cancel()
    await asyncio.wait((loading,))
    assert (loading.cancelled(), world.left_on_disk, world.serving) == (True, [], [])


async def test_files_that_cannot_be_written_leave_nothing_behind(world: World):
    """The disk is full, or as here a path is longer than a file system takes."""
    while (room := 4000 - len(str(world.uploads))) > 0:
        world.uploads /= "d" * min(room, 200)
    with pytest.raises(StoreUnavailable):
        await world.sources().load("m" * 128, CONFIG, {"1/model.onnx": b"one"})
    assert (world.uploads.is_dir(), world.left_on_disk, world.loader.started) == (True, [], [])


async def test_an_ignored_field_is_no_reason_to_refuse(world: World):
    """The log names it."""
    await world.sources().load("stored", '{"max_batch_size": 4, "optimization": {"priority": 1}}', {})
    assert world.serving == ["stored@1.0.0"]


async def test_files_of_a_client_are_examined_before_they_are_loaded(world: World):
    """What crashes does so in a process of its own; what the operator names is not asked."""
    sources = world.sources()
    await sources.load("sent", CONFIG, {"1/model.onnx": b"fine"})
    with pytest.raises(ModelRejected, match="SIGSEGV"):
        await sources.load("other", CONFIG, {"1/model.onnx": b"crashes"})
    await sources.load("named", None, {})
    assert (world.examined, world.serving) == (["fine", "crashes"], ["named@7.0.0", "sent@1.0.0"])


async def test_names_belong_to_whom_they_were_given(world: World):
    """What the operator named, what the repository holds, and what a client sent; nothing that was refused."""
    world.add("broken", 1, b"broken", config="backend: 'python'")
    sources = world.sources()
    assert world.taken == {"named"}
    await sources.load_repository()
    await sources.load("sent", CONFIG, {"1/model.onnx": b"fine"})
    with pytest.raises(NotFound):
        await sources.load("absent", None, {})
    assert world.taken == {"named", "stored", "broken", "sent"}
    assert [name for name in ("named", "stored", "absent") if name in sources] == ["named", "stored"]


async def test_a_named_model_that_cannot_be_served_stops_the_start(world: World):
    """The sentence names it."""
    world.loader.failing[7] = ModelRejected("the model file is damaged", reason="INVALID_MODEL")
    with pytest.raises(ModelRejected, match="model 'named': the model file is damaged"):
        await world.sources().load_named()


async def test_a_repository_is_served_as_far_as_it_can_be(world: World):
    """One broken model leaves the others alone, and the index says why."""
    world.add("broken", 1, b"broken", config="backend: 'python'")
    world.add("damaged", 9, b"damaged")
    world.add("named", 1, b"another")
    world.loader.failing[9] = ModelRejected("the model file is damaged")
    await world.sources().load_repository()
    assert world.serving == ["stored@1.0.0"]
    reasons = {status.identity.model: status.reason for status in world.models.index() if status.reason}
    assert reasons.keys() == {"broken", "damaged"}
    assert reasons["damaged"] == "the model file is damaged"


async def test_what_is_staged_is_looked_at_by_one_and_served_by_all(world: World, tmp_path: Path):
    """The first load examines the files, another process's does not; neither needs them afterwards."""
    sources, folder = world.sources(), tmp_path / "staged"
    await sources.stage(folder, "sent", CONFIG, {"1/model.onnx": b"one"})
    await sources.load_from(folder, "sent", CONFIG)
    await sources.load_known_from(folder, "sent", CONFIG)
    assert (world.serving, world.examined, "sent" in sources) == (["sent@1.0.0"], ["one"], True)
    await sources.unload("sent")
    assert world.serving == []


async def test_nothing_is_staged_that_cannot_be_meant(world: World, tmp_path: Path):
    """A model's name, a configuration and files' names are looked at first."""
    sources, folder = world.sources(), tmp_path / "staged"
    for model, config, path in (("Sent", CONFIG, "1/model.onnx"), ("sent", "{", "1/model.onnx"), ("sent", CONFIG, "x")):
        with pytest.raises(InvalidInput):
            await sources.stage(folder, model, config, {path: b"one"})
    assert not folder.exists()


async def test_a_named_model_that_is_kept_out_keeps_no_server_from_starting(world: World):
    """It was the reason for starting anew; any other failure is one to tell the operator."""
    world.loader.failing[7] = ModelRejected("killed four workers", reason="QUARANTINED")
    await world.sources().load_named()
    assert world.serving == []
