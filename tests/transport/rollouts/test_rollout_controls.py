"""What operators do with rollouts through AdminService."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serinus.config.rollout_spec import parse_rollout_spec
from serinus.core.errors import Conflict, NotFound, Refused
from serinus.registry.rollout_records import JournalEntry
from serinus.rollout.ports import Stored
from serinus.rollout.simulation.values import Assumed
from serinus.serving.mirroring.disagreements import Disagreement
from serinus.transport.calls import Calls
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.rollouts.controls import RolloutControls
from serinus.transport.rollouts.values import MetricReport, SimulationOrder
from serinus_api.v1 import admin_pb2 as pb
from serinus_api.v1 import predict_pb2
from tests.transport.registry.registry_on_grpc import refusal, refused_field
from tests.transport.rollouts.rollout_fakes import ROLLOUT, SPEC_YAML, FakeRollouts, changed
from tests.transport.rollouts.rollouts_on_grpc import Operated, operating

STARTED = Timestamp(seconds=1_700_000_000, nanos=250_000_000)
BRIEF = pb.Rollout(
    id="r1",
    revision=7,
    model="m",
    baseline="1.0.0",
    candidates=["1.1.0"],
    status=pb.ROLLOUT_STATUS_RUNNING,
    reason="canary 5 % is judged",
    stage=1,
    stages=["shadow 10 %", "canary 5 %", "canary 10 %", "canary 50 %", "canary 100 %"],
    stage_began_at=Timestamp(seconds=1_700_000_060, nanos=250_000_000),
    started_at=STARTED,
    started_by="ann",
    spec_yaml=SPEC_YAML,
    slow_s=0.25,
)
WHOLE = pb.Rollout(
    arms=[
        pb.ArmStatus(
            version="1.0.0",
            weight=95.0,
            exposures=7600,
            errors=8,
            slow=70,
            total_exposures=9000,
            rate=95.0,
            p50_s=0.01,
            p99_s=0.2,
        ),
        pb.ArmStatus(
            version="1.1.0",
            weight=5.0,
            exposures=400,
            errors=4,
            slow=3,
            invalid=1,
            total_exposures=410,
            rate=5.0,
            p50_s=0.02,
            p99_s=0.3,
            metric_means={"ctr": 0.25},
            metric_counts={"ctr": 4, "nps": 0},
        ),
    ],
    verdict=pb.RolloutVerdict(
        outcome=pb.OUTCOME_INCONCLUSIVE,
        reason="too few calls",
        checks=[
            pb.RolloutCheck(
                name="errors",
                version="1.1.0",
                outcome=pb.OUTCOME_PASS,
                e_value=0.5,
                limit=250.0,
                candidate=0.01,
                baseline=0.02,
                bound=1.25,
                bound_limit=1.5,
                count=400,
                sentence="errors: 4 of 400",
            ),
            pb.RolloutCheck(
                name="ctr",
                version="1.1.0",
                outcome=pb.OUTCOME_INCONCLUSIVE,
                e_value=1.0,
                limit=500.0,
                sentence="ctr: no reports",
            ),
        ],
    ),
    pairs=pb.PairStatus(pairs=150, disagreements=3, errors=1, dropped=20),
    waits_for=["100 more calls of 1.1.0"],
)
WHOLE.MergeFrom(BRIEF)
SPEC = parse_rollout_spec(SPEC_YAML)
ANN: dict[str, Any] = {"actor": "ann", "expected_revision": 7}
NOBODY: dict[str, Any] = {"actor": "anonymous@127.0.0.1", "expected_revision": None}


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    async with operating() as made:
        yield made


@pytest.mark.parametrize(
    ("method", "asked", "done"),
    [
        ("GetRollout", pb.GetRolloutRequest(id="r1"), ("get", ("r1",), {})),
        ("GetRollout", pb.GetRolloutRequest(id="r1", model="m"), ("get", ("r1",), {})),
        ("GetRollout", pb.GetRolloutRequest(model="m"), ("newest", ("m",), {})),
        (
            "StartRollout",
            pb.StartRolloutRequest(spec_yaml=SPEC_YAML, actor="ann", expected_revision=7),
            ("start", (SPEC,), ANN),
        ),
        (
            "StartRollout",
            pb.StartRolloutRequest(spec_yaml='{"model": "m", "candidate": "1.1.0"}'),
            ("start", (SPEC,), NOBODY),
        ),
        ("PauseRollout", pb.PauseRolloutRequest(id="r1", actor="ann", expected_revision=7), ("pause", ("r1",), ANN)),
        ("ResumeRollout", pb.ResumeRolloutRequest(id="r1"), ("resume", ("r1",), NOBODY)),
        (
            "PromoteRollout",
            pb.PromoteRolloutRequest(id="r1", actor="ann", expected_revision=7),
            ("promote", ("r1",), {**ANN, "version": ""}),
        ),
        (
            "PromoteRollout",
            pb.PromoteRolloutRequest(id="r1", force=True, version="1.1.0"),
            ("force_promote", ("r1",), {**NOBODY, "version": "1.1.0"}),
        ),
        (
            "AbortRollout",
            pb.AbortRolloutRequest(id="r1", reason="it is late", expected_revision=0),
            ("abort", ("r1",), {**NOBODY, "expected_revision": 0, "reason": "it is late"}),
        ),
    ],
)
async def test_what_an_operator_says_is_done_and_the_rollout_shown(operated: Operated, method: str, asked, done):
    """With the numbers behind it, and who said so."""
    answer = await operated.call(method, asked)
    assert (operated.rollouts.asked, answer.rollout) == ([done], WHOLE)


async def test_what_is_not_known_yet_is_absent(operated: Operated):
    """Not zero seconds after 1970."""
    operated.rollouts.pages = [(Stored(changed(stage_at=0.0, slow_s=None).stored.rollout, 7),)]
    (found,) = (await operated.call("ListRollouts", pb.ListRolloutsRequest())).rollouts
    assert (found.HasField("stage_began_at"), found.HasField("ended_at"), found.slow_s) == (False, False, 0.0)


async def test_rollouts_are_listed_page_by_page_without_their_numbers(operated: Operated):
    """Each page says where the next one begins."""
    ended = changed(ended_at=ROLLOUT.started_at + 1).stored.rollout
    operated.rollouts.pages = [(Stored(ROLLOUT, 7), Stored(ended, 8)), (Stored(ROLLOUT, 9),)]
    first = await operated.call("ListRollouts", pb.ListRolloutsRequest(model="m", active=True, page_size=2))
    last = await operated.call("ListRollouts", pb.ListRolloutsRequest(page_token=first.next_page_token))
    assert first.rollouts[0] == BRIEF
    assert first.rollouts[1].ended_at == Timestamp(seconds=1_700_000_001, nanos=250_000_000)
    assert ([each.revision for each in last.rollouts], last.next_page_token) == ([9], "")
    assert operated.rollouts.asked == [
        ("page", ("m",), {"active": True, "page_token": "", "limit": 2}),
        ("page", ("",), {"active": False, "page_token": "1", "limit": 100}),
    ]


def entry(number: int, *, numbers: dict[str, object] | None = None, status: str = "running") -> JournalEntry:
    at = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
    return JournalEntry(100 + number, "r1", "m", number, at, "ann", "stage", status, "why", numbers or {})


async def test_a_journal_is_shown_with_its_evidence(operated: Operated):
    """A status that this server does not know has no number."""
    operated.rollouts.entries = [entry(1, numbers={"b": 2, "a": 1.5}), entry(2, status="levitating")]
    answer = await operated.call("ListRolloutJournal", pb.ListRolloutJournalRequest(id="r1"))
    first = pb.RolloutEvent(
        number=1,
        at=Timestamp(seconds=1_795_262_400),
        actor="ann",
        event="stage",
        status=pb.ROLLOUT_STATUS_RUNNING,
        reason="why",
        numbers_json='{"a":1.5,"b":2}',
    )
    assert answer.events[0] == first
    assert (answer.events[1].number, answer.events[1].status) == (2, pb.ROLLOUT_STATUS_UNSPECIFIED)


async def test_of_a_journal_that_no_message_can_hold_the_newest_entries_are_shown(operated: Operated):
    """What decided is at its end."""
    operated.rollouts.entries = [entry(n, numbers={"x": "y" * 1_000_000}) for n in range(1, 8)]
    answer = await operated.call("ListRolloutJournal", pb.ListRolloutJournalRequest(id="r1"))
    assert [event.number for event in answer.events] == [5, 6, 7]


async def test_disagreements_are_shown_with_their_tensors(operated: Operated):
    """The candidate's are empty where it failed."""
    x = np.array([[1, 2]], np.int16)
    y = np.array([b"ab"], np.object_)
    operated.rollouts.examples = [Disagreement(1_700_000_000.25, "a", {"x": x}, {"y": y}, {}, "y: failed")]
    answer = await operated.call("ListDisagreements", pb.ListDisagreementsRequest(id="r1"))
    assert list(answer.disagreements) == [
        pb.Disagreement(
            at=STARTED,
            request_id="a",
            inputs=[
                predict_pb2.Tensor(name="x", dtype=predict_pb2.DATA_TYPE_INT16, shape=[1, 2], data=b"\x01\x00\x02\x00")
            ],
            baseline=[
                predict_pb2.Tensor(name="y", dtype=predict_pb2.DATA_TYPE_BYTES, shape=[1], data=b"\x02\x00\x00\x00ab")
            ],
            sentence="y: failed",
        )
    ]


