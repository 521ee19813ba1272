"""What one worker is told about a model that is not registered, several of them do: here without processes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from serinus.app.workers.relays import RelayedSources
from serinus.core.errors import ModelRejected, NotFound, NotLoaded, Refused, ServerError
from serinus.lifecycle.models import Models
from serinus.workers.control import Body, NotAnswered
from serinus.workers.facts import Failure, WorkerFacts
from serinus.workers.relaying import Relays
from tests.lifecycle.fake_servables import FakeLoader, model_plan
from tests.workers.fake_crew import facts


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


class Local:
    """The models of one worker.

    Attributes:
        models: Them.
        done: What was done, in order.
        failing: Raised by whatever is asked of it.
    """

    def __init__(self) -> None:
        self.loader = FakeLoader()
        self.models = Models(self.loader, refused=lambda _reason: None, forget=lambda _version: None)
        self.done: list[str] = []
        self.failing: ServerError | None = None

    def __contains__(self, model: str) -> bool:
        return model == "m"

    async def load(self, model: str, config_json: str | None, files: dict[str, bytes]) -> None:
        assert files == {}
        await self._does(f"load {model} {config_json}", model)

    async def stage(self, folder: Path, model: str, config_json: str | None, files: Mapping[str, bytes]) -> None:
        assert (model, config_json) == ("m", "{}")
        await asyncio.to_thread(write, folder, files)
        if b"no room" in files.values():
            raise ModelRejected("no room")

    async def load_from(self, folder: Path, model: str, config_json: str | None) -> None:
        await self._does(f"look at {self._content(folder)} {config_json}", model)

    async def load_known_from(self, folder: Path, model: str, config_json: str | None) -> None:
        await self._does(f"take {self._content(folder)} {config_json}", model)

    async def unload(self, model: str) -> None:
        self.done.append(f"unload {model}")
        await self.models.unload(model)

    async def _does(self, what: str, model: str) -> None:
        if self.failing is not None:
            raise self.failing
        self.done.append(what)
        await self.models.reload(model_plan(model))

    def _content(self, folder: Path) -> str:
        (file,) = folder.iterdir()
        return f"{file.name}={file.read_text()}"

    @property
    def serving(self) -> list[str]:
        return [str(servable.identity) for servable in self.models.serving()]


class Crew:
    """Two workers, and a supervisor that relays between them; all in this process."""

    def __init__(self, folder: Path) -> None:
        self.relays = Relays(lambda: self, timeout_s=5.0)
        self.folder = folder
        self.locals: dict[int, Local] = {}
        self.sources: dict[int, RelayedSources] = {}

    async def join(self, index: int, block: contextlib.AsyncExitStack) -> Local:
        """A worker that has loaded what it knows of by itself."""
        local = self.locals[index] = Local()
        await block.enter_async_context(local.models)

        async def ask(kind: str, body: Body) -> Body:
            assert kind == "relay"
            return await self.relays.relay(index, body)

        sources = self.sources[index] = RelayedSources(local, local.models, ask)
        sources.folder = self.folder
        return local

    async def catch_up(self, index: int) -> None:
        await self.sources[index].catch_up(self.relays.standing()["orders"])

    def workers(self) -> Sequence[WorkerFacts]:
        return [facts(index) for index in self.sources]

    async def ask(self, index: int, kind: str, body: Body, *, timeout_s: float) -> Body:
        assert kind == "apply"
        try:
            return await asyncio.wait_for(self.sources[index].apply(body), timeout_s)
        except ServerError as error:
            raise NotAnswered(error.message) from error

    async def ask_all(self, kind: str, body: Body, *, timeout_s: float) -> dict[int, Body | Failure]:
        raise NotImplementedError


@pytest.fixture
async def block() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as made:
        yield made


@pytest.fixture
async def crew(tmp_path: Path, block: contextlib.AsyncExitStack) -> Crew:
    made = Crew(tmp_path)
    await block.enter_async_context(made.relays)
    for index in (1, 2):
        await made.join(index, block)
    return made


async def test_a_load_reaches_all(crew: Crew):
    """Whoever is told, and with the same configuration."""
    await crew.sources[2].load("m", "{}", {})
    assert [(local.done, local.serving) for local in crew.locals.values()] == [(["load m {}"], ["m@1.0.0"])] * 2


async def test_files_of_a_client_reach_all(crew: Crew):
    """The one that was told looks at them, the other relies on that."""
    await crew.sources[1].load("m", "{}", {"model": b"bytes"})
    assert [local.done for local in crew.locals.values()] == [["look at model=bytes {}"], ["take model=bytes {}"]]


async def test_an_unload_reaches_all(crew: Crew):
    """Also the worker in which it does not serve."""
    await crew.sources[1].load("m", None, {})
    await crew.locals[2].models.unload("m")
    await crew.sources[1].unload("m")
    assert [local.serving for local in crew.locals.values()] == [[], []]


async def test_the_error_of_the_one_that_was_told_is_the_callers(crew: Crew, tmp_path: Path):
    """As it was raised; the others are not asked, and nothing is left of the files."""
    crew.locals[1].failing = error = ModelRejected("no model", reason="CRASHED")
    with pytest.raises(ModelRejected) as caught:
        await crew.sources[1].load("m", "{}", {"model": b"bytes"})
    assert caught.value is error
    assert (crew.locals[2].done, left_in(tmp_path)) == ([], [])


async def test_what_cannot_be_staged_leaves_nothing(crew: Crew, tmp_path: Path):
    """A full disk is no fuller afterwards."""
    with pytest.raises(ModelRejected, match="no room"):
        await crew.sources[1].load("m", "{}", {"model": b"no room"})
    assert left_in(tmp_path) == []


async def test_the_error_of_another_is_said_with_its_name(crew: Crew):
    """This worker serves it by then."""
    crew.locals[2].failing = ModelRejected("no memory")
    with pytest.raises(NotLoaded) as caught:
        await crew.sources[1].load("m", None, {})
    assert caught.value.reason == "NOT_ON_ALL_WORKERS"
    assert caught.value.message == (
        "load of model 'm' was done by this worker and not by all (worker 2: no memory): try it again"
    )
    assert crew.locals[1].serving == ["m@1.0.0"]


async def test_a_refusal_of_the_supervisor_is_a_refusal(crew: Crew):
    """Such as too many orders to remember."""
    crew.relays = Relays(lambda: crew, timeout_s=5.0, most_standing=0)
    with pytest.raises(Refused, match="register them instead") as caught:
        await crew.sources[1].load("m", None, {})
    assert caught.value.reason == "NOT_RELAYED"


async def test_a_worker_that_comes_later_catches_up(crew: Crew, block: contextlib.AsyncExitStack):
    """It does what stands, once, however often it asks; the files are still there."""
    await crew.sources[1].load("m", "{}", {"model": b"bytes"})
    await crew.sources[1].load("n", None, {})
    await crew.sources[1].unload("n")
    newcomer = await crew.join(3, block)
    await newcomer.models.reload(model_plan("n"))  # such as from the model repository
    for _ in range(2):
        await crew.catch_up(3)
    assert (newcomer.done, newcomer.serving) == (["take model=bytes {}", "unload n"], ["m@1.0.0"])


async def test_what_a_newcomer_cannot_do_keeps_it_from_nothing_else(crew: Crew, block: contextlib.AsyncExitStack):
    """A version that is kept out meanwhile is one such."""
    await crew.sources[1].load("m", None, {})
    await crew.sources[1].load("n", None, {})
    newcomer = await crew.join(3, block)
    newcomer.failing = ModelRejected("killed four workers", reason="QUARANTINED")
    await crew.catch_up(3)
    newcomer.failing = None
    await crew.sources[1].load("n", None, {})
    assert newcomer.serving == ["n@1.0.0"]


async def test_two_that_are_told_different_things_end_up_with_the_same(crew: Crew):
    """All do both in the same order."""
    await asyncio.gather(*(crew.sources[index].load("m", config, {}) for index, config in ((1, "a"), (2, "b"))))
    assert crew.locals[1].done == crew.locals[2].done
    assert sorted(crew.locals[1].done) == ["load m a", "load m b"]


async def test_unloading_what_nobody_has_is_an_error(crew: Crew):
    """As without a supervisor."""
    with pytest.raises(NotFound):
        await crew.sources[1].unload("n")
