"""An operator's calls about rollouts, splits and the server itself: what travels, what comes back, what is repeated."""

import asyncio
import getpass
import inspect
import itertools
import socket

import pytest

from serinus.core.errors import Conflict as ConflictError
from serinus.core.errors import Draining
from serinus.core.errors import InvalidInput as WrongError
from serinus.core.errors import Overloaded as BusyError
from serinus.core.errors import Refused as RefusedError
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import AsyncClient, Client, Conflict, InvalidInput, Refused, Unavailable
from serinus_client.admin import AsyncAdmin
from serinus_client.admin_sync import Admin
from serinus_client.registry import AsyncRegistry
from serinus_client.registry_sync import Registry
from tests.client.fake_admin import FakeAdmin

ME = f"{getpass.getuser()}@{socket.gethostname()}"
ROLLOUT = pb.Rollout(id="r1", model="m", revision=7, status=pb.ROLLOUT_STATUS_RUNNING)
TRAFFIC = pb.ModelTraffic(model="m", revision=8)
ARM = pb.SplitArm(version="1.1.0", weight=5)
RULE = pb.SplitRule(attribute="cohort", values=["beta"], version="1.1.0")
FALLBACK = pb.Fallback(targets=[pb.FallbackTarget(version="1.0.0")], triggers=["error"])
SIMULATED = pb.SimulateRolloutResponse(runs=200, outcomes={"succeeded": 1.0})
BAD = pb.RolloutAssumption(error_rate=0.1)


@pytest.fixture
async def fake():
    async with FakeAdmin() as running:
        yield running


@pytest.fixture
async def waits():
    """Seconds that the client waited before tries; none of them passes."""
    return []


@pytest.fixture
async def client(fake, waits):
    async def sleep(wait_s):
        waits.append(wait_s)

    async with AsyncClient(fake.target, sleep=sleep) as opened:
        yield opened


def moved(kind):
    return kind(rollout=ROLLOUT)