async def test_disagreements_of_all_workers_are_shown_in_turn():
    """As many as one worker keeps: what a person reads comes from each of them."""

    async def others(method: str, message: bytes) -> Sequence[bytes]:
        assert (method, pb.ListDisagreementsRequest.FromString(message).id) == ("ListDisagreements", "r1")
        said = [pb.Disagreement(request_id=f"other {number}") for number in range(30)]
        return [pb.ListDisagreementsResponse(disagreements=said).SerializeToString()]

    rollouts = FakeRollouts()
    rollouts.examples = [Disagreement(1.0, f"own {number}", {}, {}, {}, "") for number in range(2)]
    controls = RolloutControls(rollouts, Calls(Drain(), Budgets()), others)
    answer = await controls.list_disagreements(pb.ListDisagreementsRequest(id="r1"))
    shown = [each.request_id for each in answer.disagreements]
    assert shown == ["own 0", "other 0", "own 1", "other 1", *(f"other {number}" for number in range(2, 18))]


async def test_a_metric_is_reported(operated: Operated):
    """With the id that keeps it from being counted twice."""
    asked = pb.ReportMetricRequest(model="m", version="1.1.0", metric="ctr", values=[0.0, 1.0], report_id="a")
    assert await operated.call("ReportMetric", asked) == pb.ReportMetricResponse(counted=True)
    report = MetricReport("m", "1.1.0", "ctr", (0.0, 1.0), "a")
    assert operated.rollouts.asked == [("report_metric", (report,), {})]


