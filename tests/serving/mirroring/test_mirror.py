"""Copies of calls to a version whose answers nobody gets."""

import asyncio
import dataclasses
import math
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from serinus.core.errors import (
    DeadlinePassed,
    Draining,
    InvalidInput,
    Loading,
    ModelFailed,
    NotFound,
    NotLoaded,
    Overloaded,
    ServerError,
)
from serinus.core.predictor import Request, Response
from serinus.core.traffic import WHOLE, Likeness, Measure, Trigger
from serinus.core.windows import PairWindow
from serinus.serving.admission import Admission, ByteBudget
from serinus.serving.mirroring.disagreements import Disagreement
from serinus.serving.mirroring.mirror import LONGEST_WAIT_S, LOWEST_PRIORITY
from serinus.serving.room import Room
from serinus.telemetry.outcome import PairEnd
from tests.support.fakes import settle
from tests.support.mirrored import (
    CANDIDATE,
    ROLLOUT,
    STABLE,
    Candidate,
    FakeMirrorMetrics,
    answer,
    call,
    hangs,
    mirroring,
    split,
)
from tests.support.virtual_loop import virtual


class NoBacklog:
    """A queue in which nothing waits."""

    queued_calls = 0

    def predicted_finish_s(self, _request: Request) -> float:
        return 0.0

    predicted_wait_s = predicted_finish_s

    def make_room(self, _request: Request) -> Room:
        return Room.NONE


SAME = answer(1.0, version=CANDIDATE, seconds=0.25)
OTHER = answer(7.0, version=CANDIDATE, seconds=0.25)


@virtual
async def test_a_copy_goes_to_the_mirrored_version_and_takes_nothing_from_others():
    """Last in every queue, given up by nobody, and no byte of the server's own bound."""
    await asyncio.sleep(3)
    request, candidate = call(request_id="a"), Candidate(SAME)
    before = dataclasses.replace(request)
    async with mirroring(candidate) as mirrors:
        mirrors.offer(request, answer(), split(timeout_s=5))
        await settle()
    (copy,) = candidate.requests
    assert copy is not request
    assert (copy.model, copy.version, copy.priority, copy.size_bytes, copy.alone) == (
        "m",
        "2",
        LOWEST_PRIORITY,
        0,
        False,
    )
    assert (copy.arrived, copy.deadline, copy.request_id) == (3.0, math.inf, "a")
    assert copy.inputs.keys() == {"x"}
    assert copy.inputs["x"].tolist() == [[1.0, 0.0]]
    assert request == before


@virtual
async def test_a_copy_takes_no_place_of_calls():
    """The server's bound on bytes in flight is as full as it is without the copy."""
    budget = ByteBudget(1000)
    layer = Admission(Candidate(hangs), budget=budget, backlog=NoBacklog(), max_calls=1, clock=lambda: 0.0)
    async with mirroring(layer) as mirrors:
        mirrors.offer(call(inputs={"x": np.zeros(4000, np.float32)}), answer(), split())
        await settle()
        assert (budget.used, repr(mirrors)) == (0, "<Mirrors <CopyQueue 0/64 copies, 16008/1048576 bytes>>")


@virtual
async def test_answers_are_compared_in_pairs():
    """Each pair counts once, with the time of both sides."""
    metrics = FakeMirrorMetrics()
    values = iter([1.0, 7.0, 1.0])

    async def behave(_request: Request) -> Response:
        return answer(next(values), version=CANDIDATE, seconds=0.25)

    async with mirroring(Candidate(behave), metrics=metrics) as mirrors:
        for _ in range(3):
            mirrors.offer(call(), answer(seconds=0.5), split())
            await settle()
        assert metrics.ends == [PairEnd.SAME, PairEnd.DIFFERENT, PairEnd.SAME]
        assert mirrors.pairs(ROLLOUT, 0) == PairWindow(pairs=3, disagreements=1, baseline_s=1.5, mirrored_s=0.75)


@virtual
async def test_the_plan_says_what_the_same_is():
    """The classes of both answers are the same, their numbers are not."""
    async with mirroring(Candidate(OTHER)) as mirrors:
        mirrors.offer(call(), answer(), split(likeness=Likeness(Measure.CLASS)))
        await settle()
        assert mirrors.pairs(ROLLOUT, 0).disagreements == 0


