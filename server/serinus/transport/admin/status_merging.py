"""One status for all workers of a machine: what each of them says of itself, added up."""

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from serinus.telemetry.histogram import BOUNDS_S, quantile_of
from serinus.transport.registry.messages import timestamp_of
from serinus_api.v1 import admin_pb2 as pb

_NOT_LOADED = "not loaded"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """One worker, as its supervisor knows it.

    Attributes:
        index: From 1.
        pid: Of the process; 0 while there is none.
        started_unix_s: When that was started; 0.0 while there is none.
        restarts: How often a process was started in this place, after the first.
        last_end: Why the one before it ended; "" for none.
        status: What it says of itself, as `own_status` made it; None if it did not answer, or was not asked because it
            is the one that asks.
    """

    index: int
    pid: int
    started_unix_s: float
    restarts: int
    last_end: str
    status: bytes | None


Places = Callable[[], Awaitable[Sequence[Place]]]
"""All workers, by index, within a second or so whatever they do; none without a supervisor."""


async def no_places() -> Sequence[Place]:
    """There is no supervisor."""
    return ()


def own_status(status: pb.GetServerStatusResponse) -> bytes:
    """A worker's status for another one, without what that one knows anyway."""
    shorter = pb.GetServerStatusResponse()
    shorter.CopyFrom(status)
    for model in shorter.models:
        for summary in model.latency.values():
            summary.ClearField("bucket_bounds_s")
    return shorter.SerializeToString()


def status_of_all(own: pb.GetServerStatusResponse, pid: int, places: Sequence[Place]) -> pb.GetServerStatusResponse:
    """What all workers do together; `own` is of the one that answers, whose process is `pid`.

    A worker that has not answered is listed without an id, as not ready, and counts for nothing.
    """
    if not places:
        return own
    said: dict[int, pb.GetServerStatusResponse] = {}
    for place in places:
        if place.pid == pid:
            said[place.index] = own
        elif place.status is not None:
            said[place.index] = pb.GetServerStatusResponse.FromString(place.status)
    statuses = list(said.values()) or [own]
    # Those that start have not loaded everything yet, and get no calls: they say nothing about what serves.
    serving = {index: status for index, status in said.items() if status.ready} or said
    return pb.GetServerStatusResponse(
        server_version=own.server_version,
        started_at=min((status.started_at for status in statuses), key=lambda at: (at.seconds, at.nanos)),
        ready=any(status.ready for status in statuses),
        models=_models(serving),
        bytes_in_flight=sum(status.bytes_in_flight for status in statuses),
        bytes_limit=sum(status.bytes_limit for status in statuses),
        event_loop_lag_us=max(status.event_loop_lag_us for status in statuses),
        compute_threads=sum(status.compute_threads for status in statuses),
        workers=[_worker(place, said.get(place.index)) for place in places],
    )


def _worker(place: Place, status: pb.GetServerStatusResponse | None) -> pb.WorkerStatus:
    worker = pb.WorkerStatus()
    if status is not None and status.workers:
        worker.CopyFrom(status.workers[0])
    elif place.started_unix_s:
        worker.started_at.CopyFrom(timestamp_of(place.started_unix_s))
    worker.index, worker.pid = place.index, place.pid
    worker.restarts, worker.last_end = place.restarts, place.last_end
    return worker


def _models(statuses: dict[int, pb.GetServerStatusResponse]) -> Iterator[pb.ModelStatus]:
    """Every version that any of them knows, by name, then highest first as each of them has it."""
    found: dict[tuple[str, int, str], dict[int, pb.ModelStatus]] = {}
    for index, status in statuses.items():
        for model in status.models:
            found.setdefault((model.model, model.version_number, model.version), {})[index] = model
    for key in sorted(found, key=lambda key: (key[0], _descending(key[2]), -key[1])):
        yield _model(found[key], statuses)


def _descending(version: str) -> tuple[int, ...]:
    return tuple(-int(part) for part in version.split(".") if part.isdecimal())


def _model(by_worker: dict[int, pb.ModelStatus], workers: Iterable[int]) -> pb.ModelStatus:
    total, *others = (_copy(model) for model in by_worker.values())
    for other in others:
        _add(total, other)
    for summary in total.latency.values():
        _read_percentiles(summary)
    total.state, total.reason = _state(by_worker, workers)
    return total


def _state(by_worker: dict[int, pb.ModelStatus], workers: Iterable[int]) -> tuple[pb.ModelState.ValueType, str]:
    """The state that all have, or else the one of the first that does not serve it, and which those are."""
    absent = pb.ModelStatus(state=pb.MODEL_STATE_UNAVAILABLE, reason=_NOT_LOADED)
    seen = {index: by_worker.get(index, absent) for index in workers}
    lacking = {index: model for index, model in seen.items() if model.state != pb.MODEL_STATE_READY}
    if not lacking:
        return pb.MODEL_STATE_READY, ""
    first = next(iter(lacking.values()))
    if len(lacking) == len(seen) and len({(model.state, model.reason) for model in seen.values()}) == 1:
        return first.state, first.reason
    sentences = (
        f"worker {index}: {model.reason or pb.ModelState.Name(model.state).removeprefix('MODEL_STATE_').lower()}"
        for index, model in lacking.items()
    )
    return first.state, "; ".join(sentences)


def _copy(model: pb.ModelStatus) -> pb.ModelStatus:
    copied = pb.ModelStatus()
    copied.CopyFrom(model)
    return copied


def _add(total: pb.ModelStatus, other: pb.ModelStatus) -> None:
    total.answered += other.answered
    total.rows += other.rows
    total.batches += other.batches
    total.queued_calls += other.queued_calls
    total.queued_rows += other.queued_rows
    for outcome, count in other.unanswered.items():
        total.unanswered[outcome] += count
    for phase, summary in other.latency.items():
        known = total.latency[phase]
        # A worker of another build may count in other buckets: what cannot be added is left out.
        if len(known.bucket_counts) not in {0, len(summary.bucket_counts)}:
            continue
        counts = known.bucket_counts or [0] * len(summary.bucket_counts)
        known.bucket_counts[:] = [one + more for one, more in zip(counts, summary.bucket_counts, strict=True)]
        known.count += summary.count
        known.sum_s += summary.sum_s


def _read_percentiles(summary: pb.LatencySummary) -> None:
    summary.bucket_bounds_s[:] = BOUNDS_S
    if len(summary.bucket_counts) == len(BOUNDS_S) + 1:
        summary.p50_s = quantile_of(summary.bucket_counts, 0.5)
        summary.p90_s = quantile_of(summary.bucket_counts, 0.9)
        summary.p99_s = quantile_of(summary.bucket_counts, 0.99)
