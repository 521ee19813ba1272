"""Decides which quantized form of a model is worth keeping, and says so in a sentence. Pure."""

import dataclasses
import math
from collections.abc import Sequence

from serinus.core.errors import InvalidInput
from serinus.runtime.quantization.agreement import Agreement
from serinus.runtime.quantization.recipe_names import RecipeName


@dataclasses.dataclass(frozen=True, slots=True)
class QuantizationBounds:
    """What a quantized version must keep and gain to be worth registering.

    Attributes:
        min_argmax_agreement: Share of rows whose largest output is at the same place.
        min_cosine: Of all outputs, smallest over the rows.
        max_absolute_difference: Largest difference of any output; None for no bound.
        min_speedup: How many times faster at its best batch. At 1 or above it must be more than noise, too.
        max_size_ratio: Size may count instead of speed: at most this share of the float model's; None lets speed alone
            count.
    """

    min_argmax_agreement: float = 0.99  # one row in a hundred is what retraining changes as well
    min_cosine: float = 0.99
    max_absolute_difference: float | None = None  # outputs' units are the model's own
    min_speedup: float = 1.0
    max_size_ratio: float | None = None

    def __post_init__(self) -> None:
        _check("min_argmax_agreement", self.min_argmax_agreement, 0.0, 1.0)
        _check("min_cosine", self.min_cosine, -1.0, 1.0)
        _check("min_speedup", self.min_speedup, 0.0, math.inf)
        if self.max_absolute_difference is not None:
            _check("max_absolute_difference", self.max_absolute_difference, 0.0, math.inf)
        if self.max_size_ratio is not None:
            _check("max_size_ratio", self.max_size_ratio, 0.0, math.inf)


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """How fast a model runs on this machine.

    Attributes:
        batch_1_s: Median seconds of one run with one row.
        best_batch: Rows per run that give the most rows a second.
        best_batch_s: Median seconds of such a run.
        speedup: Rows a second at the best batch, as a multiple of the float model's at its own.
        speedup_at_least: What the speedup is at least, with 99.5 % confidence; 0.0 where too few runs were measured.
    """

    batch_1_s: float
    best_batch: int
    best_batch_s: float
    speedup: float = 1.0
    speedup_at_least: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one form of the model.

    Attributes:
        recipe: How it was made.
        size_bytes: Of all its files.
        agreement: With the float model.
        timing: On this machine; None if it could not be measured.
        note: What is worth saying of how it was made, or "".
    """

    recipe: RecipeName
    size_bytes: int
    agreement: Agreement
    timing: Timing | None
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class RecipeResult:
    """One row of the report; all numbers are 0 where the recipe gave no model.

    Attributes:
        recipe: "float" for the model as it is.
        size_bytes: Of all files.
        batch_1_s: Median seconds of one run with one row.
        best_batch: Rows per run that give the most rows a second.
        best_batch_s: Median seconds of such a run.
        argmax_agreement: As in `Agreement`.
        min_cosine: As in `Agreement`.
        max_absolute_difference: As in `Agreement`.
        accepted: Whether it stays within the bounds.
        reason: If not, or if it failed, why; and what is worth saying of how it was made.
    """

    recipe: str
    size_bytes: int = 0
    batch_1_s: float = 0.0
    best_batch: int = 0
    best_batch_s: float = 0.0
    argmax_agreement: float = 0.0
    min_cosine: float = 0.0
    max_absolute_difference: float = 0.0
    accepted: bool = False
    reason: str = ""

    @property
    def rows_per_s(self) -> float:
        """At the best batch; 0.0 if that was not measured."""
        return self.best_batch / self.best_batch_s if self.best_batch_s else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class QuantizationReport:
    """What a quantization found.

    Attributes:
        results: The float model first, then a row for each recipe.
        winner: The recipe that won; "" to keep the float model.
        sentence: The verdict.
    """

    results: tuple[RecipeResult, ...]
    winner: str
    sentence: str

    def to_mapping(self) -> dict[str, object]:
        """For a version's record and its card: what JSON can hold, named as in the protocol."""
        return {
            "results": [dataclasses.asdict(result) for result in self.results],
            "winner": self.winner,
            "sentence": self.sentence,
        }


def judge(measured: Measured, baseline: Measured, bounds: QuantizationBounds) -> RecipeResult:
    """The row of `measured`: its numbers, and whether they are within the bounds."""
    reason = ""
    if measured.recipe is not RecipeName.FLOAT:
        reason = _disagreement(measured.agreement, bounds) or _no_gain(measured, baseline, bounds)
    timing = measured.timing or Timing(0.0, 0, 0.0)
    return RecipeResult(
        recipe=measured.recipe,
        size_bytes=measured.size_bytes,
        batch_1_s=timing.batch_1_s,
        best_batch=timing.best_batch,
        best_batch_s=timing.best_batch_s,
        argmax_agreement=measured.agreement.argmax_agreement,
        min_cosine=measured.agreement.min_cosine,
        max_absolute_difference=measured.agreement.max_absolute_difference,
        accepted=not reason,
        reason="; ".join(filter(None, (reason, measured.note))),
    )


