"""The outbox and the deadlines: what the next message holds, and whose time is up."""

import asyncio
import itertools

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.deadlines import Deadlines
from serinus_client.options import FrameLimits
from serinus_client.outbox import Outbox
from serinus_client.pending import Pending


def call(id_, *, size_bytes=10, deadline=1.0):
    outcome = asyncio.get_running_loop().create_future()
    frame = pb.PredictFrame(calls=[pb.Call()])
    return Pending(id_, frame, size_bytes=size_bytes, deadline=deadline, outcome=outcome)


def ids(calls):
    return [call.id for call in calls]


def outbox(*calls, most_calls=3, most_bytes=100):
    box = Outbox(FrameLimits(calls=most_calls, size_bytes=most_bytes))
    for each in calls:
        box.put(each)
    return box


async def test_a_message_takes_all_that_waits_up_to_its_limits():
    """Calls leave in the order in which they came."""
    box = outbox(*(call(n) for n in range(5)))
    assert [ids(box.take()[0]), ids(box.take()[0]), ids(box.take()[0])] == [[0, 1, 2], [3, 4], []]
    assert not box


async def test_bytes_end_a_message_before_the_call_that_would_pass_them():
    """And a call above the limit goes alone rather than never."""
    box = outbox(call(1, size_bytes=60), call(2, size_bytes=60), call(3, size_bytes=500), call(4))
    assert [ids(box.take()[0]) for _ in range(4)] == [[1], [2], [3], [4]]


async def test_dropped_calls_never_leave_and_returned_ones_leave_first():
    """Whether a call was still here decides whether the server must hear of it."""
    first, second, third = call(1), call(2), call(3)
    box = outbox(first, second)
    taken, _ = box.take()
    box.put(third)
    assert (box.drop(first), box.drop(third)) == (False, True)
    box.put(third)
    box.put_back(taken)
    assert ids(box.take()[0]) == [1, 2, 3]


async def test_cancellations_leave_with_the_next_message():
    """Even if no call does."""
    box = outbox()
    box.cancel(7)
    assert box
    assert box.take() == ([], [7])
    box.cancel(8)
    box.forget_cancels()
    assert not box


async def test_a_crowd_of_cancellations_leaves_in_messages_that_servers_take():
    """Too many in one would end the stream, and all of its calls."""
    box = outbox()
    for n in range(3000):
        box.cancel(n)
    assert [box.take(), box.take()] == [([], list(range(2048))), ([], list(range(2048, 3000)))]
    assert not box


async def test_a_message_carries_the_time_that_is_left():
    """At least a microsecond: zero would mean for ever."""
    pending = call(5, deadline=10.0)
    frames = [pb.PredictFrame.FromString(pending.to_bytes(now)) for now in (9.5, 11.0)]
    assert [(f.calls[0].id, f.calls[0].request.timeout_us) for f in frames] == [(5, 500_000), (5, 1)]


async def test_expired_calls_come_earliest_first_and_only_if_somebody_waits():
    """A call that is over is skipped wherever it stands."""
    deadlines = Deadlines()
    calls = [call(n, deadline=float(n)) for n in (3, 1, 2, 4)]
    for each in calls:
        deadlines.add(each)
    calls[1].outcome.cancel()
    deadlines.count_over()
    assert deadlines.next() == 2.0
    assert ids(deadlines.take_expired(3.0)) == [2, 3]
    assert deadlines.next() == 4.0


async def test_finished_calls_with_far_deadlines_do_not_pile_up():
    """Memory follows the open calls, not the calls of the last half minute."""
    deadlines = Deadlines()
    sizes = []
    waiting = [call(n, deadline=1e6 + n) for n in range(10)]
    for each in waiting:
        deadlines.add(each)
    for number in itertools.islice(itertools.count(10), 2000):
        done = call(number, deadline=1e6)
        deadlines.add(done)
        done.outcome.cancel()
        deadlines.count_over()
        sizes.append(len(deadlines))
    assert max(sizes) < 100
    assert ids(deadlines.take_expired(2e6)) == list(range(10))
