"""`serinus top`: what it works out from two readings, how it shows them, and a real server."""

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serinus.cli.output import console
from serinus.cli.readings import ModelReading, Percentiles, compare
from serinus.cli.top import View, document, picture, watched
from serinus.telemetry.histogram import BOUNDS_S, Histogram
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import InvalidInput, Unavailable


def _latency(*seconds: float) -> pb.LatencySummary:
    histogram = Histogram()
    for value in seconds:
        histogram.observe(value)
    return pb.LatencySummary(
        count=histogram.count,
        sum_s=histogram.sum_s,
        p50_s=histogram.quantile(0.5),
        p90_s=histogram.quantile(0.9),
        p99_s=histogram.quantile(0.99),
        bucket_bounds_s=histogram.bounds_s,
        bucket_counts=histogram.counts,
    )


def _status(*, seconds=(), rows=0, batches=0, queued=(0, 0), failed=0, started_s=1, **fields):
    model = pb.ModelStatus(
        model="m", version="1.0.0", version_number=1, state=pb.MODEL_STATE_READY,
        answered=len(seconds), rows=rows, batches=batches, queued_calls=queued[0], queued_rows=queued[1],
        unanswered={"failed": failed, "shed": 0}, latency={"request": _latency(*seconds)},
    )  # fmt: skip
    return pb.GetServerStatusResponse(
        server_version="0.1.0", started_at=Timestamp(seconds=started_s), ready=True, models=[model],
        bytes_in_flight=1536, bytes_limit=1 << 29, event_loop_lag_us=250, compute_threads=2, **fields,
    )  # fmt: skip


COSTS = (
    pb.LearnedCosts(
        model="m",
        version="1.0.0",
        best=[
            pb.BestRows(length=1, rows=16, rows_per_second=800.0),
            pb.BestRows(length=64, rows=4, rows_per_second=50.0),
        ],
    ),
)
FIRST = _status(seconds=[0.001] * 4, rows=8, batches=4, failed=1)
SECOND = _status(seconds=[0.001] * 4 + [0.1] * 10, rows=48, batches=8, queued=(3, 6), failed=5)


def _exact(value: float) -> Percentiles:
    """What percentiles within the bucket of `value` may be."""
    return pytest.approx(value, rel=0.2)


def test_rates_are_differences_over_the_time_between():
    """Two seconds: ten calls, forty rows, four runs, four failures."""
    (reading,) = compare(FIRST, SECOND, 2.0)
    latency = reading.latency
    assert latency is not None
    assert (latency.p50_s, latency.p99_s) == (_exact(0.1), _exact(0.1))
    assert reading == ModelReading(
        model="m",
        version="1.0.0",
        state="READY",
        calls_per_s=5.0,
        rows_per_s=20.0,
        mean_batch_rows=10.0,
        latency=latency,
        latency_since_load=reading.latency_since_load,
        queued_calls=3,
        queued_rows=6,
        unanswered={"failed": 5},
        unanswered_per_s=2.0,
    )


def test_a_first_reading_has_no_rates():
    """There is nothing to compare with; what was counted since the load is known."""
    (reading,) = compare(None, FIRST, 0.0)
    assert (reading.calls_per_s, reading.rows_per_s, reading.unanswered_per_s, reading.latency) == (None,) * 4
    assert reading.mean_batch_rows == 2.0
    assert reading.latency_since_load.p50_s == _exact(0.001)


@pytest.mark.parametrize(
    "later",
    [_status(seconds=[0.1] * 20, started_s=2), _status(seconds=[0.1], rows=1, batches=1)],
    ids=["the server was restarted", "the version was loaded anew"],
)
def test_counters_that_began_again_give_no_rates(later):
    """A negative rate, or one of everything since the start, would be a lie."""
    (reading,) = compare(SECOND, later, 1.0)
    assert (reading.calls_per_s, reading.latency) == (None, None)


def test_buckets_of_another_kind_are_not_compared():
    """A server of another version says its percentiles itself."""
    other = _status(seconds=[0.1] * 30, rows=99, batches=9)
    other.models[0].latency["request"].bucket_bounds_s[:] = [bound * 2 for bound in BOUNDS_S]
    (reading,) = compare(FIRST, other, 1.0)
    assert reading.latency is None
    assert reading.latency_since_load.p50_s == _exact(0.1)


class Server:
    """Answers with one status after the other; an exception is raised."""

    def __init__(self, *answers) -> None:
        self._answers = iter(answers)
        self.waits = 0

    async def ask(self):
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer, COSTS

    async def wait(self):
        self.waits += 1

    def clock(self):
        return 10.0 * self.waits


async def _views(server: Server, count: int) -> list[View]:
    views = watched(server.ask, "here:1", wait=server.wait, clock=server.clock)
    found = [await anext(views) for _ in range(count)]
    await views.aclose()
    return found