async def test_a_plan_is_played(operated: Operated):
    """As often as asked, or 200 times."""
    asked = pb.SimulateRolloutRequest(
        spec_yaml=SPEC_YAML,
        rate=50.0,
        candidate=pb.RolloutAssumption(error_rate=0.03, metric_means={"ctr": 0.2}),
        seed=5,
    )
    answer = await operated.call("SimulateRollout", asked)
    candidate = Assumed(error_rate=0.03, metric_means={"ctr": 0.2})
    order = SimulationOrder(SPEC, 50.0, Assumed(), candidate, runs=200, seed=5)
    assert operated.rollouts.asked == [("simulate", (order,), {})]
    assert answer == pb.SimulateRolloutResponse(
        runs=200,
        outcomes={"succeeded": 0.9},
        outcomes_low={"succeeded": 0.85},
        outcomes_high={"succeeded": 0.95},
        exposed_p50=900,
        exposed_p90=1200,
        seconds_p50=600.0,
        seconds_p90=720.0,
        failed_by={"errors": 1.0},
    )


async def test_one_simulation_runs_at_once(operated: Operated):
    """Whoever left makes room for the next one."""
    operated.rollouts.gate.clear()
    asked = pb.SimulateRolloutRequest(spec_yaml=SPEC_YAML, rate=50.0)
    first = asyncio.ensure_future(operated.call("SimulateRollout", asked))
    async with asyncio.timeout(20):
        await operated.rollouts.simulating.wait()
        assert await refusal(operated.call("SimulateRollout", asked)) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "SIMULATION_BUSY: one simulation is running, the limit is 1",
        )
        operated.rollouts.gate.set()
        await first
        assert (await operated.call("SimulateRollout", asked)).runs == 200


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (NotFound("no rollout 'r1'"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND: no rollout 'r1'"),
        (
            Conflict("rollout r1 is at revision 9", current_revision=9),
            grpc.StatusCode.ABORTED,
            "REVISION_MISMATCH: rollout r1 is at revision 9",
        ),
        (
            Refused("it has ended", reason="ROLLOUT_ENDED"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "ROLLOUT_ENDED: it has ended",
        ),
    ],
)
async def test_a_refusal_travels_with_its_reason(operated: Operated, failure, code, message):
    """Two operators at once: the second hears of the first."""
    operated.rollouts.failure = failure
    asked = pb.PromoteRolloutRequest(id="r1", expected_revision=7)
    assert await refusal(operated.call("PromoteRollout", asked)) == (code, message)


async def test_a_plan_that_cannot_be_meant_is_refused_with_all_that_is_wrong(operated: Operated):
    """And the key of the first thing."""
    spec = "model: m\ncandidate: 1.1.0\nstages: [{canary: {weight: 200}}]\nalpha: 2\n"
    code, message = await refusal(operated.call("StartRollout", pb.StartRolloutRequest(spec_yaml=spec)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("INVALID_SPEC: stages[0].canary.weight: ")
    assert "; alpha: unknown key" in message
    assert await refused_field(operated.call("StartRollout", pb.StartRolloutRequest(spec_yaml=spec))) == (
        "INVALID_SPEC",
        "stages[0].canary.weight",
    )
    assert operated.rollouts.asked == []


NAN = float("nan")


@pytest.mark.parametrize(
    ("method", "asked", "reason", "field"),
    [
        ("StartRollout", pb.StartRolloutRequest(), "INVALID_SPEC", "spec_yaml"),
        ("StartRollout", pb.StartRolloutRequest(spec_yaml="a: &a [*a]"), "INVALID_SPEC", "spec_yaml"),
        ("StartRollout", pb.StartRolloutRequest(spec_yaml="[" * 9000), "INVALID_SPEC", "spec_yaml"),
        ("StartRollout", pb.StartRolloutRequest(spec_yaml="x" * 65_537), "TEXT_TOO_LONG", "spec_yaml"),
        ("StartRollout", pb.StartRolloutRequest(spec_yaml=SPEC_YAML, actor="\n"), "CONTROL_CHARACTER", "actor"),
        ("GetRollout", pb.GetRolloutRequest(), "MISSING_NAME", "id"),
        ("GetRollout", pb.GetRolloutRequest(id="x" * 129), "TEXT_TOO_LONG", "id"),
        ("GetRollout", pb.GetRolloutRequest(model="../m"), "INVALID_NAME", "model"),
        ("ListRollouts", pb.ListRolloutsRequest(model="../m"), "INVALID_NAME", "model"),
        ("ListRollouts", pb.ListRolloutsRequest(page_size=1001), "PAGE_TOO_LARGE", "page_size"),
        ("ListRolloutJournal", pb.ListRolloutJournalRequest(id="\x00"), "CONTROL_CHARACTER", "id"),
        ("PauseRollout", pb.PauseRolloutRequest(), "MISSING_NAME", "id"),
        ("ResumeRollout", pb.ResumeRolloutRequest(id="r1", actor="x" * 257), "TEXT_TOO_LONG", "actor"),
        ("PromoteRollout", pb.PromoteRolloutRequest(id="r1", version="\n"), "CONTROL_CHARACTER", "version"),
        ("AbortRollout", pb.AbortRolloutRequest(id="r1", reason="x" * 1025), "TEXT_TOO_LONG", "reason"),
        ("ListDisagreements", pb.ListDisagreementsRequest(), "MISSING_NAME", "id"),
        ("SimulateRollout", pb.SimulateRolloutRequest(spec_yaml=SPEC_YAML), "OUT_OF_RANGE", "rate"),
        ("SimulateRollout", pb.SimulateRolloutRequest(spec_yaml=SPEC_YAML, rate=NAN), "OUT_OF_RANGE", "rate"),
        ("SimulateRollout", pb.SimulateRolloutRequest(spec_yaml="", rate=1), "INVALID_SPEC", "spec_yaml"),
        (
            "SimulateRollout",
            pb.SimulateRolloutRequest(spec_yaml=SPEC_YAML, rate=1, runs=10_001),
            "OUT_OF_RANGE",
            "runs",
        ),
        (
            "SimulateRollout",
            pb.SimulateRolloutRequest(spec_yaml=SPEC_YAML, rate=1, baseline=pb.RolloutAssumption(slow_rate=NAN)),
            "OUT_OF_RANGE",
            "baseline.slow_rate",
        ),
        (
            "SimulateRollout",
            pb.SimulateRolloutRequest(
                spec_yaml=SPEC_YAML, rate=1, candidate=pb.RolloutAssumption(metric_means={"ctr": NAN})
            ),
            "NOT_FINITE",
            "candidate.metric_means",
        ),
        ("ReportMetric", pb.ReportMetricRequest(model="m", metric="a", values=[1]), "MISSING_NAME", "version"),
        ("ReportMetric", pb.ReportMetricRequest(model="m", version="1", metric="a"), "MISSING_VALUES", "values"),
        (
            "ReportMetric",
            pb.ReportMetricRequest(model="m", version="1", metric="a", values=[1] * 10_001),
            "TOO_MANY_ENTRIES",
            "values",
        ),
        (
            "ReportMetric",
            pb.ReportMetricRequest(model="m", version="1", metric="a", values=[1, NAN]),
            "NOT_FINITE",
            "values",
        ),
        (
            "ReportMetric",
            pb.ReportMetricRequest(model="m", version="1", metric="a", values=[1], report_id="x" * 129),
            "TEXT_TOO_LONG",
            "report_id",
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_its_field(operated: Operated, method: str, asked, reason, field):
    """Before anything is done."""
    assert await refused_field(operated.call(method, asked)) == (reason, field)
    assert operated.rollouts.asked == []


async def test_a_server_that_drains_moves_no_rollout_and_shows_them(operated: Operated):
    """Looking is allowed to the end."""
    operated.drain.begin()
    for method in ("StartRollout", "PauseRollout", "ResumeRollout", "PromoteRollout", "AbortRollout", "ReportMetric"):
        asked = getattr(pb, f"{method}Request")()
        assert (await refusal(operated.call(method, asked)))[0] is grpc.StatusCode.UNAVAILABLE
    assert (await operated.call("GetRollout", pb.GetRolloutRequest(id="r1"))).rollout == WHOLE
