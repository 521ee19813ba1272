"""Lets the registry have versions examined by the runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serinus.app.loading import check_declarations
from serinus.config.sections import IntakeSettings
from serinus.config.version_facts import ServingOptions, VersionFacts
from serinus.registry.records import Examination, GoldenResult
from serinus.runtime.intake import Intake, IntakeLimits

_ERROR_RATE: Final = "serving.slo.error_rate is shown on the card; a rollout's ceilings are what acts on errors"
_OTHER_MODEL: Final = (
    "serving.fallback: versions of this model stand in for it; another one only if 'serinus traffic fallback' says so"
)


class Examiner:
    """Loads a version in a child process; satisfies `registry.registration.Examine`."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, folder: Path, main: str, facts: VersionFacts, goldens: Sequence[str], /) -> Examination:
        """What loading the files in `folder` has shown.

        Raises:
            ModelRejected: it cannot be served.
        """
        serving = facts.serving
        report = await self._intake.examine(folder, main, serving, goldens, facts.tolerance)
        check_declarations(serving, serving.inputs, report.signature.inputs, "input")
        check_declarations(serving, serving.outputs, report.signature.outputs, "output")
        return Examination(
            signature=report.signature,
            notes=(*report.notes, *not_applied(serving)),
            goldens=tuple(GoldenResult(each.name, each.max_difference) for each in report.goldens),
            load_s=report.load_s,
            peak_bytes=report.peak_bytes,
        )


def not_applied(serving: ServingOptions) -> tuple[str, ...]:
    """What an author says about serving that has no effect, a sentence each: nobody should learn it from traffic."""
    notes = {
        _ERROR_RATE: serving.slo.error_rate is not None,
        _OTHER_MODEL: any("@" in said for said in serving.fallback),
    }
    return tuple(note for note, is_true in notes.items() if is_true)


def intake_limits(settings: IntakeSettings) -> IntakeLimits:
    """What the operator lets an examination take."""
    memory_bytes = None if settings.memory_mib is None else settings.memory_mib << 20
    return IntakeLimits(memory_bytes=memory_bytes, timeout_s=settings.timeout_s)
