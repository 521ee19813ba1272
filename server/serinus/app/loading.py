"""Makes servables: loads a version on a thread of its own, then builds the layers around it."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serinus.app.cost_keeping import CostKeeper, subject_of
from serinus.app.stack import ServedVersion
from serinus.config.models import ModelOptions, TensorDeclaration, VersionSpec
from serinus.core.artifact import Manifest
from serinus.core.errors import ModelRejected, StoreUnavailable
from serinus.core.signature import TensorSpec
from serinus.core.version import ModelVersion
from serinus.lifecycle.servable import MakeRoom
from serinus.runtime.freed_memory import FreedMemory
from serinus.runtime.load_threads import LoadThreads
from serinus.runtime.model import OnnxModel, load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool
from serinus.runtime.samples import sample_inputs
from serinus.runtime.sources import Bundle, ModelSource
from serinus.serving.admission import ByteBudget
from serinus.serving.batching.slots import RunSlots
from serinus.serving.pressure import Pressure
from serinus.telemetry.logs import get_logger
from serinus.telemetry.metrics import Metrics
from serinus.threads import to_thread

log = get_logger("serinus.loading")

Fetch = Callable[[Manifest], Awaitable[Mapping[str, Path]]]
"""Has all files of a manifest on this machine; says where each lies, by its path in the manifest.