@virtual
async def test_a_disagreement_is_kept_for_a_person():
    """With everything that was said, in copies of their own."""
    received = np.array([[1.0, 0.0]], np.float32)
    async with mirroring(Candidate(OTHER)) as mirrors:
        await asyncio.sleep(2)
        mirrors.offer(call(request_id="a", inputs={"x": received}), answer(), split())
        await settle()
        received[:] = 99
        (found,) = mirrors.disagreements(ROLLOUT)
        assert mirrors.disagreements("another") == ()
    tensors = [{name: tensor.tolist() for name, tensor in each.items()} for each in (
        found.inputs, found.baseline, found.candidate
    )]  # fmt: skip
    assert tensors == [{"x": [[1.0, 0.0]]}, {"y": [[1.0, 0.0]]}, {"y": [[7.0, 0.0]]}]
    assert dataclasses.replace(found, inputs={}, baseline={}, candidate={}) == Disagreement(
        1002.0,
        "a",
        {},
        {},
        {},
        "output 'y' differs by 6 at [0, 0]: the baseline has 1, at most 0.011 from it is allowed, the candidate has 7",
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModelFailed("it broke"), "m@2.0.0 failed: it broke"),
        (InvalidInput("expected 3 columns"), "m@2.0.0 failed: expected 3 columns"),
        (DeadlinePassed("too late"), "m@2.0.0 failed: too late"),
        (RuntimeError("/a/path"), "m@2.0.0 failed: an internal error"),
    ],
)
@virtual
async def test_a_candidate_that_fails_has_failed_the_pair(error: Exception, sentence: str):
    """A call that the baseline could answer: refusing its input is a failure as well."""
    async with mirroring(Candidate(error)) as mirrors:
        mirrors.offer(call(), answer(), split())
        await settle()
        assert mirrors.pairs(ROLLOUT, 0) == PairWindow(pairs=1, disagreements=1, errors=1, baseline_s=0.5)
        assert [(each.candidate, each.sentence) for each in mirrors.disagreements(ROLLOUT)] == [({}, sentence)]


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("full", retry_after_s=1),
        Draining("away"),
        NotLoaded("not here"),
        Loading("soon"),
        NotFound("who"),
    ],
    ids=lambda error: type(error).__name__,
)
@virtual
async def test_a_copy_that_was_not_run_is_no_pair(error: ServerError):
    """It says nothing about the candidate."""
    async with mirroring(Candidate(error)) as mirrors:
        mirrors.offer(call(), answer(), split())
        await settle()
        assert (mirrors.pairs(ROLLOUT, 0), mirrors.disagreements(ROLLOUT)) == (PairWindow(dropped=1), ())


@virtual
async def test_an_answer_of_somebody_else_is_no_pair():
    """The baseline would agree with itself."""
    async with mirroring(Candidate(answer())) as mirrors:
        mirrors.offer(call(), answer(), split())
        await settle()
        assert mirrors.pairs(ROLLOUT, 0) == PairWindow(dropped=1)


@virtual
async def test_a_candidate_that_hangs_times_out():
    """Its place is free again then."""
    metrics = FakeMirrorMetrics()
    async with mirroring(Candidate(hangs), metrics=metrics) as mirrors:
        mirrors.offer(call(), answer(), split(timeout_s=1.5))
        await asyncio.sleep(0.5)
        mirrors.offer(call(), answer(), split(timeout_s=1.5))
        await asyncio.sleep(1.1)
        assert metrics.ends == [PairEnd.FAILED]
        await asyncio.sleep(1.5)
        assert mirrors.pairs(ROLLOUT, 0) == PairWindow(
            pairs=2, disagreements=2, errors=2, baseline_s=1.0, mirrored_s=pytest.approx(3.0)
        )
        sentences = {each.sentence for each in mirrors.disagreements(ROLLOUT)}
        assert sentences == {"m@2.0.0 failed: no answer within 1.5 s"}


