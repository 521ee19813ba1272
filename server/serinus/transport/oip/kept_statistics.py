"""What of ModelStatistics outlives its process: sums by name, which the supervisor adds up and never has to read.

By version, which is model and number with a line's end between them; in it "inference_count",
"inference_stats.KIND.count", "batch_stats.ROWS.PHASE.ns" and so on.
"""

from collections.abc import Mapping
from typing import Final

from open_inference import grpc_service_pb2 as oip

METHOD: Final = "ModelStatistics"
Counts = Mapping[str, Mapping[str, int]]

_COUNTERS = ("inference_count", "execution_count")
_KINDS = tuple(oip.InferStatistics.DESCRIPTOR.fields_by_name)
_PHASES = ("compute_input", "compute_infer", "compute_output")


def counts_of(said: bytes) -> Counts:
    """The counts of a serialised ModelStatisticsResponse."""
    answer = oip.ModelStatisticsResponse.FromString(said)
    return {f"{model.name}\n{model.version}": _counts(model) for model in answer.model_stats}


def statistics_of(counts: Counts, asked: bytes) -> bytes:
    """A serialised ModelStatisticsResponse of what of the counts a serialised ModelStatisticsRequest asks for."""
    request = oip.ModelStatisticsRequest.FromString(asked)
    answer = oip.ModelStatisticsResponse()
    for key, found in counts.items():
        name, _, version = key.rpartition("\n")
        if request.name in {"", name} and request.version in {"", version}:
            _fill(answer.model_stats.add(name=name, version=version), found)
    return answer.SerializeToString()


def _counts(model: oip.ModelStatistics) -> dict[str, int]:
    found = {name: getattr(model, name) for name in _COUNTERS}
    for kind in _KINDS:
        _note(found, f"inference_stats.{kind}", getattr(model.inference_stats, kind))
    for batch in model.batch_stats:
        for phase in _PHASES:
            _note(found, f"batch_stats.{batch.batch_size}.{phase}", getattr(batch, phase))
    return {name: count for name, count in found.items() if count}


def _note(found: dict[str, int], name: str, duration: oip.StatisticDuration) -> None:
    found[f"{name}.count"], found[f"{name}.ns"] = duration.count, duration.ns


def _fill(model: oip.ModelStatistics, found: Mapping[str, int]) -> None:
    batches: dict[int, oip.InferBatchStatistics] = {}
    for name, count in found.items():
        match name.split("."):
            case [counter]:
                setattr(model, counter, count)
            case ["inference_stats", kind, unit]:
                setattr(getattr(model.inference_stats, kind), unit, count)
            case ["batch_stats", rows, phase, unit]:
                size = int(rows)
                if size not in batches:
                    batches[size] = model.batch_stats.add(batch_size=size)
                setattr(getattr(batches[size], phase), unit, count)
