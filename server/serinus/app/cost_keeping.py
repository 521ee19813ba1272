"""Tells a version that is loaded what its runs cost before, and writes down what they cost now."""

import asyncio
import hashlib
import json
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

from serinus.config.models import ModelOptions, VersionSpec
from serinus.core.errors import ServerError
from serinus.runtime.learned import runs_in
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.costs")

Document = Mapping[str, Any]

EVERY_S: Final = 30.0  # what a crash loses is learned again within seconds of traffic
PATIENCE_S: Final = 1.0  # a version that is waited for is not held up by a slow database


GivesWay = Callable[[str, Document], bool]
"""Whether what is kept of a subject may be replaced."""


class Costs(Protocol):
    """Where costs are kept; `registry.learned_costs.LearnedCostStore` is one."""

    async def read(self, subject: str) -> Document | None:
        """What was kept last of a subject."""
        ...

    async def write(self, documents: Mapping[str, Document], *, gives_way: GivesWay) -> None:
        """Keep a document for each subject, where the one that is there gives way."""
        ...


class Learns(Protocol):
    """A loaded model."""

    def learned(self) -> Document:
        """What its runs cost, fit for JSON."""
        ...


class CostKeeper:
    """Keeps what loaded models learn, as long as they are loaded. What goes wrong is in the log and nowhere else.

    Workers, and servers of one kind that share a registry, all learn the same subject: what was written by another
    process stays where more runs are behind it, else one that is idle would have the last word.

    Attributes:
        costs: Where.
        every_s: How often.
    """

    def __init__(self, costs: Costs, *, every_s: float = EVERY_S) -> None:
        self._costs = costs
        self._every_s = every_s
        # Nobody has to say that a model is unloaded: it is forgotten with its last reference.
        self._subjects: weakref.WeakKeyDictionary[Learns, str] = weakref.WeakKeyDictionary()
        self._kept: dict[str, Document] = {}
        self._known: dict[str, Document] = {}

    async def recall(self, subject: str) -> Document | None:
        """What runs cost when they were last seen on such a machine; None if nobody can tell in time."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await self._costs.read(subject)
        except (ServerError, TimeoutError) as error:
            log.info("costs not recalled", trouble=str(error) or "no answer in time")
            return None
        if found is not None:
            self._known[subject] = found
        return found

    def keep(self, subject: str, model: Learns) -> None:
        """Write down from now on what `model` learns, which may have begun with what was recalled."""
        self._subjects[model] = subject

    async def run(self) -> NoReturn:
        """Write now and then, until it is cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.save()

    async def save(self) -> None:
        """Write what is new; once more at the end, because what is learned last is best."""
        documents = {subject: model.learned() for model, subject in self._subjects.items()}
        news = {subject: found for subject, found in documents.items() if found and found != self._kept.get(subject)}
        if not news:
            return

        def gives_way(subject: str, there: Document) -> bool:
            return there == self._known.get(subject) or runs_in(there) <= runs_in(news[subject])

        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._costs.write(news, gives_way=gives_way)
        except (ServerError, TimeoutError) as error:
            log.info("costs not kept", trouble=str(error) or "no answer in time")
        else:
            self._kept = {subject: news.get(subject, found) for subject, found in documents.items()}
            self._known.update(news)


def subject_of(spec: VersionSpec) -> str:
    """SHA-256 of what is run and how: equal for equal bytes under equal options. Looks at the file; in a thread."""
    source = spec.source
    what = _looks(source) if isinstance(source, Path) else source.digest
    options = spec.options.model_dump(mode="json", include=_TELLING)
    return hashlib.sha256(json.dumps([what, options], sort_keys=True).encode()).hexdigest()


def _looks(path: Path) -> list[object]:
    # Hashing gigabytes would take as long as learning; whoever writes a file anew changes one of these.
    try:
        stat = path.stat()
    except OSError:
        return [str(path)]  # the load says what is wrong with it
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns]


_TELLING: Final = {"batching", "batch_axes", "padding", "unpadding", "instances", "intra_op_threads", "providers"}
assert ModelOptions.model_fields.keys() >= _TELLING, "an option was renamed: this is a bug"
