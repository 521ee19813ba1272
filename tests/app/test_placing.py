"""Loading and unloading on somebody's word."""

import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping

import pytest

from serinus.app.following import Following
from serinus.app.placing import Placing
from serinus.core.errors import InvalidInput, ModelRejected, NotFound, ServerError, StoreUnavailable
from serinus.lifecycle.models import Models
from serinus.lifecycle.plan import ModelPlan
from serinus.registry.records import ModelRecord, Placement, Snapshot
from serinus.registry.wanted import FollowMode
from tests.lifecycle.fake_servables import FakeLoader, model_plan
from tests.support.records import model_record, version_record

FOLLOW, LOADED, UNLOADED = Placement.FOLLOW, Placement.LOADED, Placement.UNLOADED


class FakeRegistry:
    """A registry of one model `m`, whose placements can be changed.

    Attributes:
        record: The model.
        placed: What was written, in order: version or "*", placement, actor.
        noted: What was done to other models: action, model, what serves before and after, actor.
        trouble: Raised by everything, if it is set.
    """

    def __init__(self, record: ModelRecord) -> None:
        self.record = record
        self.placed: list[tuple[str, str, str]] = []
        self.noted: list[tuple[str, str, object, object, str]] = []
        self.trouble: ServerError | None = None

    async def model(self, name: str) -> ModelRecord:
        if self.trouble is not None:
            raise self.trouble
        if name != self.record.name:
            raise NotFound(f"model {name!r} is not registered", field="model")
        return self.record

    async def place(self, model: str, selector: str | None, placement: Placement, *, actor: str) -> ModelRecord:
        record = await self.model(model)
        chosen = record.versions if selector is None else (record.select(selector),)
        if None in chosen:
            raise NotFound("no such version", field="version")
        numbers = {version.identity.number for version in chosen if version is not None}
        self.placed.append((selector or "*", placement, actor))
        versions = tuple(
            dataclasses.replace(version, placement=placement) if version.identity.number in numbers else version
            for version in record.versions
        )
        self.record = dataclasses.replace(record, versions=versions, revision=record.revision + 1)
        return self.record

    async def note(
        self, action: str, model: str, *, before: Mapping[str, object], after: Mapping[str, object], actor: str
    ) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.noted.append((action, model, before["serving"], after["serving"], actor))


