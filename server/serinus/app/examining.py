"""Lets the registry have versions examined by the runtime."""

from collections.abc import Sequence
from pathlib import Path

from serinus.app.loading import check_declarations
from serinus.config.sections import IntakeSettings
from serinus.config.version_facts import VersionFacts
from serinus.registry.records import Examination, GoldenResult
from serinus.runtime.intake import Intake, IntakeLimits


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
            notes=report.notes,
            goldens=tuple(GoldenResult(each.name, each.max_difference) for each in report.goldens),
            load_s=report.load_s,
            peak_bytes=report.peak_bytes,
        )


def intake_limits(settings: IntakeSettings) -> IntakeLimits:
    """What the operator lets an examination take."""
    memory_bytes = None if settings.memory_mib is None else settings.memory_mib << 20
    return IntakeLimits(memory_bytes=memory_bytes, timeout_s=settings.timeout_s)
