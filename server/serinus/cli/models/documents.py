"""What is registered, as JSON and as words for people."""

import datetime as dt

from google.protobuf.timestamp_pb2 import Timestamp

from serinus_api.v1 import predict_pb2
from serinus_api.v1 import registry_pb2 as pb
from serinus_client import TensorInfo


def model_document(model: pb.RegisteredModel) -> dict[str, object]:
    """A model with its versions."""
    return {
        "name": model.name,
        "revision": model.revision,
        "created_at": time_text(model.created_at),
        "aliases": dict(sorted(model.aliases.items())),
        "versions": [version_document(version) for version in model.versions],
    }


def version_document(version: pb.ModelVersion) -> dict[str, object]:
    """A version; `facts_yaml` is "" where the server left it out."""
    return {
        "model": version.model,
        "version": version.version,
        "version_number": version.version_number,
        "state": state_word(version),
        "placement": placement_word(version),
        "aliases": list(version.aliases),
        "change": change_word(version),
        "forced": version.forced,
        "framework": version.framework,
        "metrics": dict(sorted(version.metrics.items())),
        "tags": dict(sorted(version.tags.items())),
        "main": version.main,
        "files": [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in version.files],
        "digest": version.digest,
        "inputs": [_tensor(tensor) for tensor in version.inputs],
        "outputs": [_tensor(tensor) for tensor in version.outputs],
        "notes": list(version.notes),
        "goldens": [{"name": golden.name, "max_difference": golden.max_difference} for golden in version.goldens],
        "quantized_from": version.quantized_from,
        "trained_from": version.trained_from,
        "created_at": time_text(version.created_at),
        "created_by": version.created_by,
        "revision": version.revision,
        "facts_yaml": version.facts_yaml,
    }


def _tensor(message: predict_pb2.TensorInfo) -> dict[str, object]:
    tensor = TensorInfo.from_message(message)
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "batch_axis": tensor.batch_axis,
        "optional": tensor.optional,
    }


def tensor_text(message: predict_pb2.TensorInfo) -> str:
    """`x FP32 [-1, 4]`, and whether it may be left out."""
    tensor = TensorInfo.from_message(message)
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)}{' optional' if tensor.optional else ''}"


def state_word(version: pb.ModelVersion) -> str:
    """ACTIVE or ARCHIVED."""
    return pb.VersionState.Name(version.state).removeprefix("VERSION_STATE_")


def placement_word(version: pb.ModelVersion) -> str:
    """FOLLOW, LOADED or UNLOADED."""
    return pb.Placement.Name(version.placement).removeprefix("PLACEMENT_")


def change_word(version: pb.ModelVersion) -> str:
    """What the version changed for callers: first, patch, minor or major."""
    return pb.ChangeLevel.Name(version.change).removeprefix("CHANGE_LEVEL_").lower()


def size_bytes(version: pb.ModelVersion) -> int:
    """Of all files together."""
    return sum(file.size_bytes for file in version.files)


def time_text(at: Timestamp) -> str:
    """A time in UTC to the second, as ISO 8601 has it; "" for none."""
    if not at.seconds:
        return ""
    return dt.datetime.fromtimestamp(at.seconds, dt.UTC).isoformat().replace("+00:00", "Z")