# Method, arguments, the answer on the wire, the request that must travel, what the caller gets.
CALLS = [
    (
        "start_rollout",
        ("model: m\ncandidate: 1.1.0\n",),
        {"expected_revision": 3, "actor": "ann"},
        moved(pb.StartRolloutResponse),
        pb.StartRolloutRequest(spec_yaml="model: m\ncandidate: 1.1.0\n", expected_revision=3, actor="ann"),
        ROLLOUT,
    ),
    (
        "start_rollout",
        ({"model": "m", "candidate": "1.1.0"},),
        {},
        moved(pb.StartRolloutResponse),
        pb.StartRolloutRequest(spec_yaml='{"model": "m", "candidate": "1.1.0"}', actor=ME),
        ROLLOUT,
    ),
    ("get_rollout", ("r1",), {}, moved(pb.GetRolloutResponse), pb.GetRolloutRequest(id="r1"), ROLLOUT),
    ("get_rollout", (), {"model": "m"}, moved(pb.GetRolloutResponse), pb.GetRolloutRequest(model="m"), ROLLOUT),
    (
        "rollout_journal",
        ("r1",),
        {},
        pb.ListRolloutJournalResponse(events=[pb.RolloutEvent(number=1, event="started")]),
        pb.ListRolloutJournalRequest(id="r1"),
        [pb.RolloutEvent(number=1, event="started")],
    ),
    (
        "pause_rollout",
        ("r1",),
        {"expected_revision": 0},
        moved(pb.PauseRolloutResponse),
        pb.PauseRolloutRequest(id="r1", expected_revision=0, actor=ME),
        ROLLOUT,
    ),
    (
        "resume_rollout",
        ("r1",),
        {},
        moved(pb.ResumeRolloutResponse),
        pb.ResumeRolloutRequest(id="r1", actor=ME),
        ROLLOUT,
    ),
    (
        "promote_rollout",
        ("r1",),
        {"force": True, "version": "1.1.0", "expected_revision": 7},
        moved(pb.PromoteRolloutResponse),
        pb.PromoteRolloutRequest(id="r1", force=True, version="1.1.0", expected_revision=7, actor=ME),
        ROLLOUT,
    ),
    (
        "abort_rollout",
        ("r1",),
        {"reason": "no", "actor": "ann"},
        moved(pb.AbortRolloutResponse),
        pb.AbortRolloutRequest(id="r1", reason="no", actor="ann"),
        ROLLOUT,
    ),
    (
        "list_disagreements",
        ("r1",),
        {},
        pb.ListDisagreementsResponse(disagreements=[pb.Disagreement(request_id="a")]),
        pb.ListDisagreementsRequest(id="r1"),
        [pb.Disagreement(request_id="a")],
    ),
    (
        "simulate_rollout",
        ("model: m",),
        {"rate": 50.0, "candidate": BAD, "runs": 10, "seed": 3},
        SIMULATED,
        pb.SimulateRolloutRequest(spec_yaml="model: m", rate=50.0, candidate=BAD, runs=10, seed=3),
        SIMULATED,
    ),
    (
        "report_metric",
        ("m", "1.1.0", "ctr", [0.0, 1.0]),
        {"report_id": "a"},
        pb.ReportMetricResponse(counted=True),
        pb.ReportMetricRequest(model="m", version="1.1.0", metric="ctr", values=[0.0, 1.0], report_id="a"),
        True,
    ),
    ("get_split", ("m",), {}, pb.GetSplitResponse(traffic=TRAFFIC), pb.GetSplitRequest(model="m"), TRAFFIC),
    (
        "set_split",
        ("m", [ARM]),
        {"rules": [RULE], "expected_revision": 7},
        pb.SetSplitResponse(traffic=TRAFFIC),
        pb.SetSplitRequest(model="m", arms=[ARM], rules=[RULE], expected_revision=7, actor=ME),
        TRAFFIC,
    ),
    (
        "set_fallback",
        ("m", FALLBACK),
        {},
        pb.SetFallbackResponse(traffic=TRAFFIC),
        pb.SetFallbackRequest(model="m", fallback=FALLBACK, actor=ME),
        TRAFFIC,
    ),
    (
        "set_fallback",
        ("m", None),
        {},
        pb.SetFallbackResponse(traffic=TRAFFIC),
        pb.SetFallbackRequest(model="m", actor=ME),
        TRAFFIC,
    ),
    (
        "reset_breaker",
        ("m",),
        {},
        pb.ResetBreakerResponse(traffic=TRAFFIC),
        pb.ResetBreakerRequest(model="m", actor=ME),
        TRAFFIC,
    ),
    ("drain", (), {"actor": "ann"}, pb.DrainResponse(), pb.DrainRequest(actor="ann"), None),
]


@pytest.mark.parametrize(("method", "given", "named", "answer", "request_sent", "got"), CALLS)
async def test_a_call_travels_as_the_protocol_has_it(client, fake, method, given, named, answer, request_sent, got):
    """Every argument has its field; who does it is said even where nobody said who."""
    fake.answers[type(answer).__name__.removesuffix("Response")] = [answer]
    found = await getattr(client.admin, method)(*given, **named)
    assert (fake.asked, list(found) if isinstance(got, list) else found) == ([request_sent], got)


async def test_every_call_works_from_threads(fake):
    """With the same arguments and answers."""

    def work():
        with Client(fake.target) as client:
            for method, given, named, answer, request_sent, got in CALLS:
                fake.answers[type(answer).__name__.removesuffix("Response")] = [answer]
                found = getattr(client.admin, method)(*given, **named)
                assert (fake.asked[-1], list(found) if isinstance(got, list) else found) == (request_sent, got)
            fake.answers["ListRollouts"] = [pb.ListRolloutsResponse(rollouts=[ROLLOUT])]
            assert list(client.admin.list_rollouts()) == [ROLLOUT]
            fake.answers["WatchRollout"] = [[pb.WatchRolloutResponse(rollout=ROLLOUT)] * 3]
            assert list(itertools.islice(client.admin.watch_rollout("r1"), 2)) == [ROLLOUT, ROLLOUT]

    await asyncio.to_thread(work)