@pytest.mark.parametrize("at_once", [1, 3])
@virtual
async def test_a_candidate_that_hangs_holds_a_few_copies_and_the_others_are_dropped(at_once: int):
    """Those that wait behind it go when their time is over, not when its is."""
    candidate, metrics = Candidate(hangs), FakeMirrorMetrics()
    async with mirroring(candidate, metrics=metrics, at_once=at_once) as mirrors:
        for _ in range(10):
            mirrors.offer(call(), answer(), split(timeout_s=30))
        await asyncio.sleep(LONGEST_WAIT_S + 0.1)
        assert len(candidate.requests) == at_once
        assert metrics.ends == [PairEnd.DROPPED] * (10 - at_once)


@virtual
async def test_a_candidate_is_asked_again_only_when_a_run_that_was_left_is_over():
    """It has a thread until then, and would have them all; copies that it keeps waiting fail as the first one did."""
    hanging, metrics = asyncio.Event(), FakeMirrorMetrics()

    async def behave(_request: Request) -> Response:
        await hanging.wait()
        return SAME

    candidate = Candidate(behave)
    async with mirroring(candidate, metrics=metrics) as mirrors:
        for failed in (1, 2, 3):
            mirrors.offer(call(), answer(), split(timeout_s=1))
            await asyncio.sleep(1.1)
            assert (len(candidate.requests), metrics.ends) == (1, [PairEnd.FAILED] * failed)
        hanging.set()
        mirrors.offer(call(), answer(), split(timeout_s=1))
        await asyncio.sleep(0.1)
        assert (len(candidate.requests), metrics.ends) == (2, [PairEnd.FAILED] * 3 + [PairEnd.SAME])


@virtual
async def test_copies_wait_while_calls_do():
    """And are dropped when that takes too long: load sheds them first."""
    busy, metrics = asyncio.Event(), FakeMirrorMetrics()
    busy.set()
    candidate = Candidate(SAME)
    async with mirroring(candidate, metrics=metrics, is_idle=lambda: not busy.is_set()) as mirrors:
        mirrors.offer(call(), answer(), split())
        await asyncio.sleep(1.5)
        mirrors.offer(call(), answer(), split())
        assert metrics.ends == []
        await asyncio.sleep(1.0)
        assert (metrics.ends, candidate.requests) == ([PairEnd.DROPPED], [])
        busy.clear()
        await asyncio.sleep(0.1)
        assert metrics.ends == [PairEnd.DROPPED, PairEnd.SAME]
        await asyncio.sleep(10)
        mirrors.offer(call(), answer(), split())
        await settle()
        assert metrics.ends == [PairEnd.DROPPED, PairEnd.SAME, PairEnd.SAME]


@virtual
async def test_the_newest_copy_finds_no_place_when_too_many_wait():
    """Those that wait are as good, and have waited."""
    metrics = FakeMirrorMetrics()
    async with mirroring(Candidate(SAME), metrics=metrics, max_waiting=3, is_idle=lambda: False) as mirrors:
        for _ in range(5):
            mirrors.offer(call(), answer(), split())
        assert (metrics.ends, repr(mirrors)) == (
            [PairEnd.DROPPED] * 2,
            "<Mirrors <CopyQueue 3/3 copies, 48/1048576 bytes>>",
        )


@virtual
async def test_copies_hold_no_more_memory_than_they_may():
    """While they run as well; what is too large for all of it is never copied."""
    metrics = FakeMirrorMetrics()
    one = {"x": np.zeros((1, 100), np.float32)}
    async with mirroring(Candidate(hangs), metrics=metrics, budget_bytes=1000) as mirrors:
        mirrors.offer(call(inputs=one), answer(), split())
        await settle()
        mirrors.offer(call(inputs=one), answer(), split())
        assert (metrics.ends, repr(mirrors)) == ([], "<Mirrors <CopyQueue 1/64 copies, 816/1000 bytes>>")
        mirrors.offer(call(inputs=one), answer(), split())
        mirrors.offer(call(inputs={"x": np.zeros(1000, np.float32)}), answer(), split())
        assert metrics.ends == [PairEnd.DROPPED] * 2
    assert repr(mirrors) == "<Mirrors <CopyQueue 0/64 copies, 0/1000 bytes>>"


