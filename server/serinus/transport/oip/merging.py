"""What several workers say over the Open Inference Protocol as one server would: statistics, the index, readiness."""

from collections.abc import Iterator, Sequence

from open_inference import grpc_service_pb2 as oip
from serinus.lifecycle.states import ModelState

_ModelIndex = oip.RepositoryIndexResponse.ModelIndex


def joined_readiness(_asked: oip.ModelReadyRequest, said: Sequence[oip.ModelReadyResponse]) -> oip.ModelReadyResponse:
    """Ready where all are: whoever waits for it may send the next call to any."""
    return oip.ModelReadyResponse(ready=all(each.ready for each in said))


def joined_index(
    asked: oip.RepositoryIndexRequest, said: Sequence[oip.RepositoryIndexResponse]
) -> oip.RepositoryIndexResponse:
    """Every version that any of them knows, in the order of the first that does; READY where it is so in all."""
    by_version: dict[tuple[str, str], list[_ModelIndex]] = {}
    for index in said:
        for model in index.models:
            by_version.setdefault((model.name, model.version), []).append(model)
    models = (_least(found, len(said)) for found in by_version.values())
    return oip.RepositoryIndexResponse(
        models=[model for model in models if model.state == ModelState.READY or not asked.ready]
    )


def _least(found: Sequence[_ModelIndex], workers: int) -> _ModelIndex:
    """What the first says that does not serve it, if there is one; a worker that has never heard of it does not."""
    for model in found:
        if model.state != ModelState.READY:
            return model
    if len(found) < workers:
        first = found[0]
        return _ModelIndex(
            name=first.name,
            version=first.version,
            state=ModelState.LOADING,
            reason=f"loaded by {len(found)} of {workers} workers",
        )
    return found[0]


def joined_statistics(
    _asked: oip.ModelStatisticsRequest, said: Sequence[oip.ModelStatisticsResponse]
) -> oip.ModelStatisticsResponse:
    """Sums, by version; perf_analyzer subtracts what it read before, so that whoever answers has to say the same."""
    totals: dict[tuple[str, str], oip.ModelStatistics] = {}
    for statistics in said:
        for model in statistics.model_stats:
            total = totals.setdefault((model.name, model.version), oip.ModelStatistics())
            _add(total, model)
    return oip.ModelStatisticsResponse(model_stats=totals.values())


def _add(total: oip.ModelStatistics, model: oip.ModelStatistics) -> None:
    total.name, total.version = model.name, model.version
    total.last_inference = max(total.last_inference, model.last_inference)
    total.inference_count += model.inference_count
    total.execution_count += model.execution_count
    for kind in oip.InferStatistics.DESCRIPTOR.fields_by_name:
        _add_duration(getattr(total.inference_stats, kind), getattr(model.inference_stats, kind))
    batches = {batch.batch_size: batch for batch in (*total.batch_stats, *_new_sizes(total, model))}
    for batch in model.batch_stats:
        for phase in ("compute_input", "compute_infer", "compute_output"):
            _add_duration(getattr(batches[batch.batch_size], phase), getattr(batch, phase))
    ordered = sorted(batches.values(), key=lambda batch: batch.batch_size)
    total.ClearField("batch_stats")
    total.batch_stats.extend(ordered)


def _new_sizes(total: oip.ModelStatistics, model: oip.ModelStatistics) -> Iterator[oip.InferBatchStatistics]:
    known = {batch.batch_size for batch in total.batch_stats}
    for batch in model.batch_stats:
        if batch.batch_size not in known:
            yield oip.InferBatchStatistics(batch_size=batch.batch_size)


def _add_duration(total: oip.StatisticDuration, more: oip.StatisticDuration) -> None:
    # Setting makes it present, as it is in each of those that are added.
    total.count = total.count + more.count
    total.ns = total.ns + more.ns
