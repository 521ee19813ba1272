"""Frames: calls share messages, and nothing else."""

import asyncio

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus_api.v1 import predict_pb2 as pb
from serinus_client import NO_RETRIES, AsyncClient, RetryPolicy, ServerFault, Transport, Unavailable
from tests.client.fake_server import FakeServer, RefusedError, echo, loop_errors

AT_ONCE = RetryPolicy(first_wait_s=0.0)


def row(number):
    return np.array([[number, -number]], np.float32)


@pytest.fixture
async def server():
    async with FakeServer() as running:
        yield running


class Gates:
    """Holds each call, by its request id, until a test opens its gate."""

    def __init__(self):
        self.arrived = asyncio.Queue()
        self._gates = {}
        self._arrivals = {}

    def gate(self, request_id):
        return self._gates.setdefault(request_id, asyncio.get_running_loop().create_future())

    def arrival(self, request_id):
        return self._arrivals.setdefault(request_id, asyncio.Event())

    def open(self, request_id):
        self.gate(request_id).set_result(None)

    def refuse(self, request_id, code):
        self.gate(request_id).set_result(RefusedError(code, "REFUSED", request_id))

    async def answer(self, request):
        self.arrived.put_nowait(request.request_id)
        self.arrival(request.request_id).set()
        # A call that is cancelled, or sent again on another stream, leaves the gate as it is.
        await asyncio.wait({self.gate(request.request_id)})
        if (refused := self.gate(request.request_id).result()) is not None:
            raise refused
        return await echo(request)

    async def wait_for(self, count):
        return [await self.arrived.get() for _ in range(count)]


@pytest.fixture
def gates(server):
    gates = Gates()
    server.answer = gates.answer
    return gates


def start(client, number):
    return asyncio.ensure_future(client.predict("m", {"x": row(number)}, request_id=str(number)))


async def check_answer(task, number):
    np.testing.assert_array_equal((await task)["y"], row(number))


async def test_calls_that_wait_together_travel_together(server):
    """Far fewer messages than calls; no answer is another caller's."""
    async with AsyncClient(server.target) as client:
        await client.model_info("m")
        await asyncio.gather(*(check_answer(start(client, number), number) for number in range(300)))
    assert len(server.calls) == 300
    assert len(server.frames) < 100
    assert server.streams == 1
    ids = [call.id for frame in server.frames for call in frame.calls]
    assert ids == list(range(1, 301))


async def test_replies_may_come_in_any_order(server, gates):
    """A slow call holds back none of those behind it."""
    async with AsyncClient(server.target) as client:
        tasks = [start(client, number) for number in range(4)]
        assert sorted(await gates.wait_for(4)) == ["0", "1", "2", "3"]
        for number in (3, 1, 2, 0):
            gates.open(str(number))
            await check_answer(tasks[number], number)


async def test_a_cancelled_call_is_cancelled_on_the_server_and_nowhere_else(server, gates):
    """Its neighbours in the frame answer."""
    async with AsyncClient(server.target) as client:
        tasks = [start(client, number) for number in range(3)]
        await gates.wait_for(3)
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert await server.cancelled.get() == 2
        for number in (0, 2):
            gates.open(str(number))
            await check_answer(tasks[number], number)
    assert [list(frame.cancel) for frame in server.frames if frame.cancel] == [[2]]


async def test_a_call_cancelled_before_it_was_sent_never_travels(server):
    """There is nothing to tell the server."""
    async with AsyncClient(server.target) as client:
        await client.predict("m", {"x": row(0)})
        task = start(client, 1)
        await asyncio.sleep(0)  # the call is queued; the writer has not run
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await check_answer(start(client, 2), 2)
    assert [request.request_id for request in server.calls] == ["", "2"]
    assert not any(frame.cancel for frame in server.frames)


async def test_one_refusal_is_one_callers(server, gates):
    """Each call has its own status."""
    async with AsyncClient(server.target, retry=NO_RETRIES) as client:
        tasks = [start(client, number) for number in range(3)]
        await gates.wait_for(3)
        gates.refuse("1", grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(Unavailable, match="REFUSED: 1"):
            await tasks[1]
        for number in (0, 2):
            gates.open(str(number))
            await check_answer(tasks[number], number)
    assert server.streams == 1


@pytest.mark.parametrize("ending", ["break_streams", "end_streams"])
async def test_a_lost_stream_fails_its_calls_and_the_next_call_begins_another(server, gates, ending):
    """Without retries the callers see it."""
    async with AsyncClient(server.target, retry=NO_RETRIES) as client:
        tasks = [start(client, number) for number in range(3)]
        await gates.wait_for(3)
        getattr(server, ending)()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in errors] == [Unavailable] * 3
        assert len({id(error) for error in errors}) == 3
        server.answer = echo
        await check_answer(start(client, 4), 4)
    assert server.streams == 2


async def test_a_lost_stream_is_not_noticed_by_callers_that_may_retry(server, gates):
    """Predictions can be repeated; each answer is still its caller's."""
    async with AsyncClient(server.target, retry=AT_ONCE) as client:
        tasks = [start(client, number) for number in range(5)]
        await gates.wait_for(5)
        server.answer = echo
        server.break_streams()
        for number, task in enumerate(tasks):
            await check_answer(task, number)
    assert server.streams == 2


