"""What a quantizer and its child processes tell each other: an errand and an answer, as JSON."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from serinus.config.models import ModelOptions
from serinus.runtime.quantization.agreement import Agreement
from serinus.runtime.quantization.preparing_ways import Way
from serinus.runtime.quantization.recipe_names import RecipeName
from serinus.runtime.quantization.report import QuantizationBounds, Timing
from serinus.runtime.sources import Bundle


@dataclasses.dataclass(frozen=True)
class Prepare:
    """Gather the model into one file, look at the calibration data, and make the model ready.

    Attributes:
        source: The model's files.
        ways: To prepare it, the first one first.
    """

    source: Path | Bundle
    ways: tuple[Way, ...]
    errand: Literal["prepare"] = "prepare"


@dataclasses.dataclass(frozen=True)
class Build:
    """Make one form.

    Attributes:
        recipe: How.
        bounds: What recipes that try several forms aim at.
        budget_s: Seconds after which they try no further.
        rows: Calibration rows to compare on.
    """

    recipe: RecipeName
    bounds: QuantizationBounds
    budget_s: float
    rows: int
    errand: Literal["build"] = "build"


@dataclasses.dataclass(frozen=True)
class Measure:
    """Time forms and the float model, turn by turn.

    Attributes:
        recipes: Whose forms.
        budget_s: Seconds after which no further turn starts.
        rows: Calibration rows to run.
    """

    recipes: tuple[RecipeName, ...]
    budget_s: float
    rows: int
    errand: Literal["measure"] = "measure"


@dataclasses.dataclass(frozen=True)
class Errand:
    """What one child process does.

    Attributes:
        folder: The workbench; holds the calibration data.
        options: How the server would load the model.
        providers: Hardware for a model that names none.
        memory_bytes: Most that the process may take.
        work: What to do.
    """

    folder: Path
    options: ModelOptions
    providers: tuple[str, ...]
    memory_bytes: int
    work: Prepare | Build | Measure


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The model is ready.

    Attributes:
        size_bytes: Of its files, as they were.
        rows: Calibration rows that forms can be compared on in a few seconds.
        is_ready: Whether one of the ways worked.
    """

    size_bytes: int
    rows: int
    is_ready: bool


@dataclasses.dataclass(frozen=True)
class Built:
    """A form was made.

    Attributes:
        size_bytes: Of its file.
        agreement: With the float model.
        note: What is worth saying of it, or "".
    """

    size_bytes: int
    agreement: Agreement
    note: str


@dataclasses.dataclass(frozen=True)
class Timed:
    """Forms were timed.

    Attributes:
        timings: By recipe; without those that could not be opened.
    """

    timings: Mapping[RecipeName, Timing]


@dataclasses.dataclass(frozen=True)
class Failure:
    """It could not be done.

    Attributes:
        message: Why, a sentence.
        reason: What to do about it, if it is the caller's fault; else "".
        field: What to do it to.
    """

    message: str
    reason: str = ""
    field: str = ""


Answer = Prepared | Built | Timed | Failure

ERRAND: TypeAdapter[Errand] = TypeAdapter(Errand)
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
