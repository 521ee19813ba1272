"""What becomes of all workers: at the start, at deaths, at restarts in turn, and at the end."""

import asyncio
import contextlib

import pytest

from serinus.workers.facts import Company, Failure, WorkerFacts, WorkerState
from serinus.workers.place import PlaceRules
from serinus.workers.restarts import RestartPolicy
from serinus.workers.supervisor import Supervisor, WorkersRefused
from tests.support.virtual_loop import virtual
from tests.workers.fake_workers import FakeWorkers

RULES = PlaceRules(ready_s=60, silent_s=30, restarts=RestartPolicy(first_wait_s=1, longest_wait_s=8))
PATIENCE_S = 35


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def supervised(count: int, handlers=None):
    """A supervisor, and the workers that it starts; the clock stands at 0."""
    workers = FakeWorkers()
    supervisor = Supervisor(
        count=count, begin=workers, rules=RULES, patience_s=PATIENCE_S, handlers=handlers or {}, clock=now
    )
    async with supervisor:
        yield supervisor, workers


@contextlib.asynccontextmanager
async def serving(count: int):
    """The same, and all of them serve."""
    async with supervised(count) as (supervisor, workers):
        for number in range(1, count + 1):
            (await workers.number(number)).serve(models=[])
        await supervisor.started()
        yield supervisor, workers


def states(supervisor: Supervisor) -> list[tuple[int | None, WorkerState]]:
    return [(facts.pid, facts.state) for facts in supervisor.workers()]


@virtual
async def test_all_places_are_filled_at_once():
    """Whoever starts the server waits for the slowest, not for the sum."""
    async with supervised(3) as (supervisor, workers):
        started = asyncio.create_task(supervisor.started())
        await workers.number(3)
        assert now() == 0
        for worker, model in zip(workers.begun, "abc", strict=True):
            assert not started.done()
            worker.serve(model=model)
        assert await started == [{"model": "a"}, {"model": "b"}, {"model": "c"}]
        assert supervisor.workers() == [
            WorkerFacts(index, 99 + index, WorkerState.READY, 0.0, 0, "") for index in (1, 2, 3)
        ]


@virtual
async def test_what_no_worker_can_serve_is_said_in_its_words():
    """A model that was named and cannot be loaded."""
    async with supervised(2) as (supervisor, workers):
        worker = await workers.number(2)
        worker.refused = "model 'x': no"
        worker.end("exit 1")
        with pytest.raises(WorkersRefused, match=r"^model 'x': no$"):
            await supervisor.started()
    assert workers.begun[0].told == ["kill"]


@virtual
async def test_a_worker_that_dies_while_it_starts_is_started_again():
    """It may have been killed for memory; each time a little later."""
    async with supervised(1) as (supervisor, workers):
        starts = []
        for number in (1, 2, 3):
            worker = await workers.number(number)
            starts.append(now())
            worker.end("signal 9")
        (await workers.number(4)).serve()
        await supervisor.started()
        assert [*starts, now()] == [0, 1, 3, 7]
        assert supervisor.workers() == [WorkerFacts(1, 103, WorkerState.READY, 7, 3, "signal 9")]


@virtual
async def test_a_worker_that_is_never_ready_is_killed_and_started_again():
    """Its load hangs."""
    async with supervised(1) as (_, workers):
        hung = await workers.number(1)
        await hung.gone.wait()
        assert (now(), hung.told) == (60, ["kill"])
        await workers.number(2)
        assert now() == 61


@virtual
async def test_a_process_that_cannot_be_started_now_is_tried_again():
    """No memory, or too many processes."""
    async with supervised(1) as (supervisor, workers):
        workers.failures = [OSError(11, "Resource temporarily unavailable")]
        (await workers.number(1)).serve()
        await supervisor.started()
        assert now() == 1


@virtual
async def test_a_death_empties_one_place_and_no_other():
    """The others go on; the facts say what happened."""
    async with serving(2) as (supervisor, workers):
        workers.begun[0].end("signal 11")
        third = await workers.number(3)
        assert (third.index, now()) == (1, 1)
        assert states(supervisor) == [(102, WorkerState.STARTING), (101, WorkerState.READY)]
        assert supervisor.workers()[0].last_end == "signal 11"


@virtual
async def test_a_refusal_after_the_start_is_tried_again():
    """A file that is gone for a while; the others serve meanwhile."""
    async with serving(1) as (supervisor, workers):
        workers.begun[0].end("signal 9")
        second = await workers.number(2)
        second.refused = "no such file"
        second.end("exit 1")
        (await workers.number(3)).serve()
        await asyncio.sleep(0)
        assert [facts.restarts for facts in supervisor.workers()] == [2]


@virtual
async def test_a_rolling_restart_replaces_one_after_the_other():
    """Never fewer than all are ready: each leaves only when another serves in its place."""
    async with serving(2) as (supervisor, workers):
        supervisor.roll()
        third = await workers.number(3)
        assert (third.index, workers.begun[0].told) == (1, [])
        third.serve()
        await until(lambda: workers.begun[0].told)
        assert workers.begun[0].told == [(PATIENCE_S, Company.STAYS)]
        assert states(supervisor) == [(102, WorkerState.READY), (101, WorkerState.READY)]
        assert len(workers.begun) == 3
        workers.begun[0].end("exit 0")
        fourth = await workers.number(4)
        assert fourth.index == 2
        fourth.serve()
        await until(lambda: workers.begun[1].told)
        workers.begun[1].end("exit 0")
        assert states(supervisor) == [(102, WorkerState.READY), (103, WorkerState.READY)]