async def test_a_server_that_goes_away_and_comes_back_is_watched_on():
    """The rates after the gap are over the whole gap."""
    gone, back = Unavailable("no connection"), SECOND
    first, second, third = await _views(Server(FIRST, gone, back), 3)
    assert first == View("here:1", FIRST, compare(None, FIRST, 0.0), COSTS)
    assert second == View("here:1", None)
    assert third == View("here:1", SECOND, compare(FIRST, SECOND, 20.0), COSTS)


async def test_a_server_that_was_never_there_is_an_error():
    """And so is one that refuses to tell."""
    with pytest.raises(Unavailable):
        await _views(Server(Unavailable("no connection")), 1)
    with pytest.raises(InvalidInput):
        await _views(Server(FIRST, InvalidInput("no")), 2)


def _text(view: View, capsys) -> list[str]:
    console().print(picture(view))
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_the_picture_has_a_line_for_the_server_and_one_for_each_model(capsys):
    """Units are chosen for eyes."""
    view = View("here:1", SECOND, compare(FIRST, SECOND, 2.0), COSTS)
    server, _, heading, model = _text(view, capsys)
    assert server == ("here:1  serinus 0.1.0  ready  loop lag 250 µs  in flight 1.50 KiB of 512 MiB  2 compute threads")
    assert heading.split() == [
        "MODEL", "VERSION", "STATE", "CALLS/S", "ROWS/S", "P50", "P90", "P99", "QUEUE", "BATCH", "BEST", "ERRORS"
    ]  # fmt: skip
    assert model.split()[:5] == ["m", "1.0.0", "READY", "5.00", "20.0"]
    assert model.split()[-6:] == ["3", "(6", "rows)", "10.0", "4-16", "5"]


def test_programs_learn_the_best_rows_of_each_length():
    """In the order of the lengths."""
    (model,) = document(View("here:1", SECOND, compare(FIRST, SECOND, 2.0), COSTS))["models"]
    assert model["best_rows"] == [
        {"length": 1, "rows": 16, "rows_per_second": 800.0},
        {"length": 64, "rows": 4, "rows_per_second": 50.0},
    ]


def _worker(index: int, **fields) -> pb.WorkerStatus:
    return pb.WorkerStatus(id=f"w-{index}", started_at=Timestamp(seconds=index), index=index, pid=100 + index, **fields)


def test_several_workers_are_counted(capsys):
    """Programs learn which of them controls the rollouts, and how each fares."""
    first = _worker(1, ready=True, revision=9, controls_rollouts=True)
    second = _worker(2, ready=True, revision=8)
    view = View("here:1", _status(workers=[first, second]))
    server, blank, *_ = _text(view, capsys)
    assert (server.endswith("2 compute threads  2 workers"), blank) == (True, "")
    assert document(view)["workers"] == [
        {
            "id": f"w-{index}",
            "started_at": f"1970-01-01T00:00:0{index}Z",
            "ready": True,
            "revision": revision,
            "controls_rollouts": controls,
            "index": index,
            "pid": 100 + index,
            "restarts": 0,
            "last_end": "",
        }
        for index, revision, controls in ((1, 9, True), (2, 8, False))
    ]


def test_workers_that_are_in_trouble_have_a_line_each(capsys):
    """One that came back, one that is on its way, and one that is silent."""
    workers = [
        _worker(1, ready=True),
        _worker(2, ready=True, restarts=1, last_end="signal 11"),
        _worker(3, restarts=4, last_end="exit code 1"),
        pb.WorkerStatus(index=4, pid=104),
    ]
    server, *lines = _text(View("here:1", _status(workers=workers)), capsys)
    assert server.endswith("2 of 4 workers ready")
    assert lines[:4] == [
        "worker 2  started again 1 time  last end: signal 11",
        "worker 3  not ready  started again 4 times  last end: exit code 1",
        "worker 4  does not answer",
        "",
    ]


def test_the_picture_of_a_silent_server_says_so(capsys):
    """And that trying goes on."""
    assert _text(View("here:1", None), capsys) == ["here:1 does not answer; still trying (Ctrl-C ends)"]
    assert document(View("here:1", None)) == {"server": "here:1", "reachable": False}


def test_once_in_json_is_one_document_of_a_real_server(ask, server):
    """Prometheus is not asked."""
    ended = ask("top", "--once", "--json", "--interval", "0.05")
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert found["server"] == server.target
    assert found["ready"] is True
    assert [model["model"] for model in found["models"]] == ["sick", "spare", "tab", "text", "two"]
    assert {model["calls_per_s"] for model in found["models"]} == {0.0}


def test_once_is_one_picture(ask, server):
    """The server, a blank line, a heading, the models."""
    ended = ask("top", "--once", "--interval", "0.05")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert len(lines) == 8
    assert lines[0].startswith(f"{server.target}  serinus 0.1.0  ready  ")
