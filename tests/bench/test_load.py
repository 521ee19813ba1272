"""Whether loops keep to their schedules, and what they note; on a clock that jumps."""

import asyncio

import numpy as np
import pytest

from serinus.bench.calls import NOT_SENT, UNANSWERED, Outcome
from serinus.bench.load import closed_loop, open_loop
from serinus.bench.server_use import Use
from serinus_client import Overloaded
from tests.support.virtual_loop import virtual


class Server:
    """One call at a time, each for `run_s`; from `stall[0]` to `stall[1]` it does nothing."""

    def __init__(self, run_s=0.1, stall=(0.0, 0.0)) -> None:
        self.run_s, self.stall = run_s, stall
        self.lock = asyncio.Lock()
        self.seen: list[tuple[int, float]] = []

    async def __call__(self, number, timeout_s, /):
        self.seen.append((number, timeout_s))
        async with asyncio.timeout(timeout_s), self.lock:
            now = asyncio.get_running_loop().time()
            if self.stall[0] <= now < self.stall[1]:
                await asyncio.sleep(self.stall[1] - now)
            await asyncio.sleep(self.run_s)
        return 3


class CountedUse:
    """Half a second of processor time between two looks."""

    looks = 0

    def use(self):
        self.looks += 1
        return Use(self.looks / 2, 1000 * self.looks)


def clock():
    return asyncio.get_running_loop().time


@virtual
async def test_calls_are_sent_when_due_and_count_from_then():
    """Though the server is slower than they come: the last of four waits for all before it."""
    server = Server(run_s=0.4)
    run = await open_loop(server, np.array([0.0, 0.1, 0.2, 0.3]), duration_s=2.0, clock=clock())
    assert run.notes.due_s.tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert run.notes.sent_s.tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert run.notes.latency_s.tolist() == pytest.approx([0.4, 0.7, 1.0, 1.3])
    assert [number for number, _ in server.seen] == [0, 1, 2, 3]
    assert (run.calls, run.answered, run.void) == (4, 4, "")


@virtual
async def test_a_stall_counts_for_every_call_that_was_due_in_it():
    """A second without service, a hundred calls a second: half of them waited half a second and more."""
    times = np.arange(300) / 100
    run = await open_loop(Server(run_s=0.0, stall=(1.0, 2.0)), times, duration_s=3.0, clock=clock())
    assert run.latency_s(99) == pytest.approx(0.98, abs=0.02)
    assert (run.latencies_s > 0.5).sum() == pytest.approx(50, abs=2)


@virtual
async def test_callers_who_wait_see_one_slow_call_in_the_same_stall():
    """Which is why a closed loop says nothing about stalls."""
    run = await closed_loop(Server(run_s=0.01, stall=(1.0, 2.0)), callers=1, duration_s=3.0, clock=clock())
    assert (run.latencies_s > 0.5).sum() == 1
    assert run.latency_s(99) == pytest.approx(0.01)


@virtual
async def test_the_deadline_counts_from_when_a_call_was_due():
    """What remains of it is what the call gets."""

    async def slow_start(number, timeout_s, /):
        seen.append(timeout_s)
        if not number:
            jump.append(0.3)
        return 0

    seen: list[float] = []
    jump = [0.0]
    loop_time = clock()
    await open_loop(
        slow_start, np.array([0.0, 0.1]), duration_s=1.0, deadline_s=0.5, clock=lambda: loop_time() + jump[-1]
    )
    assert seen == pytest.approx([0.5, 0.2])  # due at 0.1, sent at 0.4


@virtual
async def test_calls_that_end_without_an_answer_are_counted_by_what_ended_them():
    """By status code and the server's reason."""

    async def refuse(number, _timeout_s, /):
        if number % 2:
            raise Overloaded("7 calls wait", reason="QUEUE_FULL")
        return 1

    run = await open_loop(refuse, np.arange(5) / 10, duration_s=1.0, clock=clock())
    assert run.outcomes == {Outcome("OK"): 3, Outcome("RESOURCE_EXHAUSTED", "QUEUE_FULL"): 2}
    assert (run.failed, len(run.reject_latencies_s), len(run.latencies_s)) == (2, 2, 3)


