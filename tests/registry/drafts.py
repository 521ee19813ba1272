"""Versions to register, made up, and a clock that tests set."""

import datetime as dt
import hashlib
from typing import Any

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import Version
from serinus.registry.records import ChangeLevel, Draft, Examination, GoldenResult

SIGNATURE = Signature(
    inputs=(
        TensorSpec("x", DType.FP32, ("rows", 4), batch_axis=0),
        TensorSpec("mask", DType.BOOL, (4,), optional=True),
    ),
    outputs=(TensorSpec("y", DType.FP32, ("rows", 2), batch_axis=0),),
)


def sha256(content: str) -> str:
    """Of a text."""
    return hashlib.sha256(content.encode()).hexdigest()


def manifest(content: str) -> Manifest:
    """One ONNX file that holds `content`."""
    return Manifest("model.onnx", (ArtifactFile("model.onnx", sha256(content), len(content)),))


def draft(version: str, model: str = "m", *, content: str = "", **facts: Any) -> Draft:
    """A version of `model`; without `content` its bytes are those that no other version has."""
    return Draft(
        model=model,
        version=Version.parse(version),
        manifest=manifest(content or f"{model}@{version}"),
        facts=VersionFacts(**facts),
        examination=Examination(
            SIGNATURE, ("it mixes its rows",), (GoldenResult("golden.npz", 1e-6),), load_s=0.25, peak_bytes=1 << 20
        ),
        change=ChangeLevel.MINOR,
    )


class Clock:
    """Says what it is told to; a second later each time it is asked."""

    def __init__(self) -> None:
        self.time = dt.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        """The time."""
        self.time += dt.timedelta(seconds=1)
        return self.time