class FakeSources:
    """Knows the model `named`, and loads `late` when asked.

    Attributes:
        loaded: What was asked for: name, configuration, files.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self.loaded: list[tuple[str, str | None, dict[str, bytes]]] = []

    def __contains__(self, model: str) -> bool:
        return model == "named"

    async def unload(self, model: str) -> None:
        await self._models.unload(model)

    async def load(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        if model not in {"named", "late"} and not files:
            raise NotFound(f"model {model!r}: expected a model of the command line")
        self.loaded.append((model, config_json, files))
        await self._models.reload(model_plan(model))


class World:
    """A registry, sources, and what serves."""

    def __init__(self, models: Models, loader: FakeLoader, record: ModelRecord, mode: FollowMode) -> None:
        self.models = models
        self.loader = loader
        self.registry = FakeRegistry(record)
        self.sources = FakeSources(models)
        self.following = Following(
            models, route=lambda _model, _traffic: None, mode=mode, is_taken=lambda name: name == "named"
        )
        self.following.apply(Snapshot(record.revision, {record.name: record}))
        self.lifted: list[tuple[str, str]] = []
        self.followed: list[tuple[int, list[str]]] = []
        self.placing = Placing(
            models=models,
            sources=self.sources,
            registry=self.registry,
            following=self.following,
            mode=mode,
            lift=self.lift,
            others_follow=self.others_follow,
        )

    async def lift(self, model: str, version: str) -> None:
        assert all(servable.identity.version_text != version for servable in self.models.serving(model))
        self.lifted.append((model, version))

    async def others_follow(self, record: ModelRecord, began: float) -> None:
        assert time.monotonic() - began < 60
        self.followed.append((record.revision, self.serving))

    @property
    def serving(self) -> list[str]:
        return [str(servable.identity) for servable in self.models.serving()]


@contextlib.asynccontextmanager
async def world(
    *placements: Placement, aliases: dict[str, int] | None = None, mode: FollowMode = FollowMode.FOLLOW
) -> AsyncIterator[World]:
    """Versions 1.1.0, 1.2.0 and so on of `m`."""
    versions = [
        version_record(f"1.{number}.0", number, placement=placement) for number, placement in enumerate(placements, 1)
    ]
    loader = FakeLoader()
    async with Models(loader, refused=lambda _reason: None, forget=lambda _version: None) as models:
        made = World(models, loader, model_record(*versions, aliases=aliases), mode)
        await models.settled("m")
        yield made


async def test_a_version_is_loaded_beside_those_that_aliases_name():
    """It is written down, so that other servers do the same, and serves when the call returns."""
    async with world(FOLLOW, FOLLOW, aliases={"stable": 1}) as here:
        await here.placing.load("m", "1.2.0", "ann")
        assert here.registry.placed == [("1.2.0", LOADED, "ann")]
        assert here.serving == ["m@1.2.0", "m@1.1.0"]
        assert str(here.models.find("m", "").identity) == "m@1.1.0"


@pytest.mark.parametrize(
    ("mode", "placements", "aliases", "placed", "serving"),
    [
        pytest.param("follow", (UNLOADED, FOLLOW), {"stable": 1}, [("1.1.0", FOLLOW)], ["m@1.1.0"], id="named again"),
        pytest.param("follow", (FOLLOW, FOLLOW), {}, [("1.2.0", LOADED)], ["m@1.2.0"], id="no alias: the highest"),
        pytest.param("follow", (LOADED, FOLLOW), {}, [], ["m@1.1.0"], id="no alias, but one is wanted already"),
        pytest.param("explicit", (FOLLOW, FOLLOW), {"stable": 1}, [("1.1.0", LOADED)], ["m@1.1.0"], id="explicit"),
        pytest.param("explicit", (FOLLOW, FOLLOW), {}, [("1.2.0", LOADED)], ["m@1.2.0"], id="explicit, no alias"),
    ],
)
async def test_without_a_version_it_is_what_aliases_name_or_else_the_highest(
    mode: str,
    placements: tuple[Placement, ...],
    aliases: dict[str, int],
    placed: list[tuple[str, str]],
    serving: list[str],
):
    """Only what changes is written."""
    async with world(*placements, aliases=aliases, mode=FollowMode(mode)) as here:
        await here.placing.load("m", "", "ann")
        assert here.registry.placed == [(*each, "ann") for each in placed]
        assert here.serving == serving


async def test_other_workers_have_followed_when_a_load_or_an_unload_returns():
    """Once this one has: whoever was told may call any of them next. What is not registered goes another way."""
    async with world(FOLLOW, FOLLOW, aliases={"stable": 1}) as here:
        await here.placing.load("m", "1.2.0", "ann")
        await here.placing.unload("m", "1.2.0", "ann")
        await here.placing.load("named", "", "ann")
        assert here.followed == [(3, ["m@1.2.0", "m@1.1.0"]), (4, ["m@1.1.0"])]


@pytest.mark.parametrize(
    ("model", "selector", "lifted"),
    [("m", "1.2.0", ("m", "1.2.0")), ("m", "", ("m", "")), ("named", "", ("named", ""))],
)
async def test_what_is_kept_out_is_tried_again_by_who_loads_it(model: str, selector: str, lifted: tuple[str, str]):
    """Before it is loaded: the version that is meant, or all of the model."""
    async with world(FOLLOW, FOLLOW, aliases={"stable": 1}) as here:
        await here.placing.load(model, selector, "ann")
        await here.placing.load_as_told(model, None, {})
        assert here.lifted == [lifted, (model, "")]


async def test_what_cannot_be_loaded_is_said_and_what_served_goes_on():
    """The operator hears why."""
    async with world(FOLLOW, FOLLOW, aliases={"stable": 1}) as here:
        here.loader.failing[2] = ModelRejected("a file is damaged")
        with pytest.raises(ModelRejected, match="a file is damaged"):
            await here.placing.load("m", "1.2.0", "ann")
        assert here.serving == ["m@1.1.0"]


async def test_another_versions_failure_is_not_this_ones():
    """The version that was asked for serves, which is what the operator wanted to know."""
    async with world(FOLLOW, FOLLOW, aliases={"stable": 1}) as here:
        await here.models.reload(ModelPlan("m"))
        here.loader.failing[1] = ModelRejected("a file is damaged")
        await here.placing.load("m", "1.2.0", "ann")
        assert here.serving == ["m@1.2.0"]


async def test_a_load_that_failed_is_tried_again_when_somebody_says_so():
    """Whatever was wrong may be mended."""
    async with world(FOLLOW) as here:
        here.loader.failing[1] = ModelRejected("a file is damaged")
        with pytest.raises(ModelRejected):
            await here.placing.load("m", "1.1.0", "ann")
        del here.loader.failing[1]
        await here.placing.load("m", "1.1.0", "ann")
        assert here.serving == ["m@1.1.0"]


async def test_one_version_or_all_are_unloaded():
    """An alias does not bring back what somebody unloaded."""
    async with world(FOLLOW, FOLLOW, aliases={"stable": 1, "canary": 2}) as here:
        assert here.serving == ["m@1.2.0", "m@1.1.0"]
        await here.placing.unload("m", "canary", "ann")
        assert here.serving == ["m@1.1.0"]
        await here.placing.unload_all("m")
        assert here.serving == []
        assert here.registry.placed == [
            ("canary", UNLOADED, "ann"),
            ("*", UNLOADED, "inference.GRPCInferenceService"),
        ]
        assert all(servable.is_closed for servable in here.loader.made)


async def test_models_that_are_not_registered_are_those_of_the_sources():
    """Their versions come and go together."""
    async with world(FOLLOW) as here:
        await here.placing.load("named", "", "ann")
        await here.placing.load("late", "", "ann")
        with pytest.raises(InvalidInput, match="versions come and go together"):
            await here.placing.load("named", "2.0.0", "ann")
        with pytest.raises(InvalidInput, match="versions come and go together"):
            await here.placing.unload("named", "2.0.0", "ann")
        await here.placing.unload("named", "", "ann")
        assert here.serving == ["late@1.0.0"]
        assert here.registry.placed == []
        assert here.registry.noted == [
            ("model.load", "named", [], ["1.0.0"], "ann"),
            ("model.load", "late", [], ["1.0.0"], "ann"),
            ("model.unload", "named", ["1.0.0"], [], "ann"),
        ]


async def test_what_nobody_has_is_not_found():
    """Loading, unloading, and a version that is not there."""
    async with world(FOLLOW) as here:
        for refused in (
            here.placing.load("absent", "", "ann"),
            here.placing.unload("absent", "", "ann"),
            here.placing.load("m", "7.0.0", "ann"),
        ):
            with pytest.raises(NotFound):
                await refused
        with pytest.raises(InvalidInput):
            await here.placing.load("../etc", "", "ann")


async def test_a_registry_that_is_away_leaves_the_sources():
    """A model of the repository can be loaded all the same; a registered one cannot be placed."""
    async with world(FOLLOW) as here:
        here.registry.trouble = StoreUnavailable("the database cannot be reached now")
        await here.placing.load("late", "", "ann")
        assert here.serving == ["late@1.0.0"]
        with pytest.raises(StoreUnavailable):
            await here.placing.load("m", "", "ann")


async def test_files_and_configurations_are_not_for_registered_models():
    """They are served as they were registered."""
    async with world(FOLLOW) as here:
        with pytest.raises(InvalidInput, match="is registered: expected no 'config'"):
            await here.placing.load_as_told("m", "{}", {})
        await here.placing.load_as_told("m", None, {})
        await here.placing.load_as_told("sent", "{}", {"1/model.onnx": b"x"})
        assert here.sources.loaded == [("sent", "{}", {"1/model.onnx": b"x"})]
        assert here.registry.placed == [("1.1.0", LOADED, "inference.GRPCInferenceService")]
