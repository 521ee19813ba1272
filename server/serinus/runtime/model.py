"""A model that is loaded and warm: the innermost predictor."""

import functools
import time
from collections.abc import Mapping, Sequence

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.errors import BadModelOutput, ModelFailed, ModelRejected, ServerError
from serinus.core.padding import Padding
from serinus.core.predictor import Request, Response, Tensor, Tensors
from serinus.core.signature import Signature
from serinus.core.version import ModelVersion
from serinus.runtime.costs import CostModel
from serinus.runtime.finite import nonfinite_rows
from serinus.runtime.goldens import GoldenRun, run_goldens
from serinus.runtime.invocation import choose_invocation
from serinus.runtime.model_file import read_model_file
from serinus.runtime.native_errors import is_out_of_memory
from serinus.runtime.options import SessionOptions
from serinus.runtime.padding_declared import declared_padding
from serinus.runtime.plain_files import release
from serinus.runtime.pool import ComputePool
from serinus.runtime.session import Session, open_session
from serinus.runtime.signatures import declared_batch_axes, inferred_batch_axes, read_spec, with_batch_axes
from serinus.runtime.sources import ModelSource, SourceFiles, open_source
from serinus.runtime.synthetic import has_open_lengths
from serinus.runtime.warmup import WarmUp, warm_up

QUICK_S = 200e-6  # twice a hop to a thread and back: below this the hop costs more than it frees


def load_model(identity: ModelVersion, source: ModelSource, options: SessionOptions, pool: ComputePool) -> "OnnxModel":
    """Load, check and warm up a model. Blocks for as long as that takes: call it on a thread.

    Args:
        identity: Whose answers the model will give.
        source: Where its files are.
        options: What the operator says about its sessions.
        pool: Runs what is not quick.

    Raises:
        ModelRejected: the model cannot be served, or answers a golden request wrongly; the message names no folder.
        DataLost: a file is not what was registered.
    """
    files = open_source(source)
    try:
        model = _open(identity, source, options, pool)
    except UnicodeDecodeError as error:
        raise ModelRejected(f"the model file {files.main_name!r} holds names that are not UTF-8 text") from error
    try:
        model.warm_up()
        model.run_goldens(files)
    except BaseException:
        model.close()
        raise
    return model


def _open(identity: ModelVersion, source: ModelSource, options: SessionOptions, pool: ComputePool) -> "OnnxModel":
    file = read_model_file(source)
    size_bytes = len(file.content) + sum(len(weights) for weights in file.external_data.values())
    try:
        session = open_session(file, options)
    finally:
        # onnxruntime has copied what it needs.
        for content in file.external_data.values():
            release(content)
    read = functools.partial(read_spec, without_rank=file.without_rank)
    signature = Signature(
        inputs=(
            *(read(declared, optional=False) for declared in session.get_inputs()),
            *(read(declared, optional=True) for declared in session.get_overridable_initializers()),
        ),
        outputs=tuple(read(declared, optional=False) for declared in session.get_outputs()),
    )
    note = ""
    if not options.batching:
        note = "requests are not joined: batching is off"
    elif options.batch_axes:
        signature = declared_batch_axes(signature, options.batch_axes)
    else:
        signature, note = inferred_batch_axes(signature)
    # One unlucky value in a loop's count would stop the event loop for as long as that run takes.
    quick_s = 0.0 if file.has_loop else QUICK_S
    notes = (note,) if note else ()
    return OnnxModel(identity, session, signature, options, pool, quick_s=quick_s, notes=notes, size_bytes=size_bytes)


