"""What is ordered of a quantizer, and how it tells of its progress; the rows and the report are the quantizer's own."""

import dataclasses

from serinus.core.predictor import Tensors
from serinus.registry.records import VersionRecord
from serinus.runtime.quantization.report import QuantizationBounds, QuantizationReport, RecipeResult


@dataclasses.dataclass(frozen=True, slots=True)
class QuantizeOrder:
    """What to quantize, and how.

    Attributes:
        model: Name.
        selector: Which version.
        calibration: Inputs to calibrate and compare with; {} for those of traffic, or of the golden requests.
        traffic_rows: How many rows of the calls that come in to collect; 0 for none.
        traffic_timeout_s: Longest wait for them.
        recipes: Names of those to try; () for all that apply.
        bounds: What the result must keep.
        is_dry_run: Measure only.
        actor: Who.
    """

    model: str
    selector: str
    calibration: Tensors
    traffic_rows: int
    traffic_timeout_s: float
    recipes: tuple[str, ...]
    bounds: QuantizationBounds
    is_dry_run: bool
    actor: str


@dataclasses.dataclass(frozen=True, slots=True)
class QuantizeStep:
    """One piece of progress.

    Attributes:
        stage: What is being done, for people.
        done: Recipes done.
        total: Recipes to do.
        result: A row of the report that has just become known.
        report: In the last step.
        registered: In the last step: the version that was registered, or None.
    """

    stage: str
    done: int
    total: int
    result: RecipeResult | None = None
    report: QuantizationReport | None = None
    registered: VersionRecord | None = None
