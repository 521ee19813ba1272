"""One status for several workers."""

import random

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serinus.core.version import ModelVersion, Version
from serinus.lifecycle.states import ModelState, VersionStatus
from serinus.telemetry.model_metrics import ModelMetrics
from serinus.telemetry.outcome import DispatchReason, Outcome
from serinus.transport.admin.messages import model_status
from serinus.transport.admin.status_merging import Place, own_status, status_of_all
from serinus_api.v1 import admin_pb2 as pb

OCR = ModelVersion("ocr", Version(1), 3)
READY, LOADING, UNAVAILABLE = pb.MODEL_STATE_READY, pb.MODEL_STATE_LOADING, pb.MODEL_STATE_UNAVAILABLE
OWN_PID = 101


def status(
    *models: pb.ModelStatus, ready: bool = True, worker: str = "w-1", started_s: int = 5
) -> pb.GetServerStatusResponse:
    return pb.GetServerStatusResponse(
        server_version="1.2.3",
        started_at=Timestamp(seconds=started_s),
        ready=ready,
        models=models,
        bytes_in_flight=10,
        bytes_limit=100,
        event_loop_lag_us=started_s,
        compute_threads=2,
        workers=[pb.WorkerStatus(id=worker, started_at=Timestamp(seconds=started_s), ready=ready, revision=9)],
    )


def model(
    name: str = "ocr", version: str = "1.0.0", state: pb.ModelState = READY, reason: str = "", **counts: int
) -> pb.ModelStatus:
    number = int(version.split(".", maxsplit=1)[0])
    return pb.ModelStatus(model=name, version=version, version_number=number, state=state, reason=reason, **counts)


def place(index: int, said: pb.GetServerStatusResponse | None, *, restarts: int = 0, last_end: str = "") -> Place:
    return Place(index, 100 + index, 7.0, restarts, last_end, None if said is None else own_status(said))


def merged(*others: Place, own: pb.GetServerStatusResponse) -> pb.GetServerStatusResponse:
    return status_of_all(own, OWN_PID, [place(1, None), *others])


def test_without_a_supervisor_a_server_speaks_for_itself():
    """Its status is what it was."""
    assert status_of_all(status(model()), OWN_PID, ()) == status(model())


def test_counts_are_added_and_workers_listed():
    """Levels add up, the lag is the worst; what the supervisor knows of each worker stands beside what it says."""
    own = status(model(answered=3, rows=5, batches=2, queued_calls=1, queued_rows=2))
    other = status(model(answered=4, rows=6, batches=1), worker="w-2", started_s=8)
    found = merged(place(2, other, restarts=3, last_end="signal 11"), own=own)
    assert found == pb.GetServerStatusResponse(
        server_version="1.2.3",
        started_at=Timestamp(seconds=5),
        ready=True,
        models=[model(answered=7, rows=11, batches=3, queued_calls=1, queued_rows=2)],
        bytes_in_flight=20,
        bytes_limit=200,
        event_loop_lag_us=8,
        compute_threads=4,
        workers=[
            pb.WorkerStatus(id="w-1", started_at=Timestamp(seconds=5), ready=True, revision=9, index=1, pid=101),
            pb.WorkerStatus(
                id="w-2",
                started_at=Timestamp(seconds=8),
                ready=True,
                revision=9,
                index=2,
                pid=102,
                restarts=3,
                last_end="signal 11",
            ),
        ],
    )


def test_a_worker_that_does_not_answer_is_listed_and_counts_for_nothing():
    """It has no id, and is not ready; what the others serve is not in doubt because of it."""
    found = merged(place(2, None, restarts=1, last_end="hung"), own=status(model(answered=3)))
    assert list(found.models) == [model(answered=3)]
    assert found.workers[1] == pb.WorkerStatus(
        started_at=Timestamp(seconds=7), index=2, pid=102, restarts=1, last_end="hung"
    )


