"""Where one model is quantized and measured: a folder that child processes fill, each for a while.

It holds `float.onnx`, the model in one file; `calibration.npz`; `prepared.onnx` and what is known of it; and a form for
each recipe.
"""

import contextlib
import functools
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from serinus.core.errors import ModelRejected
from serinus.core.predictor import Tensors
from serinus.core.signature import Signature
from serinus.runtime.options import SessionOptions
from serinus.runtime.quantization.agreement import Agreement, Incomparable, compare
from serinus.runtime.quantization.calibration import Calibration, check_calibration, read_calibration, sample_rows
from serinus.runtime.quantization.exclusion import Trial, write_excluding
from serinus.runtime.quantization.form import Form, differences
from serinus.runtime.quantization.measuring import Contender, time_contenders
from serinus.runtime.quantization.preparing import PreparedModel, prepare
from serinus.runtime.quantization.preparing_ways import Way
from serinus.runtime.quantization.ranges import Ranges, find_ranges
from serinus.runtime.quantization.recipe_names import RecipeName
from serinus.runtime.quantization.recipes import RECIPES
from serinus.runtime.quantization.report import QuantizationBounds, Timing, agrees
from serinus.runtime.signatures import declared_batch_axes, inferred_batch_axes, with_batch_axes

COMPARING_S = 4.0  # of the float model's time; a model of 1 s a row is compared on fewer rows
FEWEST_ROWS = 8
MOST_OUTPUT_BYTES = 1 << 28  # of the float model's answers, kept to compare with
JOINED_ROWS = 8
TRIAL_ROWS = 32
TRIAL_RUNS = 5
ALIKE = 0.9999  # cosine that another order of the same operations keeps

_PREPARED: TypeAdapter[PreparedModel] = TypeAdapter(PreparedModel)


def form_path(folder: Path, recipe: RecipeName) -> Path:
    """Where the form of that recipe is written."""
    return folder / f"{recipe}.onnx"