@virtual
async def test_memory_is_given_back_however_a_copy_ends():
    """Answered, failed, dropped."""
    for behave in (SAME, OTHER, ModelFailed("x"), Draining("x"), RuntimeError("x")):
        async with mirroring(Candidate(behave)) as mirrors:
            mirrors.offer(call(), answer(), split())
            await settle()
            assert repr(mirrors) == "<Mirrors <CopyQueue 0/64 copies, 0/1048576 bytes>>"


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (1_000, 150, 250), (WHOLE, 2000, 2000)])
@virtual
async def test_a_share_of_the_calls_is_drawn(share: int, least: int, most: int):
    """Independent of what the calls are."""
    metrics = FakeMirrorMetrics()
    async with mirroring(Candidate(SAME), metrics=metrics, max_waiting=2000, seed=7) as mirrors:
        for _ in range(2000):
            mirrors.offer(call(), answer(), split(share=share))
        await asyncio.sleep(1)
    assert least <= len(metrics.ends) <= most


@virtual
async def test_what_the_baseline_did_not_answer_is_not_copied():
    """A fallback's answer, another version's; nor anything where nobody mirrors."""
    metrics = FakeMirrorMetrics()
    async with mirroring(Candidate(SAME), metrics=metrics) as mirrors:
        rescued = answer()
        rescued.fallback = Trigger.ERROR
        mirrors.offer(call(), rescued, split())
        mirrors.offer(call(), answer(version=CANDIDATE), split())
        mirrors.offer(call(), answer(), dataclasses.replace(split(), mirror=None))
        await settle()
    mirrors.offer(call(), answer(), split())
    assert metrics.ends == []


@virtual
async def test_counts_belong_to_a_segment():
    """A copy that began in an earlier one counts for nothing; what comes late does not bring the earlier one back."""
    release = asyncio.Event()

    async def slow(_request: Request) -> Response:
        await release.wait()
        return OTHER

    async with mirroring(Candidate(slow), at_once=2) as mirrors:
        mirrors.offer(call(), answer(), split(segment=3))
        await settle()
        mirrors.offer(call(), answer(), split(segment=4))
        await settle()
        release.set()
        mirrors.offer(call(), answer(), split(segment=4))
        mirrors.offer(call(), answer(), split(segment=3))
        await settle()
        two = PairWindow(pairs=2, disagreements=2, baseline_s=1.0, mirrored_s=0.5)
        assert [mirrors.pairs(ROLLOUT, segment) for segment in (3, 4, 5)] == [PairWindow(), two, PairWindow()]
        assert mirrors.pairs("another", 4) == PairWindow()


@virtual
async def test_copies_for_no_rollout_are_compared_and_only_metrics_know():
    """Somebody mirrors by hand."""
    metrics = FakeMirrorMetrics()
    async with mirroring(Candidate(OTHER), metrics=metrics) as mirrors:
        mirrors.offer(call(), answer(), split(rollout=""))
        await settle()
        assert metrics.ends == [PairEnd.DIFFERENT]
        assert (mirrors.pairs("", 0), mirrors.disagreements("")) == (PairWindow(), ())


@virtual
async def test_leaving_ends_copies_that_run_and_drops_those_that_wait():
    """Nothing is left behind, not even of a candidate that hangs."""
    candidate = Candidate(hangs)
    async with mirroring(candidate) as mirrors:
        for _ in range(5):
            mirrors.offer(call(), answer(), split())
        await settle()
    assert len(candidate.requests) == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert repr(mirrors) == "<Mirrors <CopyQueue 0/64 copies, 0/1048576 bytes>>"


async def breaking() -> None:
    async with mirroring(Candidate(hangs)) as mirrors:
        mirrors.offer(call(), answer(), split())
        await settle()
        raise ModelFailed("mine")


@virtual
async def test_an_error_of_the_block_comes_out_as_it_is():
    """The mirror does not hide it in a group."""
    with pytest.raises(ModelFailed, match="mine"):
        await breaking()


