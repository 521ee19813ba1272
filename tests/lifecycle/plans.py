"""Plans and versions in one line each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serinus.config.models import ModelOptions, VersionSpec
from serinus.core.version import ModelVersion, Version
from serinus.lifecycle.plan import ModelPlan


def version(text: str, model: str = "m") -> ModelVersion:
    """A version such as "1.2.0", whose number is made of its parts: 120."""
    parsed = Version.parse(text)
    return ModelVersion(model, parsed, 100 * parsed.major + 10 * parsed.minor + parsed.patch)


def spec_of(text: str, model: str = "m", **options: Any) -> VersionSpec:
    """That version in a file of its own."""
    return VersionSpec(version(text, model), Path(f"{text}.onnx"), ModelOptions(**options))


def plan_of(
    *versions: str | VersionSpec,
    aliases: Mapping[str, str] | None = None,
    known: tuple[str, ...] = (),
    model: str = "m",
) -> ModelPlan:
    """A plan that wants some versions; aliases by the text of their version."""
    return ModelPlan(
        model,
        tuple(spec_of(each, model) if isinstance(each, str) else each for each in versions),
        {alias: version(text, model) for alias, text in (aliases or {}).items()},
        tuple(version(text, model) for text in known),
    )
