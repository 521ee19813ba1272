"""What the registry hears of a version that was loaded."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from serinus.app.examining import Examiner
from serinus.config.models import ModelOptions, Tolerance
from serinus.config.version_facts import ServingOptions, VersionFacts, parse_version_facts
from serinus.registry.records import Examination, GoldenResult
from serinus.runtime.goldens import GoldenRun
from serinus.runtime.intake_report import IntakeReport
from tests.support.records import PAIR


class FakeIntake:
    """Finds the same of every model."""

    async def examine(
        self, _folder: Path, _main: str, options: ModelOptions, goldens: Sequence[str], _tolerance: Tolerance
    ) -> IntakeReport:
        assert isinstance(options, ServingOptions)
        runs = tuple(GoldenRun(name, 0.5) for name in goldens)
        return IntakeReport(PAIR, ("it mixes its rows",), runs, load_s=2.0, peak_bytes=3, resident_bytes=1)


async def examined(facts: VersionFacts, *goldens: str) -> Examination:
    return await Examiner(FakeIntake())(Path("folder"), "model.onnx", facts, goldens)


async def test_what_an_examination_has_shown_is_kept():
    """But for what concerns the server that made it alone."""
    assert await examined(VersionFacts(), "one.npz") == Examination(
        PAIR, ("it mixes its rows",), (GoldenResult("one.npz", 0.5),), load_s=2.0, peak_bytes=3
    )


@pytest.mark.parametrize(
    ("said", "notes"),
    [
        ("serving: {slo: {p99_s: 0.1}, fallback: [stable]}", []),
        ("serving: {fallback: [stable, other@1.0.0]}", ["serving.fallback: versions of this model stand in for it"]),
        ("serving: {padding: {x: {axis: 1}}}", []),
        (
            "serving: {fallback: [other@1.0.0], slo: {error_rate: 0}}",
            ["serving.slo.error_rate is", "serving.fallback: versions"],
        ),
        ("serving: {batching: {max_rows: 4}, slo: {}}", []),
    ],
)
async def test_what_is_said_and_has_no_effect_is_named(said: str, notes: list[str]):
    """On the card and in the answer to the registration, before anybody relies on it."""
    found = (await examined(parse_version_facts(said))).notes[1:]
    assert len(found) == len(notes)
    assert all(note.startswith(expected) for note, expected in zip(found, notes, strict=True))
