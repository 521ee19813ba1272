"""A model that is loaded and warm: the innermost predictor."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from serinus.core.errors import BadModelOutput, ModelFailed, ModelRejected, ServerError
from serinus.core.lengths import length_of
from serinus.core.padding import Padding
from serinus.core.predictor import Request, Response, Tensor, Tensors
from serinus.core.run_costs import BestPoint, CostPoint
from serinus.core.signature import Signature
from serinus.core.version import ModelVersion
from serinus.runtime.cost_clock import cost_clock
from serinus.runtime.finite import nonfinite_rows
from serinus.runtime.goldens import GoldenRun, run_goldens
from serinus.runtime.invocation import choose_invocation
from serinus.runtime.learned import NOTHING, Learned, Observe, checked
from serinus.runtime.model_file import ModelFile, read_model_file
from serinus.runtime.native_errors import is_out_of_memory
from serinus.runtime.options import SessionOptions
from serinus.runtime.padding_declared import declared_padding
from serinus.runtime.plain_files import release
from serinus.runtime.pool import ComputePool
from serinus.runtime.session import Session, open_session
from serinus.runtime.shrinking import shrink
from serinus.runtime.signatures import declared_batch_axes, inferred_batch_axes, read_signature, with_batch_axes
from serinus.runtime.sources import ModelSource, SourceFiles, open_source
from serinus.runtime.synthetic import has_open_lengths
from serinus.runtime.warmup import WarmUp, warm_up
from serinus.runtime.wide import WideSession, may_pay, try_wide
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.costs")

QUICK_S = 200e-6  # twice a hop to a thread and back: below this the hop costs more than it frees


def load_model(
    identity: ModelVersion,
    source: ModelSource,
    options: SessionOptions,
    pool: ComputePool,
    *,
    learned: Mapping[str, Any] = NOTHING,
) -> "OnnxModel":
    """Load, check and warm up a model. Blocks for as long as that takes: call it on a thread.

    Args:
        identity: Whose answers the model will give.
        source: Where its files are.
        options: What the operator says about its sessions.
        pool: Runs what is not quick.
        learned: What `OnnxModel.learned` said of the same files on such a machine; what is no such document is as good
            as none, and the log says so.

    Raises:
        ModelRejected: the model cannot be served, or answers a golden request wrongly; the message names no folder.
        DataLost: a file is not what was registered.
    """
    files = open_source(source)
    kept = NOTHING
    try:
        kept = checked(learned)
    except ValueError as error:
        log.warning("costs not restored", model=identity.model, version=identity.version_text, trouble=str(error))
    try:
        file = read_model_file(source)
        try:
            return _loaded(identity, file, files, options, pool, kept)
        finally:
            _release(file)
    except UnicodeDecodeError as error:
        raise ModelRejected(f"the model file {files.main_name!r} holds names that are not UTF-8 text") from error


def _loaded(
    identity: ModelVersion,
    file: ModelFile,
    files: SourceFiles,
    options: SessionOptions,
    pool: ComputePool,
    kept: Mapping[str, Any],
) -> "OnnxModel":
    model = _open(identity, file, options, pool, kept)
    try:
        may_widen = may_pay(options, model.size_bytes)
        if not may_widen:
            _release(file)
        model.warm_up()
        model.run_goldens(files)
        if may_widen:
            model.try_wide(file)
    except BaseException:
        model.close()
        raise
    return model


def _release(file: ModelFile) -> None:
    """Give the weights back: onnxruntime has copied what it needs."""
    for content in file.external_data.values():
        release(content)


def _open(
    identity: ModelVersion, file: ModelFile, options: SessionOptions, pool: ComputePool, kept: Mapping[str, Any]
) -> "OnnxModel":
    size_bytes = len(file.content) + sum(len(weights) for weights in file.external_data.values())
    session = open_session(file, options)
    signature = read_signature(session, file.without_rank)
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
    return OnnxModel(
        identity, session, signature, options, pool, quick_s=quick_s, notes=notes, size_bytes=size_bytes, kept=kept
    )


class OnnxModel:
    """A loaded model; a Predictor. Opened by `load_model`, closed by whoever loaded it.

    Attributes:
        identity: The version that answers carry.
        signature: What the model takes and gives; without batch axes if rows were seen to disturb each other.
        cost: What its runs cost, learned from all of them but those that had the machine to themselves.
        notes: What the operator should know, a sentence each, such as why requests are not joined.
        padding: How calls of different lengths are joined, as declared and proven; None if they are not.
        unpadded: The note that says why not, where it was declared; "" otherwise.
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
        kept: Mapping[str, Any] = NOTHING,
    ) -> None:
        self.identity = identity
        self.notes = notes
        self.unpadded = ""
        self.size_bytes = size_bytes
        self.goldens: tuple[GoldenRun, ...] = ()
        self._session: Session | None = session
        self._wide: WideSession | None = None
        self._options = options
        self._pool = pool
        self._runs = pool.runs
        self._quick_s = quick_s
        self._kept = kept
        self._invoke = choose_invocation(signature)
        self._cost_clock = cost_clock(options)
        self._know(self._as_kept(signature))
        self._adopt(signature)

    def _as_kept(self, signature: Signature) -> Learned:
        return Learned(signature, quick_s=self._quick_s, kept=self._kept)

    def _know(self, learned: Learned) -> None:
        self._learned = learned
        self.cost = learned.narrow

    def _adopt(self, signature: Signature, padding: Padding | None = None) -> None:
        self.signature = signature
        self.padding = padding
        self._names = list(signature.output_names)
        self._row_axis = {spec.name: spec.batch_axis for spec in signature.outputs}
        self._has_lengths = bool(signature.open_axes)
        if self._has_lengths != self._learned.has_lengths:
            self._know(self._as_kept(signature))

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

    def is_quick(self, rows: int, length: int = 1) -> bool:
        """Whether a run of `rows` of a padded `length` is over sooner than another thread could take it on."""
        return self._learned.is_quick(rows, length)

    async def predict(self, request: Request, /) -> Response:
        """Answer one call: at once if that is quick, else on the pool."""
        if self._learned.is_quick(request.rows, self._length(request)):
            return self.run(request)
        run = functools.partial(self._run, self._session, self._learned.observe, request, self._cost_clock)
        return await self._pool.run(run)

    async def predict_wide(self, request: Request, /) -> Response:
        """As `predict`, of a call that has the machine to itself: on several threads if that was seen to be faster."""
        wide = self._wide
        if wide is None:
            return await self.predict(request)
        rows, length = request.rows, self._length(request)
        if self._learned.is_quick(rows, length) or not wide.pays(self._learned, rows, length):
            return await self.predict(request)
        return await self._pool.run(functools.partial(self._run, wide.session, self._learned.wide.observe, request))

    def _length(self, request: Request) -> int:
        return length_of(self.signature, request.inputs) if self._has_lengths else 1

    def run(self, request: Request, /) -> Response:
        """Run on the calling thread; any number of threads may.

        Raises:
            InvalidInput: text is not UTF-8.
            ModelFailed: the model raised; RUN_ENDED, because it was told to.
            BadModelOutput: the outputs do not have the rows that went in.
        """
        return self._run(self._session, self._learned.observe, request)

    def _run(
        self,
        session: Session | None,
        observe: Observe,
        request: Request,
        cost_clock: Callable[[], float] = time.perf_counter,
    ) -> Response:
        # The name keeps the session alive until this run is over, even if the model is closed meanwhile.
        assert session is not None, "a run of a closed model: this is a bug"
        names: Sequence[str] = request.outputs or self._names
        rows = request.rows
        options = self._runs.begin(self.identity, request.deadline)
        cost_started, started = cost_clock(), time.perf_counter()
        try:
            values = self._invoke(session, names, request.inputs, options)
        except ServerError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class, and their text holds paths
            if options.terminate:
                raise ModelFailed("the run took too long and was ended", reason="RUN_ENDED") from error
            if not rows and (empty := self._empty(names)) is not None:
                return Response(empty, self.identity, batch_rows=0)
            if is_out_of_memory(error):
                raise ModelFailed("the model ran out of memory while it ran", reason="OUT_OF_MEMORY") from error
            raise ModelFailed("the model failed while it ran") from error
        finally:
            seconds, cost_s = time.perf_counter() - started, cost_clock() - cost_started
            self._runs.end()
        outputs = self._checked(names, values, rows)
        if rows:
            observe(rows, cost_s, self._length(request))
        return Response(
            outputs,
            self.identity,
            compute_s=seconds,
            batch_rows=rows,
            nonfinite_rows=nonfinite_rows(outputs, self._row_axis, rows),
        )

    def _checked(self, names: Sequence[str], values: Sequence[Tensor], rows: int) -> dict[str, Tensor]:
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
        return outputs

    # What it has learned.

    def learned(self) -> Mapping[str, Any]:
        """What its runs cost, fit for JSON and for `load_model`; {} while nothing is known."""
        return self._learned.document()

    def cost_points(self) -> list[CostPoint]:
        """The same for people, by threads, length and rows."""
        return list(self._learned.points(self._options.intra_op_threads, self._options.lone_threads))

    def best_points(self) -> tuple[BestPoint, ...]:
        """Where rows a second stop improving, by length; nothing of lengths that nobody asked about."""
        return self._learned.bests()

    @property
    def is_restored(self) -> bool:
        """Whether something was known before it was loaded."""
        return self._learned.is_restored

    @property
    def lone_threads(self) -> int:
        """Most threads of a run that has the machine to itself."""
        return self._options.intra_op_threads if self._wide is None else self._wide.threads

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
        learned = self._learned
        if has_open_lengths(self.signature, samples):
            # What a run of a guessed length costs says nothing about the calls to come; believing it could refuse them.
            self._know(Learned(self.signature, quick_s=0.0))
        report = warm_up(
            self.signature,
            self._run_once,
            time.perf_counter,
            samples=samples,
            max_rows=max_rows,
            budget_s=self._options.warm_up_s,
            padding=declared_padding(self._options.padding, self._options.unpadding),
        )
        self._know(learned)
        if self._session is not None and report.is_quick:
            shrink(self._session, self.signature, self._options)
        self.unpadded = report.unpadded
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
        learned = self._learned
        self._know(Learned(self.signature, quick_s=0.0))  # one call says little about others of other lengths
        options = self._options
        self.goldens = run_goldens(options.goldens, files, self.signature, self._run_once, options.tolerance)
        self._know(learned)

    def try_wide(self, file: ModelFile) -> None:
        """Open a second session, for calls that have the machine to themselves, if that may be faster.

        Blocks for about half of `SessionOptions.warm_up_s`, and for as long as opening takes.
        """
        assert self._session is not None, "a trial of a closed model: this is a bug"
        # What a run of a guessed length costs is good for this comparison only.
        guessed = has_open_lengths(self.signature, self._options.samples)
        learned = Learned(self.signature, quick_s=0.0) if guessed else self._learned
        self._wide = try_wide(file, self.size_bytes, self._session, self.signature, self._options, learned, self._run_s)

    def _run_s(self, session: Session, observe: Observe, row: Tensors) -> float:
        return self._run(session, observe, Request(row, deadline=0.0)).compute_s

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
        self._session = self._wide = None