@virtual
async def test_more_calls_than_may_be_open_are_not_sent_and_void_the_run():
    """A server that answers nothing should not fill the generator's memory."""
    run = await open_loop(Server(run_s=10.0), np.arange(5) / 10, duration_s=1.0, most_open=2, clock=clock())
    assert run.outcomes == {NOT_SENT: 3, Outcome("OK"): 2}
    assert run.void.startswith("3 calls were not sent")


@virtual
async def test_a_call_that_ignores_its_time_is_given_up():
    """The run ends all the same, and the call with it."""
    left = asyncio.Event()

    async def deaf(_number, _timeout_s, /):
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            left.set()

    run = await open_loop(deaf, np.array([0.0]), duration_s=1.0, deadline_s=0.5, clock=clock())
    assert run.outcomes == {UNANSWERED: 1}
    assert left.is_set()


@virtual
async def test_a_cancelled_run_leaves_no_call_behind():
    """Whoever ends the program ends its calls."""
    server = Server(run_s=100.0)
    run = asyncio.create_task(open_loop(server, np.arange(3) / 10, duration_s=1.0, clock=clock()))
    await asyncio.sleep(0.5)
    run.cancel()
    await asyncio.wait((run,))
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_a_generator_that_is_late_says_that_its_run_is_void():
    """Here because its own event loop is blocked."""
    late = [0.0]
    loop_time = clock()

    async def block(_number, _timeout_s, /):
        late[0] += 0.05
        return 0

    run = await open_loop(block, np.array([0.0, 0.01, 0.02]), duration_s=1.0, clock=lambda: loop_time() + late[0])
    assert run.void.startswith("the generator sent calls up to ")
    assert run.lateness_s > 0.05


@virtual
async def test_the_warm_up_counts_for_nothing():
    """Neither its calls nor what the server used for them."""
    meter = CountedUse()
    run = await open_loop(
        Server(run_s=0.0), np.arange(20) / 10, duration_s=2.0, warmup_s=1.0, meter=meter, clock=clock()
    )
    assert (run.calls, run.seconds, run.ended) == (10, 1.0, 10)
    assert run.server == Use(0.5, 2000)
    assert run.server_cpu_us == pytest.approx(50_000)


@virtual
async def test_an_event_ends_the_run_early():
    """For load that lasts as long as something else does."""
    until = asyncio.Event()
    asyncio.get_running_loop().call_later(0.55, until.set)
    run = await open_loop(Server(run_s=0.0), np.arange(1000) / 10, duration_s=100.0, until=until, clock=clock())
    assert (run.calls, run.answered) == (6, 6)


@virtual
async def test_callers_make_as_many_calls_as_they_are_told():
    """After a warm-up of a twentieth, at least one for each caller."""
    run = await closed_loop(Server(run_s=0.1), callers=1, calls=40, clock=clock())
    assert run.begin_s == pytest.approx(0.2)
    assert run.ended == pytest.approx(41, abs=1)
    assert run.throughput_per_s == pytest.approx(10, rel=0.05)
    assert run.void == ""


@virtual
async def test_callers_call_for_as_long_as_they_are_told():
    """Three callers of a server that serves one at a time."""
    run = await closed_loop(Server(run_s=0.1), callers=3, duration_s=3.0, warmup_s=1.0, clock=clock())
    assert run.seconds == pytest.approx(3.0, abs=0.11)
    assert run.throughput_per_s == pytest.approx(10, rel=0.05)
    assert run.latency_s(50) == pytest.approx(0.3)
    assert set(run.batch_rows.tolist()) == {3}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [({"callers": 0, "calls": 1}, "callers: expected at least 1"), ({"callers": 1}, "calls or duration_s: expected")],
)
@virtual
async def test_a_loop_without_callers_or_end_is_refused(given, sentence):
    """It would do nothing, or for ever."""
    with pytest.raises(ValueError, match=sentence):
        await closed_loop(Server(), **given)


@virtual
async def test_a_warm_up_as_long_as_the_run_is_refused():
    """Nothing would be left to count."""
    with pytest.raises(ValueError, match=r"warmup_s: expected 0 to less than 1\.0, got 1\.0"):
        await open_loop(Server(), np.array([0.0]), duration_s=1.0, warmup_s=1.0)