async def test_a_server_that_comes_back_is_found_again():
    """On the same port, by the same client."""
    async with FakeServer() as first:
        client = AsyncClient(first.target, retry=RetryPolicy(attempts=50, first_wait_s=0.05, budget_floor=100.0))
        async with client:
            await check_answer(start(client, 1), 1)
            await first.stop()
            task = start(client, 2)
            async with FakeServer(port=first.port) as second:
                await check_answer(task, 2)
                assert [request.request_id for request in second.calls] == ["2"]


async def test_a_draining_server_gets_no_further_calls_on_its_stream(server, gates):
    """What is open there ends there; the refused call and the next ones go to a new stream."""
    async with AsyncClient(server.target, retry=AT_ONCE) as client:
        slow = start(client, 0)
        await gates.wait_for(1)
        drains = iter([True, False, False])

        async def drain_once(request):
            if next(drains):
                raise RefusedError(grpc.StatusCode.UNAVAILABLE, "DRAINING")
            return await echo(request)

        server.answer = drain_once
        await check_answer(start(client, 1), 1)
        await check_answer(start(client, 2), 2)
        assert server.streams == 2
        gates.open("0")
        await check_answer(slow, 0)


async def test_a_frame_that_cannot_be_read_ends_the_stream_not_the_client(server):
    """The server is at fault; the next call begins another stream."""
    async with AsyncClient(server.target) as client:
        server.raw_reply = b"\xff\xff"
        with pytest.raises(ServerFault, match="MALFORMED_RESPONSE: the server sent a frame that cannot be read"):
            await client.predict("m", {"x": row(1)})
        server.raw_reply = None
        await check_answer(start(client, 2), 2)
    assert server.streams == 2


async def test_a_reply_to_nobody_is_ignored(server, gates):
    """An id that no open call has disturbs no call that is open."""
    async with AsyncClient(server.target) as client:
        server.raw_reply = pb.ReplyFrame(replies=[pb.Reply(id=99), pb.Reply(id=77)]).SerializeToString()
        mute = start(client, 1)
        gates.open("1")
        await gates.wait_for(1)
        server.raw_reply, server.answer = None, echo
        await check_answer(start(client, 2), 2)
        server.break_streams()
        await check_answer(mute, 1)


@pytest.mark.parametrize("calls", [0, 3])
async def test_closing_ends_open_calls_and_leaves_nothing_behind(server, gates, calls):
    """No task destroyed, no exception unretrieved, nothing running."""
    before = asyncio.all_tasks()
    with loop_errors(asyncio.get_running_loop()) as errors:
        async with AsyncClient(server.target) as client:
            await client.model_info("m")
            tasks = [start(client, number) for number in range(calls)]
            await gates.wait_for(calls)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["CLIENT_CLOSED: the client was closed"] * calls
        assert client._session is None
    assert errors == []
    leftovers = {task for task in asyncio.all_tasks() - before if "serinus_client" in repr(task.get_coro())}
    assert leftovers == set()


async def test_a_unary_call_that_closing_cuts_short_is_unavailable(server, gates):
    """Grpc's own CancelledError does not reach a caller whom nobody cancelled."""
    async with AsyncClient(server.target, transport=Transport.UNARY) as client:
        task = start(client, 1)
        await gates.wait_for(1)
    with pytest.raises(Unavailable, match="CLIENT_CLOSED"):
        await task


class RandomCalls:
    """Eight calls that are begun and ended in any order, and what each must come to.

    Attributes:
        tasks: The calls begun, by number.
        fates: "cancel" or "refuse" for those that must not answer.
    """

    def __init__(self, server, gates, client):
        self.server = server
        self.gates = gates
        self.client = client
        self.tasks = {}
        self.fates = {}

    async def start(self, number):
        if number not in self.tasks:
            self.tasks[number] = start(self.client, number)

    async def arrive(self, number):
        """Wait until the server has the call, if it will ever have it."""
        if number in self.tasks and number not in self.fates:
            await asyncio.wait_for(self.gates.arrival(str(number)).wait(), 20.0)

    async def answer(self, number):
        if not self.gates.gate(str(number)).done():
            self.gates.open(str(number))

    async def refuse(self, number):
        if not self.gates.gate(str(number)).done() and number not in self.fates:
            self.fates[number] = "refuse"
            self.gates.refuse(str(number), grpc.StatusCode.INTERNAL)

    async def cancel(self, number):
        if number in self.tasks and self.tasks[number].cancel():
            self.fates[number] = "cancel"

    async def lose_the_stream(self, _):
        self.server.break_streams()

    async def check(self):
        for number in self.tasks:
            await self.answer(number)
        if self.tasks:
            _, hanging = await asyncio.wait(self.tasks.values(), timeout=20.0)
            assert hanging == set()
        for number, task in self.tasks.items():
            match self.fates.get(number):
                case None:
                    await check_answer(task, number)
                case "refuse":
                    assert str(task.exception()) == f"REFUSED: {number}"
                case "cancel":
                    assert task.cancelled()
        assert repr(self.client._session._frames) == f"<Frames {self.server.target} [queued 0, sent 0]>"


STEP = st.sampled_from(["start", "arrive", "answer", "cancel", "refuse", "lose_the_stream"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEP, st.integers(0, 7)), max_size=40))
async def test_random_cancels_never_hang_or_fail_a_neighbour(steps):
    """Whatever happens in whatever order, every call that nobody cancelled or refused has its own answer."""
    gates = Gates()
    policy = RetryPolicy(attempts=50, first_wait_s=0.0, budget_floor=1000.0)
    async with FakeServer(gates.answer) as server, AsyncClient(server.target, retry=policy) as client:
        calls = RandomCalls(server, gates, client)
        for step, number in steps:
            await getattr(calls, step)(number)
        await calls.check()