class OnnxModel:
    """A loaded model; a Predictor. Opened by `load_model`, closed by whoever loaded it.

    Attributes:
        identity: The version that answers carry.
        signature: What the model takes and gives; without batch axes if rows were seen to disturb each other.
        cost: What its runs cost, learned from all of them.
        notes: What the operator should know, a sentence each, such as why requests are not joined.
        padding: How calls of different lengths are joined, as declared and proven; None if they are not.
        goldens: How its golden requests went; all of them passed.
        size_bytes: Of its files, weights included. What the process grows by at a load tells less: other models run
            meanwhile, and allocators give back late.
    """

    def __init__(
        self,
        identity: ModelVersion,
        session: Session,
        signature: Signature,
        options: SessionOptions,
        pool: ComputePool,
        *,
        quick_s: float = QUICK_S,
        notes: tuple[str, ...] = (),
        size_bytes: int = 0,
    ) -> None:
        self.identity = identity
        self.cost = CostModel()
        self.notes = notes
        self.size_bytes = size_bytes
        self.goldens: tuple[GoldenRun, ...] = ()
        self._session: Session | None = session
        self._options = options
        self._pool = pool
        self._quick_s = quick_s
        self._invoke = choose_invocation(signature)
        self._adopt(signature)

    def _adopt(self, signature: Signature, padding: Padding | None = None) -> None:
        self.signature = signature
        self.padding = padding
        self._names = list(signature.output_names)
        self._row_axis = {spec.name: spec.batch_axis for spec in signature.outputs}
        # Where a call chooses lengths, rows do not tell how long its run will be; then nothing runs on the event loop.
        self._rows_tell_cost = all(
            spec.dtype is not DType.BYTES
            and all(isinstance(dim, int) or axis == spec.batch_axis for axis, dim in enumerate(spec.shape))
            for spec in (*signature.inputs, *signature.outputs)
        )

    @property
    def pads(self) -> bool:
        """Whether calls of different lengths are joined."""
        return self.padding is not None

    def __repr__(self) -> str:
        state = "closed" if self._session is None else f"{self.predicted_run_s(1):.3g} s a row"
        return f"<OnnxModel {self.identity} [{state}]>"

    def predicted_run_s(self, rows: int) -> float:
        """Seconds that a run of `rows` will take; 0.0 while nothing is known."""
        return self.cost.predict_s(rows)

    def is_quick(self, rows: int, length: int = 1) -> bool:  # noqa: ARG002 - costs by length come next
        """Whether a run of `rows` is over sooner than another thread could take it on."""
        return self._rows_tell_cost and 0.0 < self.cost.predict_s(rows) <= self._quick_s

    async def predict(self, request: Request, /) -> Response:
        """Answer one call: at once if that is quick, else on the pool."""
        if self.is_quick(request.rows):
            return self.run(request)
        return await self._pool.run(functools.partial(self.run, request))

    async def predict_wide(self, request: Request, /) -> Response:
        """As `predict`, of a call that has the machine to itself."""
        return await self.predict(request)

    def run(self, request: Request, /) -> Response:
        """Run on the calling thread; any number of threads may.

        Raises:
            InvalidInput: text is not UTF-8.
            ModelFailed: the model raised.
            BadModelOutput: the outputs do not have the rows that went in.
        """
        # The name keeps the session alive until this run is over, even if the model is closed meanwhile.
        session = self._session
        assert session is not None, "a run of a closed model: this is a bug"
        names: Sequence[str] = request.outputs or self._names
        rows = request.rows
        started = time.perf_counter()
        try:
            values = self._invoke(session, names, request.inputs)
        except ServerError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class, and their text holds paths
            if not rows and (empty := self._empty(names)) is not None:
                return Response(empty, self.identity, batch_rows=0)
            if is_out_of_memory(error):
                raise ModelFailed("the model ran out of memory while it ran", reason="OUT_OF_MEMORY") from error
            raise ModelFailed("the model failed while it ran") from error
        seconds = time.perf_counter() - started
        if len(values) != len(names):
            raise BadModelOutput(f"the model gave {len(values)} outputs: expected {len(names)}")
        outputs = dict(zip(names, values, strict=True))
        for name, value in outputs.items():
            axis = self._row_axis[name]
            if axis is not None and (value.ndim <= axis or value.shape[axis] != rows):
                raise BadModelOutput(
                    f"the model gave the output {name!r} the shape {list(value.shape)}: expected {rows} rows on axis"
                    f" {axis}",
                    field=name,
                )
        if rows:
            self.cost.observe(rows, seconds)
        return Response(
            outputs,
            self.identity,
            compute_s=seconds,
            batch_rows=rows,
            nonfinite_rows=nonfinite_rows(outputs, self._row_axis, rows),
        )

    def _empty(self, names: Sequence[str]) -> Mapping[str, Tensor] | None:
        """Outputs without rows, for models that cannot compute them; None if their shapes are not known."""
        outputs: dict[str, Tensor] = {}
        for name in names:
            spec = self.signature.output[name]
            shape = [0 if axis == spec.batch_axis else dim for axis, dim in enumerate(spec.shape)]
            if spec.batch_axis is None or not all(isinstance(dim, int) for dim in shape):
                return None
            outputs[name] = np.empty([int(dim) for dim in shape], spec.dtype.numpy)
        return outputs

    def warm_up(self, max_rows: int = 2) -> WarmUp:
        """Run invented inputs until costs are known, and stop joining requests if rows disturb each other.

        Blocks for about `SessionOptions.warm_up_s`. A model that fails on invented inputs is served all the same.

        Raises:
            ModelRejected: TOO_MUCH_MEMORY, because a run took more than there was.
        """
        samples = self._options.samples
        learned = self.cost
        if has_open_lengths(self.signature, samples):
            # What a run of a guessed length costs says nothing about the calls to come; believing it could refuse them.
            self.cost = CostModel()
        report = warm_up(
            self.signature,
            self._run_once,
            time.perf_counter,
            samples=samples,
            max_rows=max_rows,
            budget_s=self._options.warm_up_s,
            padding=declared_padding(self._options.padding, self._options.unpadding),
        )
        self.cost = learned
        said = (report.problem, report.unjoinable, report.unpadded)
        self.notes = (*self.notes, *[note for note in said if note and note not in self.notes])
        if report.unjoinable:
            self._adopt(with_batch_axes(self.signature, {}))
        else:
            self._adopt(self.signature, report.padding)
        return report

    def run_goldens(self, files: SourceFiles) -> None:
        """Make the golden requests of the options and keep how they went. Blocks.

        Raises:
            ModelRejected: an answer is not the expected one, or a golden request cannot be used.
            DataLost: a file is not what was registered.
        """
        learned = self.cost
        self.cost = CostModel()  # one call says little about others of other lengths
        options = self._options
        self.goldens = run_goldens(options.goldens, files, self.signature, self._run_once, options.tolerance)
        self.cost = learned

    def _run_once(self, inputs: Tensors, rows: int) -> Tensors:
        try:
            return self.run(Request(inputs, deadline=0.0, rows=rows)).outputs
        except ModelFailed as error:
            if error.reason == "OUT_OF_MEMORY":
                # Serving it would take memory from all others for calls that fail in the end.
                raise ModelRejected(
                    f"a run of {rows} rows takes more memory than there is", reason="TOO_MUCH_MEMORY"
                ) from error
            raise

    def close(self) -> None:
        """Let the session go; its memory is free when the last run is over. Nothing may be asked of the model then."""
        self._session = None
