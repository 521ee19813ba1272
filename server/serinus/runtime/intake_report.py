"""What the two sides of an intake tell each other: a request and an answer, as JSON."""

import dataclasses

from pydantic import TypeAdapter

from serinus.config.models import ModelOptions, Tolerance
from serinus.core.signature import Signature
from serinus.runtime.goldens import GoldenRun


@dataclasses.dataclass(frozen=True)
class IntakeRequest:
    """What a child process is to examine.

    Attributes:
        folder: Holds the model's files and nothing else.
        main: The ONNX file's path below it.
        options: How the model will be served.
        providers: Hardware to load it on, most wanted first.
        goldens: Golden requests, by their path below the folder.
        tolerance: Of their answers.
        memory_bytes: Most memory that the model may take.
    """

    folder: str
    main: str
    options: ModelOptions
    providers: tuple[str, ...]
    goldens: tuple[str, ...]
    tolerance: Tolerance
    memory_bytes: int


@dataclasses.dataclass(frozen=True)
class IntakeReport:
    """What loading a version in a child process has shown.

    Attributes:
        signature: What it takes and gives; batch axes as they will be when it serves.
        notes: What the operator should know, a sentence each.
        goldens: How its golden requests went; all of them passed.
        load_s: Seconds that loading, warming up and the golden requests took.
        peak_bytes: Most memory that the child process had.
        resident_bytes: Memory that the loaded model keeps.
    """

    signature: Signature
    notes: tuple[str, ...]
    goldens: tuple[GoldenRun, ...]
    load_s: float
    peak_bytes: int
    resident_bytes: int


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a version is not accepted, as the child process says it."""

    message: str
    reason: str
    field: str = ""


def too_much_memory(memory_bytes: int) -> Refusal:
    """The refusal of a model that took more than `memory_bytes`."""
    return Refusal(f"loading and warming up takes more than {memory_bytes >> 20} MiB of memory", "TOO_MUCH_MEMORY")


REQUEST: TypeAdapter[IntakeRequest] = TypeAdapter(IntakeRequest)
ANSWER: TypeAdapter[IntakeReport | Refusal] = TypeAdapter(IntakeReport | Refusal)