class Workbench:
    """One model, the rows it is measured with, and the forms made of it.

    Args:
        folder: Holds `float.onnx` and `calibration.npz`.
        options: How the server would load it.
        most_rows: Of the calibration data; None for as many as can be compared in a few seconds.

    Raises:
        InvalidInput: the calibration data do not fit the model.
        ModelRejected: the model cannot be loaded.
    """

    def __init__(self, folder: Path, options: SessionOptions, most_rows: int | None) -> None:
        self._folder = folder
        self._options = options
        self._original = form_path(folder, RecipeName.FLOAT)
        self._description = folder / "prepared.json"
        self._signature = Form(self._original, options, {}).signature
        rows = check_calibration(read_calibration(folder / "calibration.npz"), _with_rows(self._signature, options))
        self._float = self._load(self._original, rows)
        self._calibration = rows.sample(self._rows_in_time(rows.take(0, 1)) if most_rows is None else most_rows)

    @property
    def rows(self) -> int:
        """Calibration rows that forms are compared on."""
        return self._calibration.rows

    def prepare(self, ways: Sequence[Way]) -> bool:
        """Prepare the model in the first of these ways that leaves its answers alike; whether there is one."""
        for way in ways:
            with contextlib.suppress(ModelRejected, Incomparable):
                prepared = prepare(self._original, way, self._folder / "prepared.onnx")
                if prepared is None:
                    continue
                if self._agreement(self._open(prepared.path), min(self.rows, FEWEST_ROWS)).min_cosine >= ALIKE:
                    self._description.write_bytes(_PREPARED.dump_json(prepared))
                    return True
        return False

    def build(self, recipe: RecipeName, bounds: QuantizationBounds, budget_s: float) -> tuple[int, Agreement, str]:
        """Make a form: its size in bytes, its agreement with the float model, and what is worth saying of it.

        Args:
            recipe: How.
            bounds: What a recipe with trials aims at.
            budget_s: Seconds after which it tries nothing further.

        Raises:
            NotApplicable: the recipe does not fit the model.
            Incomparable: the form answers something else.
            ServerError: the form cannot be loaded, or fails.
            Exception: what the tools raise; they have no common class.
        """
        path, note = form_path(self._folder, recipe), ""
        prepared = _PREPARED.validate_json(self._description.read_bytes())

        def ranges() -> Ranges:
            # The other rows are new to the form, as those of callers will be.
            return find_ranges(prepared, self._calibration.half(), self._folder)

        if recipe is RecipeName.STATIC_QDQ_EXCLUDE:
            give_up = time.monotonic() + budget_s
            evaluate = functools.partial(self._try, bounds)
            left_out = write_excluding(prepared, ranges, path, evaluate, lambda: time.monotonic() >= give_up)
            note = f"leaves out {', '.join(left_out)}"
        else:
            RECIPES[recipe](prepared, ranges, path)
        return path.stat().st_size, self._agreement(self._open(path), self.rows), note

    def measure(self, recipes: Sequence[RecipeName], budget_s: float) -> dict[RecipeName, Timing]:
        """How fast these forms and the float model are, all together; those that cannot be opened are left out."""
        forms = {RecipeName.FLOAT: self._float}
        for recipe in recipes:
            with contextlib.suppress(ModelRejected, Incomparable):
                forms[recipe] = self._open(form_path(self._folder, recipe))
        timings = time_contenders(
            {recipe: Contender(_Timed(form, self._calibration), form.most_rows) for recipe, form in forms.items()},
            RecipeName.FLOAT,
            time.perf_counter,
            random.Random(0),  # noqa: S311 - an order of turns, not a secret
            budget_s=budget_s,
        )
        return {RecipeName(name): timing for name, timing in timings.items()}

    @functools.cached_property
    def _expected(self) -> list[Tensors]:
        return [self._float.outputs(self._calibration.take(row, 1)) for row in range(self.rows)]

    def _open(self, path: Path) -> Form:
        form = self._load(path, self._calibration)
        if difference := differences(form.signature, self._signature):
            raise Incomparable(difference)
        return form

    def _load(self, path: Path, calibration: Calibration) -> Form:
        return Form(path, self._options, calibration.take(0, min(2, calibration.rows)))

    def _rows_in_time(self, row: Tensors) -> int:
        seconds = statistics.median(self._float.run_s(row) for _ in range(3))
        size_bytes = sum(tensor.nbytes for tensor in self._float.outputs(row).values())
        in_time = max(FEWEST_ROWS, int(COMPARING_S / max(seconds, 1e-6)))
        return max(1, min(in_time, MOST_OUTPUT_BYTES // max(size_bytes, 1)))

    def _agreement(self, form: Form, rows: int) -> Agreement:
        """Rows run alone, and some of them together, as the server would; the worse of both."""
        wanted = [int(row) for row in sample_rows(self.rows, rows)]
        agreement = compare(
            [self._expected[row] for row in wanted],
            [form.outputs(self._calibration.take(row, 1)) for row in wanted],
        )
        joined = min(JOINED_ROWS, self.rows)
        if form.most_rows > 1 and joined > 1:
            together = form.outputs_by_row(self._calibration.take(0, joined), joined)
            agreement = agreement.worst(compare(self._expected[:joined], together))
        return agreement

    def _try(self, bounds: QuantizationBounds, path: Path) -> Trial:
        form = self._open(path)
        agreement = self._agreement(form, min(self.rows, TRIAL_ROWS))
        row = self._calibration.take(0, 1)
        # Against the float model in turns, so that trials which were minutes apart can be compared.
        ratios = [form.run_s(row) / max(self._float.run_s(row), 1e-9) for _ in range(TRIAL_RUNS)]
        return Trial(agrees(agreement, bounds), agreement, statistics.median(ratios))


class _Timed:
    """Runs of one form with rows that are made once for each size."""

    def __init__(self, form: Form, calibration: Calibration) -> None:
        self._form = form
        self._calibration = calibration
        self._inputs: dict[int, Tensors] = {}

    def __call__(self, rows: int) -> float:
        if rows not in self._inputs:
            self._inputs[rows] = self._calibration.take(0, rows)
        return self._form.run_s(self._inputs[rows], rows)


def _with_rows(signature: Signature, options: SessionOptions) -> Signature:
    """The signature with its batch axes, also of a model whose rows the server does not join."""
    if options.batch_axes:
        return declared_batch_axes(signature, options.batch_axes)
    return inferred_batch_axes(with_batch_axes(signature, {}))[0]