@pytest.mark.parametrize(
    ("others", "state", "reason"),
    [
        ([status(model()), status(model())], READY, ""),
        ([status(model(state=LOADING)), status(model())], LOADING, "worker 2: loading"),
        ([status(), status(model())], UNAVAILABLE, "worker 2: not loaded"),
        (
            [status(model(state=UNAVAILABLE, reason="no room")), status(model(state=LOADING))],
            UNAVAILABLE,
            "worker 2: no room; worker 3: loading",
        ),
        ([status(ready=False), status(model())], READY, ""),
    ],
    ids=["all have it", "one loads it", "one has never heard of it", "each for its own reason", "one is yet to start"],
)
def test_a_version_is_ready_if_all_that_serve_have_it(
    others: list[pb.GetServerStatusResponse], state: pb.ModelState, reason: str
):
    """Otherwise the reason says which worker has not."""
    places = [place(index, other) for index, other in enumerate(others, 2)]
    (found,) = merged(*places, own=status(model())).models
    assert (found.state, found.reason) == (state, reason)


def test_what_all_say_of_a_version_is_said_once():
    """The reason of one that none has is not repeated for each."""
    kept_out = model(state=UNAVAILABLE, reason="quarantined")
    (found,) = merged(place(2, status(kept_out)), own=status(kept_out)).models
    assert (found.state, found.reason) == (UNAVAILABLE, "quarantined")


def test_while_no_worker_is_ready_what_they_have_is_shown():
    """A server that starts shows how far it has come."""
    loading = model(state=LOADING)
    found = merged(place(2, status(loading, ready=False)), own=status(loading, ready=False))
    assert (found.ready, list(found.models)) == (False, [loading])


def test_versions_are_in_order():
    """By name, then the highest first, whoever has them."""
    own = status(model("b"), model("a", "2.0.0"))
    other = status(model("a", "10.0.0"), model("a", "1.0.0"))
    found = [(each.model, each.version) for each in merged(place(2, other), own=own).models]
    assert found == [("a", "10.0.0"), ("a", "2.0.0"), ("a", "1.0.0"), ("b", "1.0.0")]


def test_percentiles_are_those_of_all_calls():
    """However calls are spread over workers: each histogram is added, and read again."""
    rng = random.Random(7)
    whole, parts = metrics(), [metrics() for _ in range(3)]
    for _ in range(300):
        seconds = rng.lognormvariate(-6, 2)
        for each in (whole, parts[rng.choices(range(3), (8, 1, 1))[0]]):
            each.answered(request_s=seconds, queue_s=seconds / 2, compute_s=seconds / 3, rows=2)
            each.ran(rows=2, seconds=seconds, reason=DispatchReason.IDLE)
            each.unanswered(Outcome.SHED)
    expected = of(whole)
    statuses = [status(of(part)) for part in parts]
    (found,) = merged(place(2, statuses[1]), place(3, statuses[2]), own=statuses[0]).models
    for phase, summary in found.latency.items():
        assert summary.sum_s == pytest.approx(expected.latency[phase].sum_s)
        summary.sum_s = expected.latency[phase].sum_s
    assert found == expected


def metrics() -> ModelMetrics:
    return ModelMetrics(OCR, clock=lambda: 0.0)


def of(counted: ModelMetrics) -> pb.ModelStatus:
    return model_status(VersionStatus(OCR, ModelState.READY), counted)


def test_buckets_of_another_build_are_left_out():
    """During an update two builds run side by side: what cannot be added is not."""
    other = model(answered=1)
    other.latency["request"].CopyFrom(pb.LatencySummary(count=1, bucket_counts=[1, 0]))
    counted = metrics()
    counted.answered(request_s=0.01, queue_s=0.0, compute_s=0.01, rows=1)
    own = of(counted)
    own.version_number = other.version_number
    (found,) = merged(place(2, status(other)), own=status(own)).models
    assert (found.answered, found.latency["request"]) == (2, own.latency["request"])
