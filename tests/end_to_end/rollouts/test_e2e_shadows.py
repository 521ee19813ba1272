"""Copies of calls, on a running server: whatever becomes of them, callers and their numbers know nothing of it."""

from pathlib import Path

import numpy as np

from serinus.runtime.sabotage import Fault
from serinus_api.v1 import admin_pb2 as pb
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually
from tests.end_to_end.rollouts.callers import Question, Tally, calling
from tests.end_to_end.rollouts.stages import QUICK, ended, plan, quick_place, show
from tests.end_to_end.rollouts.versions import BAD, GOOD, faulty, looping, question, two_versions
from tests.support.invariants import scrape

WORKING, HANGING = 400, 1_200_000
HANG_S = 2.5
LARGE_ROWS = 25_000  # 200 kB: five such calls fill a mebibyte
WORK = 200  # matrix products: a copy takes fifty milliseconds


async def _phase(one: Place, question: Question, calls: int) -> Tally:
    """So many calls, one after the other."""
    async with calling(one.client, "m", [question], callers=1, pause_s=0.005) as tally:
        await eventually(lambda: _has(tally, calls))
    tally.assert_untroubled()
    return tally


async def _has(tally: Tally, calls: int) -> bool:
    return len(tally.took_s) >= calls


async def test_a_slow_shadow_costs_callers_nothing(forks: Nursery, home: Path):
    """Row 88: a copy takes fifty times as long as a call; the calls take as long as without copies, as measured in
    turns, and more copies than can be made are dropped."""
    stages = [{"shadow": {"percent": 100, "min_pairs": 10**6}}]
    without, beside = [], []
    async with quick_place(forks, home / "one") as one:
        await two_versions(one, faulty(one, 2, Fault.SLOW, work=WORK))
        call = question(v1_0_0=2)
        await _phase(one, call, 50)
        for _ in range(2):
            without += (await _phase(one, call, 60)).took_s
            started = await one.client.admin.start_rollout(plan("1.1.0", stages, force=True))
            async with calling(one.client, "m", [call], callers=1):
                await eventually(lambda: _mirrors(one))
            beside += (await _phase(one, call, 60)).took_s
            await eventually(lambda rollout=started.id: _has_pairs(one, rollout))
            aborted = await one.client.admin.abort_rollout(started.id)
            assert aborted.pairs.disagreements == 0
    medians = np.median(without), np.median(beside)
    show(f"median of a call: {1e3 * medians[0]:.2f} ms, with a slow shadow {1e3 * medians[1]:.2f} ms")
    assert medians[1] < 2 * medians[0] + 0.002
    assert aborted.pairs.pairs < 300


async def _mirrors(one: Place) -> bool:
    traffic = await one.client.admin.get_split("m")
    return traffic.mirror.percent == 100


async def _has_pairs(one: Place, rollout: str) -> bool:
    return (await one.client.admin.get_rollout(rollout)).pairs.pairs > 0


async def test_copies_count_for_nobody_but_the_shadow(forks: Nursery, home: Path):
    """Row 89: stable's metrics are those of its callers, to the call; copies that wait take nothing of the memory that
    calls may have, though they are many times as large; and the rollout counts no call of the candidate."""
    stages = [{"shadow": {"percent": 100, "min_pairs": 10**6}}]
    limits = f"{QUICK}[limits]\nmax_bytes_in_flight_mib = 1\n"
    async with quick_place(forks, home / "one", tables=limits) as one:
        await two_versions(one, faulty(one, 3, Fault.SLOW, work=WORK))
        x = np.full((LARGE_ROWS, 2), GOOD, np.float32)
        call = Question({"x": x}, {"1.0.0": {"y": 2 * x}})
        started = await one.client.admin.start_rollout(plan("1.1.0", stages))
        await eventually(lambda: _mirrors(one))
        tally = await _phase(one, call, 100)
        now = (await one.client.admin.get_rollout(started.id)).pairs
        aborted = await one.client.admin.abort_rollout(started.id)
        scraped = await scrape(one.server.http_port)
        assert scraped.total("serinus_requests_total", model="m", version="1.0.0") == len(tally.took_s)
        assert scraped.total("serinus_routed_calls_total", model="m") == len(tally.took_s)
        assert scraped.total("serinus_refused_total") == scraped.total("serinus_bytes_in_flight") == 0
        copies = scraped.total("serinus_requests_total", model="m", version="1.1.0")
        assert now.pairs <= copies < len(tally.took_s)
        stable, candidate = aborted.arms
        assert (stable.version, candidate.total_exposures) == ("1.0.0", 0)
        assert stable.total_exposures <= len(tally.took_s)


async def test_a_shadow_that_hangs_leaves_the_other_threads_to_callers(forks: Nursery, home: Path):
    """Row 88: each copy would keep a thread for good; stable, which needs threads too, goes on answering, and the
    rollout fails by what is missing."""
    stages = [{"shadow": {"percent": 100, "min_pairs": 10**6, "timeout_s": 0.2}}]
    async with quick_place(forks, home / "one", tables=f"{QUICK}[compute]\nthreads = 2\n") as one:
        await two_versions(one, looping(WORKING, HANGING), stable=looping(WORKING, WORKING))
        calm, hang = _row(GOOD), _row(BAD)
        async with calling(one.client, "m", [calm, hang]) as tally:
            started = await one.client.admin.start_rollout(plan("1.1.0", stages))
            rolled_back = await ended(one.client, started.id)
        tally.assert_untroubled()
        show(f"longest call beside a shadow that hangs: {1e3 * max(tally.took_s):.0f} ms")
        assert rolled_back.status == pb.ROLLOUT_STATUS_ROLLED_BACK
        assert rolled_back.pairs.errors >= 1
        assert max(tally.took_s) < HANG_S / 2


def _row(first: float) -> Question:
    x = np.array([[first, 0]], np.float32)
    return Question({"x": x}, {"1.0.0": {"y": x}})
