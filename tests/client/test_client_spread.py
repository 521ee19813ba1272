"""One client, several workers behind one port and several replicas: which of them gets what."""

import asyncio
import contextlib
import random

import numpy as np
import pytest

from serinus_client import NO_RETRIES, AsyncClient, RetryPolicy, Spread, Transport, Unavailable
from tests.client.fake_server import FakeServer, echo, loop_errors

X = np.array([[1.0, 2.0]], np.float32)
EAGER = Spread(first_pause_s=0.001, longest_pause_s=0.01, first_rest_s=0.05)
PATIENT = RetryPolicy(attempts=50, first_wait_s=0.01, budget_floor=100.0)


@contextlib.asynccontextmanager
async def workers(count):
    """So many servers on one port."""
    async with contextlib.AsyncExitStack() as block:
        first = await block.enter_async_context(FakeServer(slow, worker=f"1/{count}"))
        rest = [
            await block.enter_async_context(FakeServer(slow, port=first.port, worker=f"{number}/{count}"))
            for number in range(2, count + 1)
        ]
        yield [first, *rest]


async def slow(request):
    """Answer as a model would that computes for 10 ms a row."""
    response = await echo(request)
    response.compute_us, response.batch_rows = 10_000, 1
    return response


def client(target, **options):
    return AsyncClient(target, rng=random.Random(1), **({"spread": EAGER, "retry": NO_RETRIES} | options))