@virtual
async def test_a_replacement_that_cannot_serve_ends_the_rolling_restart():
    """A broken file: those that serve go on."""
    async with serving(2) as (supervisor, workers):
        supervisor.roll()
        third = await workers.number(3)
        third.refused = "model 'x': no"
        third.end("exit 1")
        await asyncio.sleep(100)
        assert states(supervisor) == [(100, WorkerState.READY), (101, WorkerState.READY)]
        assert [worker.told for worker in workers.begun] == [[], [], []]


@virtual
async def test_a_rolling_restart_that_is_asked_for_twice_meanwhile_is_done_once_more():
    """What was changed after the first began counts."""
    async with serving(1) as (supervisor, workers):
        supervisor.roll()
        second = await workers.number(2)
        supervisor.roll()
        supervisor.roll()
        second.serve()
        await until(lambda: workers.begun[0].told)
        workers.begun[0].end("exit 0")
        (await workers.number(3)).serve()
        await until(lambda: second.told)
        second.end("exit 0")
        await asyncio.sleep(100)
        assert len(workers.begun) == 3


@virtual
async def test_who_dies_while_another_starts_in_its_place_is_followed_by_it():
    """The place is not filled twice."""
    async with serving(1) as (supervisor, workers):
        supervisor.roll()
        second = await workers.number(2)
        workers.begun[0].end("signal 9")
        await asyncio.sleep(30)
        second.serve()
        await asyncio.sleep(30)
        assert states(supervisor) == [(101, WorkerState.READY)]
        assert len(workers.begun) == 2


@virtual
async def test_a_stuck_worker_is_followed_first_and_gets_little_time_then():
    """Its other calls may still be answered; the run without end is not waited for."""
    async with serving(2) as (supervisor, workers):
        first = workers.begun[0]
        assert await first.handlers["stuck"]({"why": "a run of x"}) == {}
        third = await workers.number(3)
        assert (third.index, first.told) == (1, [])
        third.serve()
        await until(lambda: first.told)
        assert first.told == [(1.0, Company.STAYS)]
        first.end("signal 9")
        assert states(supervisor) == [(102, WorkerState.READY), (101, WorkerState.READY)]


@virtual
async def test_a_worker_whose_event_loop_stands_is_replaced():
    """It cannot say so itself, nor hear that it is to leave; the other one is left alone."""
    async with serving(2) as (supervisor, workers):
        first, second = workers.begun
        await asyncio.sleep(100)
        del first.answers["alive"]
        third = await workers.number(3)
        assert 30 <= now() - 100 <= 38
        assert (third.index, first.told) == (1, [])
        third.serve()
        await until(lambda: first.told)
        assert (first.told, second.told) == ([(0.0, Company.STAYS)], [])
        first.end("signal 9")
        await asyncio.sleep(100)
        assert states(supervisor) == [(102, WorkerState.READY), (101, WorkerState.READY)]


@virtual
async def test_a_worker_that_is_told_to_leave_by_a_client_tells_the_supervisor():
    """`serinus drain` means the whole server."""
    async with serving(2) as (supervisor, workers):
        assert not supervisor.told_to_leave.is_set()
        await workers.begun[1].handlers["leave"]({})
        assert supervisor.told_to_leave.is_set()


@virtual
async def test_drained_workers_leave_together_and_nobody_follows():
    """Whoever starts at that moment leaves as well."""
    async with serving(2) as (supervisor, workers):
        supervisor.roll()
        third = await workers.number(3)
        draining = asyncio.create_task(supervisor.drain())
        await until(lambda: third.told)
        assert [worker.told for worker in workers.begun] == [[(PATIENCE_S, Company.LEAVES)]] * 3
        assert {state for _, state in states(supervisor)} == {WorkerState.LEAVING}
        for worker in workers.begun:
            worker.end("exit 0")
        await draining
        await asyncio.sleep(100)
        assert len(workers.begun) == 3


@virtual
async def test_leaving_the_block_kills_whoever_is_left():
    """No process outlives its supervisor."""
    async with serving(2) as (_, workers):
        pass
    assert [worker.told for worker in workers.begun] == [["kill"], ["kill"]]


@virtual
async def test_what_ends_the_block_comes_out_as_it_is():
    """Not in a group of errors."""
    with pytest.raises(KeyError):
        async with supervised(1):
            raise KeyError


@virtual
async def test_all_are_asked_and_who_is_silent_harms_nobody():
    """Metrics of those that answer."""
    async with serving(3) as (supervisor, workers):
        for worker in workers.begun[:2]:
            worker.answers["metrics"] = {"pid": worker.pid}
        workers.begun[0].end("signal 9")
        await asyncio.sleep(0)
        answers = await supervisor.ask_all("metrics", {"x": 1}, timeout_s=2)
        assert answers == {
            1: Failure("worker 1 is not ready"),
            2: {"pid": 101, "x": 1},
            3: Failure("worker 3 has not answered within 2 s"),
        }


@virtual
async def test_a_workers_question_is_answered_with_its_place():
    """Settings differ from place to place one day."""

    async def settings(index: int, body: dict) -> dict:
        return {"index": index, **body}

    async with supervised(2, {"settings": settings}) as (_, workers):
        second = await workers.number(2)
        assert await second.handlers["settings"]({"a": 1}) == {"index": 2, "a": 1}


async def until(condition) -> None:
    """Wait for what follows without time passing."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it has not come about")