Raises StoreUnavailable, StoreFull or DataLost.
"""

Noted = Callable[[ModelVersion], contextlib.AbstractContextManager[object]]
"""A block that loads a version; entered on the thread of the load, so that what kills the process is known."""

_FETCHES = 4  # at once: more would share the same network, and none would be there sooner


class VersionLoader:
    """Loads versions for `lifecycle.Models`.

    Attributes:
        pool: Runs models.
        slots: One for each of its threads.
        budget: Bytes of all calls in flight.
        pressure: Of memory.
        stood_s: A queue that has not been empty for so long has stood.
        metrics: Gets a handle for each version.
        providers: What models run on that name nothing themselves.
        tasks: Where versions live.
        threads: Loads run here, so that they take no thread from calls.
        fetch: Has the files of registered versions.
        fetch_timeout_s: What that may take.
        costs: Knows what runs cost before, and keeps what they cost now.
        admit: Raises a ServerError for a version that must not be loaded.
        noted: Around each load.
    """

    def __init__(
        self,
        *,
        pool: ComputePool,
        slots: RunSlots,
        budget: ByteBudget,
        pressure: Pressure,
        stood_s: float,
        metrics: Metrics,
        providers: tuple[str, ...],
        tasks: asyncio.TaskGroup,
        threads: LoadThreads,
        fetch: Fetch,
        costs: CostKeeper,
        fetch_timeout_s: float = 1800.0,  # ten gigabytes over a network that is no faster than a home's
        admit: Callable[[ModelVersion], None] = lambda _: None,
        noted: Noted = contextlib.nullcontext,
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._budget = budget
        self._pressure = pressure
        self._stood_s = stood_s
        self._metrics = metrics
        self._providers = providers
        self._tasks = tasks
        self._threads = threads
        self._fetch = fetch
        self._fetch_timeout_s = fetch_timeout_s
        self._costs = costs
        self._admit = admit
        self._noted = noted
        self._fetches = asyncio.Semaphore(_FETCHES)
        self._freed = FreedMemory()

    async def __call__(self, spec: VersionSpec, make_room: MakeRoom) -> ServedVersion:
        """Load, check and warm up a version.

        Args:
            spec: Which, and where its files are.
            make_room: Waits until so many bytes may come into memory.

        Raises:
            ModelRejected: it cannot be served, or must not.
            DataLost: a file is not what was registered.
            StoreUnavailable, StoreFull: its files cannot be had now.
        """
        identity = spec.identity
        self._admit(identity)
        source = await self._source(spec.source)
        async with self._threads.turn() as turn:
            size_bytes, subject = await to_thread(_looked_at, spec, source)
            await make_room(size_bytes)
            learned = await self._costs.recall(subject) or {}
            load = functools.partial(self._load, spec, source, learned)
            model = await turn.run(load, name=str(identity), discard=OnnxModel.close)
        try:
            if model.size_bytes > size_bytes:  # only loading tells which files of weights a model has
                await make_room(model.size_bytes)
            check_declarations(spec.options, spec.options.inputs, model.signature.inputs, "input")
            check_declarations(spec.options, spec.options.outputs, model.signature.outputs, "output")
            served = ServedVersion(
                model,
                spec.options,
                metrics=self._metrics.model(identity),
                budget=self._budget,
                slots=self._slots,
                freed=self._freed,
                pressure=self._pressure,
                stood_s=self._stood_s,
            )
            self._admit(identity)  # others may have died of it meanwhile
            await served.start(self._tasks)
        except BaseException:
            model.close()
            raise
        self._costs.keep(subject, model)
        for note in model.notes:
            # What was asked for and is not done costs throughput, and the answers look as they should.
            say = log.warning if note == model.unpadded else log.info
            say("model note", model=identity.model, version=identity.version_text, note=note)
        return served

    async def _source(self, source: Path | Manifest) -> ModelSource:
        if isinstance(source, Path):
            return source
        try:
            async with self._fetches, asyncio.timeout(self._fetch_timeout_s):
                return Bundle(source, await self._fetch(source))
        except TimeoutError as error:
            raise StoreUnavailable(
                f"fetching {source.size_bytes} bytes took longer than {self._fetch_timeout_s:g} s"
            ) from error

    def _load(self, spec: VersionSpec, source: ModelSource, learned: Mapping[str, Any]) -> OnnxModel:
        """What takes long; on the thread for loads, because samples can be large and lie on slow disks."""
        options = SessionOptions(
            providers=spec.options.providers or self._providers,
            intra_op_threads=spec.options.intra_op_threads,
            lone_threads=self._pool.threads,
            batching=spec.options.batching.enabled,
            batch_axes=spec.options.batch_axes,
            padding=spec.options.padding,
            unpadding=spec.options.unpadding,
            samples=sample_inputs(spec.options, source),
            goldens=spec.goldens,
            tolerance=spec.tolerance,
        )
        with self._noted(spec.identity):
            return load_model(spec.identity, source, options, self._pool, learned=learned)


def _looked_at(spec: VersionSpec, source: ModelSource) -> tuple[int, str]:
    """How large a version is, and what its costs are known by."""
    return _size_bytes(source), subject_of(spec)


def _size_bytes(source: ModelSource) -> int:
    """Bytes that come into memory, as far as the files tell."""
    if isinstance(source, Bundle):
        return source.manifest.size_bytes
    assert isinstance(source, Path), "nothing is served that nobody has looked at: this is a bug"
    try:
        return source.stat().st_size
    except OSError:
        return 0  # the load says what is wrong with it


def check_declarations(
    options: ModelOptions, declared: Sequence[TensorDeclaration], found: Sequence[TensorSpec], kind: str
) -> None:
    """Compare what the operator says about tensors with what the model file says.

    Raises:
        ModelRejected: they contradict each other.
    """
    by_name = {tensor.name: tensor for tensor in found}
    for declaration in declared:
        tensor = by_name.get(declaration.name)
        if tensor is None:
            raise ModelRejected(f"{kind} {declaration.name!r}: the model has {sorted(by_name)}")
        shape = options.declared_shape(declaration)
        if declaration.dtype is not tensor.dtype or not _fits(shape, tensor.wire_shape):
            raise ModelRejected(
                f"{kind} {declaration.name!r}: the configuration says {declaration.dtype} {list(shape)}, "
                f"the model {tensor.dtype} {list(tensor.wire_shape)}"
            )


def _fits(declared: Sequence[int], found: Sequence[int]) -> bool:
    return len(declared) == len(found) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(declared, found, strict=True)
    )