def agrees(agreement: Agreement, bounds: QuantizationBounds) -> bool:
    """Whether answers are as alike as the bounds ask for."""
    return not _disagreement(agreement, bounds)


def choose(results: Sequence[RecipeResult], bounds: QuantizationBounds) -> tuple[str | None, str]:
    """The recipe that won, or None to keep the float model; and the verdict, a sentence.

    Args:
        results: The float model's, and one for each recipe.
        bounds: What they were judged by.
    """
    baseline = next((result for result in results if result.recipe == RecipeName.FLOAT), None)
    forms = [result for result in results if result.recipe != RecipeName.FLOAT and result.size_bytes]
    if baseline is None or not forms:
        return None, "keep the float model: no recipe gave a model to compare with it"
    if accepted := [form for form in forms if form.accepted]:
        winner = max(accepted, key=lambda form: form.rows_per_s)
        return winner.recipe, (
            f"{winner.recipe} wins: {_pace(winner, baseline)} and {_size(winner, baseline)},"
            f" with argmax agreement {winner.argmax_agreement:.4f} and cosine {winner.min_cosine:.4f} or more"
        )
    alike = [form for form in forms if form.rows_per_s and agrees(_agreement_of(form), bounds)]
    if alike:
        best = max(alike, key=lambda form: form.rows_per_s)
        which = f"the fastest of {len(alike)} forms that agree with it" if len(alike) > 1 else "the one that agrees"
        how = f": {best.reason}" if best.rows_per_s >= baseline.rows_per_s else f", is {_pace(best, baseline)}"
        return None, f"keep the float model: {which}, {best.recipe}{how}"
    closest = max(forms, key=lambda form: (form.argmax_agreement, form.min_cosine))
    return None, f"keep the float model: nothing agrees with it; the closest, {closest.recipe}: {closest.reason}"


def _agreement_of(result: RecipeResult) -> Agreement:
    return Agreement(result.argmax_agreement, result.min_cosine, result.max_absolute_difference)


def _disagreement(agreement: Agreement, bounds: QuantizationBounds) -> str:
    if agreement.argmax_agreement < bounds.min_argmax_agreement:
        return (
            f"its largest output is at the same place in {agreement.argmax_agreement:.4f} of the rows: expected at"
            f" least {bounds.min_argmax_agreement:g}"
        )
    if agreement.min_cosine < bounds.min_cosine:
        return f"its smallest cosine is {agreement.min_cosine:.4f}: expected at least {bounds.min_cosine:g}"
    most = bounds.max_absolute_difference
    if most is not None and agreement.max_absolute_difference > most:
        return f"an output differs by {agreement.max_absolute_difference:.3g}: expected at most {most:g}"
    return ""


def _no_gain(measured: Measured, baseline: Measured, bounds: QuantizationBounds) -> str:
    timing = measured.timing
    if timing is None:
        return "it could not be timed"
    # Whoever allows a form to be slower need not be shown that it is faster.
    if timing.speedup >= bounds.min_speedup and (timing.speedup_at_least > 1.0 or bounds.min_speedup < 1.0):
        return ""
    ratio = measured.size_bytes / baseline.size_bytes
    if bounds.max_size_ratio is not None and ratio <= bounds.max_size_ratio:
        return ""
    reason = (
        f"it runs {timing.speedup:.2f} times as fast: expected {bounds.min_speedup:g} or more"
        if timing.speedup < bounds.min_speedup
        else f"that it runs {timing.speedup:.2f} times as fast is within the noise"
    )
    if bounds.max_size_ratio is not None:
        reason += f", or a size of {bounds.max_size_ratio:g} times the float model's: it is {ratio:.2f}"
    return reason


def _pace(form: RecipeResult, baseline: RecipeResult) -> str:
    ratio = form.rows_per_s / baseline.rows_per_s if form.rows_per_s and baseline.rows_per_s else 0.0
    if not ratio:
        return "not timed"
    return f"{ratio:.2f} times faster" if ratio >= 1 else f"{1 / ratio:.2f} times slower"


def _size(form: RecipeResult, baseline: RecipeResult) -> str:
    ratio = baseline.size_bytes / form.size_bytes
    return f"{ratio:.2f} times smaller" if ratio >= 1 else f"{1 / ratio:.2f} times larger"


def _check(name: str, number: float, least: float, most: float) -> None:
    if not least <= number <= most or math.isinf(number):
        limits = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of {least:g} or more"
        raise InvalidInput(
            f"{name}: expected a number {limits}, got {number:g}", reason="INVALID_BOUNDS", field=f"bounds.{name}"
        )
