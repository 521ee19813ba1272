"""How what was found out about a version is written as JSON and read back."""

import math
from collections.abc import Mapping
from typing import Any

from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec
from serinus.registry.records import Examination, GoldenResult

Document = Mapping[str, Any]
"""What JSON calls an object."""


def manifest_document(manifest: Manifest) -> Document:
    """`manifest` as JSON."""
    return {
        "main": manifest.main,
        "files": [{"path": each.path, "sha256": each.sha256, "size_bytes": each.size_bytes} for each in manifest.files],
    }


def manifest_of(document: Document) -> Manifest:
    """What `manifest_document` wrote."""
    return Manifest(document["main"], tuple(ArtifactFile(**each) for each in document["files"]))


def examination_document(examination: Examination) -> Document:
    """`examination` as JSON."""
    return {
        "inputs": [_tensor_document(each) for each in examination.signature.inputs],
        "outputs": [_tensor_document(each) for each in examination.signature.outputs],
        "notes": list(examination.notes),
        "goldens": [
            {"name": each.name, "max_difference": _number(each.max_difference)} for each in examination.goldens
        ],
        "load_s": examination.load_s,
        "peak_bytes": examination.peak_bytes,
    }


def examination_of(document: Document) -> Examination:
    """What `examination_document` wrote."""
    return Examination(
        signature=Signature(
            tuple(_tensor_of(each) for each in document["inputs"]),
            tuple(_tensor_of(each) for each in document["outputs"]),
        ),
        notes=tuple(document["notes"]),
        goldens=tuple(GoldenResult(each["name"], float(each["max_difference"])) for each in document["goldens"]),
        load_s=document["load_s"],
        peak_bytes=document["peak_bytes"],
    )


def _tensor_document(tensor: TensorSpec) -> Document:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype.value,
        "shape": list(tensor.shape),
        "batch_axis": tensor.batch_axis,
        "optional": tensor.optional,
    }


def _tensor_of(document: Document) -> TensorSpec:
    return TensorSpec(
        name=document["name"],
        dtype=DType(document["dtype"]),
        shape=tuple(document["shape"]),
        batch_axis=document["batch_axis"],
        optional=document["optional"],
    )


def _number(value: float) -> float | str:
    # JSON has no infinities, and two of them may differ by no number at all.
    return value if math.isfinite(value) else str(value)