async def test_pages_of_rollouts_are_turned(client, fake):
    """Until the server says that there are no more."""
    fake.answers["ListRollouts"] = [
        pb.ListRolloutsResponse(rollouts=[pb.Rollout(id="r3"), pb.Rollout(id="r2")], next_page_token="t"),
        pb.ListRolloutsResponse(rollouts=[pb.Rollout(id="r1")]),
    ]
    found = [rollout.id async for rollout in client.admin.list_rollouts(model="m", active=True)]
    assert found == ["r3", "r2", "r1"]
    assert fake.asked == [
        pb.ListRolloutsRequest(model="m", active=True, page_size=100),
        pb.ListRolloutsRequest(model="m", active=True, page_size=100, page_token="t"),
    ]


def step(stage, status=pb.ROLLOUT_STATUS_RUNNING):
    return pb.WatchRolloutResponse(rollout=pb.Rollout(id="r1", stage=stage, status=status))


async def test_a_rollout_is_watched_over_lost_connections_to_its_end(client, fake, waits):
    """The newest of a model is one rollout for the whole watch, even if another one starts meanwhile."""
    fake.answers["WatchRollout"] = [
        [step(0), step(1), Draining("the server is going away")],
        [BusyError("too many watch", retry_after_s=0.5)],
        [step(1), step(2)],
        [step(2, pb.ROLLOUT_STATUS_SUCCEEDED), step(3)],
    ]
    seen = [rollout.stage async for rollout in client.admin.watch_rollout(model="m")]
    assert (seen, len(waits)) == ([0, 1, 1, 2, 2], 3)
    assert fake.asked == [pb.WatchRolloutRequest(model="m")] + [pb.WatchRolloutRequest(id="r1")] * 3


async def test_a_watch_of_a_server_that_stays_away_ends(client, fake, waits):
    """As other calls do."""
    fake.answers["WatchRollout"] = [[Draining("going")]]
    with pytest.raises(Unavailable, match="DRAINING"):
        await anext(client.admin.watch_rollout("r1"))
    assert len(waits) == 3


@pytest.mark.parametrize(
    ("error", "expected", "match"),
    [
        (WrongError("stages[0]: no", reason="INVALID_SPEC", field="stages[0]"), InvalidInput, "stages"),
        (RefusedError("rollout r0 is under way", reason="ROLLOUT_ACTIVE"), Refused, "ROLLOUT_ACTIVE"),
        (ConflictError("is at revision 9", current_revision=9), Conflict, "revision 9"),
    ],
)
async def test_a_refusal_says_what_to_do_about_it(client, fake, error, expected, match):
    """By its class."""
    fake.answers["StartRollout"] = [error]
    with pytest.raises(expected, match=match):
        await client.admin.start_rollout("model: m")


async def test_a_report_with_an_id_is_sent_again_when_its_answer_is_lost(client, fake, waits):
    """One without is not: it would count twice."""
    lost = Draining("gone")
    fake.answers["ReportMetric"] = [lost, pb.ReportMetricResponse(counted=False)]
    assert await client.admin.report_metric("m", "1.1.0", "ctr", [1.0], report_id="a") is False
    assert (len(fake.asked), len(waits)) == (2, 1)
    fake.answers["ReportMetric"] = [lost, pb.ReportMetricResponse(counted=True)]
    with pytest.raises(Unavailable):
        await client.admin.report_metric("m", "1.1.0", "ctr", [1.0])
    assert (len(fake.asked), len(waits)) == (3, 1)


async def test_the_server_tells_what_runs_cost(client, fake):
    """Of all models, or of one version."""
    costs = [pb.LearnedCosts(model="m", version="1.0.0", lone_threads=2)]
    fake.answers["ListLearnedCosts"] = [pb.ListLearnedCostsResponse(costs=costs)]
    assert list(await client.admin.learned_costs()) == costs
    await client.admin.learned_costs("m", "1.0.0")
    assert fake.asked == [pb.ListLearnedCostsRequest(), pb.ListLearnedCostsRequest(model="m", version="1.0.0")]


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"), [(AsyncAdmin, Admin), (AsyncRegistry, Registry), (AsyncClient, Client)]
)
def test_threads_have_the_same_calls(asynchronous, synchronous):
    """Of the same names, with the same arguments and defaults."""

    def surface(face):
        return {
            name: [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(face, inspect.isfunction)
            if not name.startswith("_")
        }

    assert surface(synchronous) == surface(asynchronous)