async def until(true):
    """Wait for what other tasks bring about."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - the servers and the client under test tell nobody
            await asyncio.sleep(0.002)


def reached(open_client):
    """The workers that streams of the client reach, of all replicas."""
    return sorted(
        stream.worker
        for replica in open_client._session._fleet._replicas.values()
        for stream in replica.streams
        if stream.is_proven
    )


async def test_a_client_finds_every_worker_and_keeps_one_stream_to_each():
    """Connections that meet a worker twice are closed again."""
    async with workers(3) as servers, client(servers[0].target) as caller:
        await caller.predict("m", {"x": X})
        await until(lambda: reached(caller) == [(1, 3), (2, 3), (3, 3)])
        connections = caller._session._fleet._replicas
        (replica,) = connections.values()
        assert len(replica.connections) == 3


async def test_slow_calls_are_spread_evenly_over_the_workers():
    """Each keeps a worker busy, so that a message of its own costs little."""
    async with workers(2) as servers, client(servers[0].target) as caller:
        for _ in range(30):  # until the client knows that they are slow
            await caller.predict("m", {"x": X})
        await until(lambda: len(reached(caller)) == 2)
        gate = asyncio.Event()

        async def held(request):
            await gate.wait()
            return await slow(request)

        for server in servers:
            server.answer = held
        before = [len(server.calls) for server in servers]
        tasks = [asyncio.ensure_future(caller.predict("m", {"x": X})) for _ in range(16)]
        await until(lambda: sum(len(server.calls) for server in servers) == sum(before) + 16)
        assert [len(server.calls) - count for server, count in zip(servers, before, strict=True)] == [8, 8]
        gate.set()
        await asyncio.gather(*tasks)


async def test_quick_calls_stay_together_while_they_are_few():
    """A message costs as much as many of them."""
    async with workers(2) as servers:
        for server in servers:
            server.answer = echo_quickly
        async with client(servers[0].target) as caller:
            await caller.predict("m", {"x": X})
            await until(lambda: len(reached(caller)) == 2)
            for _ in range(20):
                await asyncio.gather(*(caller.predict("m", {"x": X}) for _ in range(8)))
        assert min(len(server.calls) for server in servers) == 0


async def echo_quickly(request):
    response = await echo(request)
    response.compute_us, response.batch_rows = 20, 1
    return response


async def test_a_worker_that_goes_away_costs_nobody_a_call_that_may_be_repeated():
    """The others carry on, and whoever takes its place is found."""
    async with workers(2) as servers, client(servers[0].target, retry=PATIENT) as caller:
        await caller.predict("m", {"x": X})
        await until(lambda: len(reached(caller)) == 2)
        calls = [asyncio.ensure_future(caller.predict("m", {"x": X})) for _ in range(50)]
        await servers[1].stop()
        await asyncio.gather(*calls)
        await until(lambda: reached(caller) == [(1, 2)])
        async with FakeServer(slow, port=servers[0].port, worker="2/2"):
            await until(lambda: len(reached(caller)) == 2)


async def test_old_streams_are_replaced_by_new_ones_without_losing_a_call():
    """On new connections, so that a load balancer may choose anew."""
    spread = Spread(renew_s=0.02, first_pause_s=0.001, longest_pause_s=0.01)
    async with workers(2) as servers, client(servers[0].target, spread=spread) as caller:
        await caller.predict("m", {"x": X})
        for _ in range(100):
            await asyncio.gather(*(caller.predict("m", {"x": X}) for _ in range(4)))
            await asyncio.sleep(0.001)
        assert sum(server.streams for server in servers) > 4
        await until(lambda: len(reached(caller)) == 2)


@pytest.mark.parametrize("joined", [True, False])
async def test_a_target_may_name_several_replicas(joined):
    """Each has a stream, and calls that are slow go to both."""
    async with FakeServer(slow, worker="1/1") as one, FakeServer(slow, worker="1/1") as other:
        target = f"{one.target}, {other.target}" if joined else [one.target, other.target]
        async with client(target) as caller:
            for _ in range(20):
                await caller.predict("m", {"x": X})
            await until(lambda: len(reached(caller)) == 2)
            for _ in range(10):
                await asyncio.gather(*(caller.predict("m", {"x": X}) for _ in range(8)))
    assert min(len(one.calls), len(other.calls)) >= 30


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_replica_that_is_not_there_is_no_reason_to_fail(transport):
    """Whichever is met first; calls that never left go elsewhere, others are repeated within their budget."""
    async with FakeServer(worker="1/1") as gone:
        pass
    async with FakeServer(worker="1/1") as there:
        for target in (f"{gone.target},{there.target}", f"{there.target},{gone.target}"):
            async with client(target, transport=transport, retry=PATIENT) as caller:
                await asyncio.gather(*(caller.predict("m", {"x": X}) for _ in range(20)))


async def test_replicas_that_are_all_gone_fail_each_call_at_once():
    """With one outcome each, as with a single server."""
    async with (
        FakeServer(worker="1/1") as one,
        FakeServer(worker="1/1") as other,
        client([one.target, other.target]) as caller,
    ):
        await caller.model_info("m")
        await one.stop()
        await other.stop()
        outcomes = await asyncio.gather(*(caller.predict("m", {"x": X}) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5


async def test_a_name_stands_for_all_of_its_addresses():
    """It is resolved when the first call needs it."""
    async with FakeServer(worker="1/1") as server, client(f"dns:///localhost:{server.port}", retry=PATIENT) as caller:
        await caller.predict("m", {"x": X})
        await caller.predict("m", {"x": X}, transport=Transport.UNARY)
    assert (len(server.calls), len(server.unary)) == (1, 1)


async def test_a_name_that_cannot_be_resolved_is_unavailable():
    """The error says which."""
    async with client("dns:///no-such-host.invalid:1") as caller:
        with pytest.raises(Unavailable, match=r"NAME_NOT_RESOLVED: cannot resolve 'no-such-host\.invalid:1'"):
            await caller.model_info("m")


async def test_single_calls_take_turns_among_the_replicas():
    """What asks or writes stays with one, so that it reads what it wrote."""
    async with (
        FakeServer(worker="1/1") as one,
        FakeServer(worker="1/1") as other,
        client([one.target, other.target], transport=Transport.UNARY) as caller,
    ):
        for _ in range(10):
            await caller.predict("m", {"x": X})
        for _ in range(4):
            await caller.model_info("m")
    assert (len(one.unary), len(other.unary)) == (5, 5)
    assert sorted((len(one.info_requests), len(other.info_requests))) == [0, 5]


async def test_closing_while_workers_are_looked_for_leaves_nothing_behind():
    """Neither a task nor a connection."""
    before = asyncio.all_tasks()
    with loop_errors(asyncio.get_running_loop()) as errors:
        async with FakeServer(worker="1/64") as server, client(server.target) as caller:
            await caller.predict("m", {"x": X})
            await until(lambda: server.streams > 3)
        leftovers = {task for task in asyncio.all_tasks() - before if "serinus_client" in repr(task.get_coro())}
    assert (leftovers, errors) == (set(), [])


async def test_a_client_keeps_to_the_credits_of_a_stream():
    """What it may not send yet waits with it, and can expire there unseen."""
    opened, gate, most = [], asyncio.Event(), 0

    async def count(request):
        nonlocal most
        opened.append(request)
        most = max(most, len(opened))
        await gate.wait()
        opened.pop()
        return await echo(request)

    async with FakeServer(worker="1/1") as server, client(server.target) as caller:
        server.credits = 10
        await caller.predict("m", {"x": X})
        server.answer = count
        tasks = [asyncio.ensure_future(caller.predict("m", {"x": X})) for _ in range(40)]
        await until(lambda: len(opened) == 8)  # one model leaves a fifth to others
        late = asyncio.ensure_future(caller.predict("m", {"x": X}, timeout_s=0.02))
        with pytest.raises(TimeoutError):
            await late
        gate.set()
        await asyncio.gather(*tasks)
    assert most == 8
    assert len(server.calls) == 41
