"""Makes servables: loads a version on a thread of its own, then builds the layers around it."""

import asyncio
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from serinus.app.stack import ServedVersion
from serinus.config.models import ModelSpec, TensorDeclaration
from serinus.core.errors import ModelRejected
from serinus.core.signature import TensorSpec
from serinus.runtime.model import OnnxModel, load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool
from serinus.runtime.samples import sample_inputs
from serinus.serving.admission import ByteBudget
from serinus.serving.slots import RunSlots
from serinus.telemetry.logs import get_logger
from serinus.telemetry.metrics import Metrics

log = get_logger("serinus.loading")


class VersionLoader:
    """Loads versions for `lifecycle.Models`.

    Attributes:
        pool: Runs models.
        slots: One for each of its threads.
        budget: Bytes of all calls in flight.
        metrics: Gets a handle for each version.
        providers: What models run on that name nothing themselves.
        tasks: Where versions live.
        threads: Loads run here, so that they take no thread from calls.
    """

    def __init__(
        self,
        *,
        pool: ComputePool,
        slots: RunSlots,
        budget: ByteBudget,
        metrics: Metrics,
        providers: tuple[str, ...],
        tasks: asyncio.TaskGroup,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._budget = budget
        self._metrics = metrics
        self._providers = providers
        self._tasks = tasks
        self._threads = threads

    async def __call__(self, spec: ModelSpec, number: int) -> ServedVersion:
        """Load, check and warm up version `number` of a model.

        Raises:
            ModelRejected: it cannot be served.
        """
        identity = spec.model_version(number)
        load = functools.partial(self._load, spec, number)
        model = await asyncio.get_running_loop().run_in_executor(self._threads, load)
        try:
            check_declarations(spec, spec.inputs, model.signature.inputs, "input")
            check_declarations(spec, spec.outputs, model.signature.outputs, "output")
            served = ServedVersion(
                model, spec, metrics=self._metrics.model(identity), budget=self._budget, slots=self._slots
            )
            await served.start(self._tasks)
        except BaseException:
            model.close()
            raise
        for note in model.notes:
            log.info("model note", model=spec.name, version=identity.version_text, note=note)
        return served

    def _load(self, spec: ModelSpec, number: int) -> OnnxModel:
        """What takes long; on the thread for loads, because samples can be large and lie on slow disks."""
        options = SessionOptions(
            providers=spec.providers or self._providers,
            intra_op_threads=spec.intra_op_threads,
            batching=spec.batching.enabled,
            batch_axes=spec.batch_axes,
            samples=sample_inputs(spec, spec.versions[number]),
        )
        return load_model(spec.model_version(number), spec.versions[number], options, self._pool)


def check_declarations(
    spec: ModelSpec, declared: Sequence[TensorDeclaration], found: Sequence[TensorSpec], kind: str
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
        shape = spec.declared_shape(declaration)
        if declaration.dtype is not tensor.dtype or not _fits(shape, tensor.wire_shape):
            raise ModelRejected(
                f"{kind} {declaration.name!r}: the configuration says {declaration.dtype} {list(shape)}, "
                f"the model {tensor.dtype} {list(tensor.wire_shape)}"
            )


def _fits(declared: Sequence[int], found: Sequence[int]) -> bool:
    return len(declared) == len(found) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(declared, found, strict=True)
    )