@virtual
async def test_a_broken_mirror_goes_on_later_and_fails_no_call(caplog: pytest.LogCaptureFixture):
    """Whatever breaks: what is counted, what says that there is time. The log hears of it once a second."""
    broken = True

    class Metrics(FakeMirrorMetrics):
        def mirrored(self, model: str, end: PairEnd) -> None:
            if broken:
                raise ValueError("broken metrics")
            super().mirrored(model, end)

    def is_idle() -> bool:
        if broken:
            raise OSError("broken gauge")
        return True

    metrics = Metrics()
    async with mirroring(Candidate(SAME), metrics=metrics, is_idle=is_idle, max_waiting=1) as mirrors:
        for _ in range(10):
            mirrors.offer(call(), answer(), split())
        await asyncio.sleep(0.5)
        broken = False
        await asyncio.sleep(1.0)
        mirrors.offer(call(), answer(), split())
        await asyncio.sleep(1.0)
    assert metrics.ends == [PairEnd.SAME] * 2
    assert len(caplog.records) == 1


@virtual
async def test_copies_let_others_in_between():
    """A candidate that never waits for anything does not keep the loop to itself."""
    async with mirroring(Candidate(SAME)) as mirrors:
        for _ in range(20):
            mirrors.offer(call(), answer(), split())
        turns = 0
        while mirrors.pairs(ROLLOUT, 0).pairs < 20:
            turns += 1
            await asyncio.sleep(0)
    assert turns >= 20


class CountingThreads(ThreadPoolExecutor):
    """Counts what it is given to do."""

    def __init__(self) -> None:
        super().__init__(1)
        self.given = 0

    def submit(self, *work: Any, **more: Any) -> Future[Any]:
        """Do it, and count it."""
        self.given += 1
        return super().submit(*work, **more)


@pytest.mark.parametrize(("numbers", "hops"), [(4, 0), (1 << 20, 1)])
def test_long_answers_are_compared_off_the_loop(numbers: int, hops: int):
    """Comparing a million numbers takes milliseconds; a few take less than the way to a thread."""

    async def compared() -> int:
        threads, metrics = CountingThreads(), FakeMirrorMetrics()
        asyncio.get_running_loop().set_default_executor(threads)
        outputs = {"y": np.zeros((1, numbers), np.float32)}
        candidate = Candidate(Response(outputs, CANDIDATE))
        async with mirroring(candidate, metrics=metrics, budget_bytes=1 << 24) as mirrors:
            mirrors.offer(call(), Response(outputs, STABLE), split())
            await asyncio.wait_for(metrics.some.wait(), 30)
        assert metrics.ends == [PairEnd.SAME]
        return threads.given

    assert asyncio.run(compared()) == hops


async def slow_candidate(_request: Request) -> Response:
    await asyncio.sleep(50)
    return OTHER


async def failing_candidate(_request: Request) -> Response:
    raise ModelFailed("x")


@pytest.mark.parametrize("behave", [slow_candidate, failing_candidate, hangs])
@virtual
async def test_a_bad_candidate_leaves_the_calls_alone(behave: Callable):
    """The same calls with and without a mirror: the same answers after the same time, to the bit."""

    async def primary(request: Request, think_s: float) -> Response:
        await asyncio.sleep(think_s)
        return answer(float(request.inputs["x"][0, 0]))

    async def traffic(mirrors) -> list[tuple[float, float]]:
        rng, loop, seen = random.Random(3), asyncio.get_running_loop(), []
        for number in range(200):
            think_s = rng.expovariate(20)
            began = loop.time()
            request = call(float(number))
            response = await primary(request, think_s)
            if mirrors is not None:
                mirrors.offer(request, response, split(timeout_s=40))
            seen.append((pytest.approx(loop.time() - began), float(response.outputs["y"][0, 0])))
        return seen

    alone = await traffic(None)
    async with mirroring(Candidate(behave)) as mirrors:
        assert await traffic(mirrors) == alone


async def test_a_call_that_is_not_drawn_costs_next_to_nothing():
    """Far below the microseconds of the rest of a call; of CPU time, because tests share their machine."""
    request, response, none_drawn = call(), answer(), split(share=0)
    async with mirroring(Candidate(SAME)) as mirrors:
        best_s = float("inf")
        for _ in range(5):
            began = time.process_time()
            for _ in range(10_000):
                mirrors.offer(request, response, none_drawn)
            best_s = min(best_s, (time.process_time() - began) / 10_000)
    assert best_s < 2e-6
