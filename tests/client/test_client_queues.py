"""The outbox and the deadlines: what the next message holds, and whose time is up."""

import asyncio
import itertools

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.deadlines import Deadlines
from serinus_client.options import FrameLimits
from serinus_client.outbox import Outbox
from serinus_client.pending import Pending


def call(id_, *, size_bytes=10, since=0.0, deadline=1.0, **request):
    outcome = asyncio.get_running_loop().create_future()
    frame = pb.PredictFrame(calls=[pb.Call(request=pb.PredictRequest(**request))])
    return Pending(id_, frame, size_bytes=size_bytes, since=since, deadline=deadline, outcome=outcome)


def ids(calls):
    return [call.id for call in calls]


def outbox(*calls, most_calls=3, most_bytes=100):
    box = Outbox(FrameLimits(calls=most_calls, size_bytes=most_bytes))
    for each in calls:
        box.put(each)
    return box


def taken(box, most=10, *, now=0.0, room=1000, **open_by_model):
    return ids(box.take(most, now=now, room=room, open_by_model=open_by_model))


async def test_a_message_takes_all_that_waits_up_to_its_limits():
    """Calls leave in the order in which they came."""
    box = outbox(*(call(n) for n in range(6)))
    assert [taken(box), taken(box, 1), taken(box), taken(box)] == [[0, 1, 2], [3], [4, 5], []]
    assert not box


async def test_bytes_end_a_message_before_the_call_that_would_pass_them():
    """And a call above the limit goes alone rather than never."""
    box = outbox(call(1, size_bytes=60), call(2, size_bytes=60), call(3, size_bytes=500), call(4))
    assert [taken(box) for _ in range(4)] == [[1], [2], [3], [4]]


async def test_dropped_calls_never_leave_and_returned_ones_leave_first():
    """Whether a call was still here decides whether the server must hear of it."""
    first, second, third = call(1), call(2), call(3)
    box = outbox(first, second)
    gone = box.take(10, now=0.0, room=10, open_by_model={})
    box.put(third)
    assert (box.drop(first), box.drop(third)) == (False, True)
    box.put(third)
    box.put_back(gone)
    assert taken(box) == [1, 2, 3]


async def test_urgent_calls_leave_first():
    """The critical before the usual before what may be shed; within these by priority, 5 where none is said."""
    box = outbox(
        call(1, criticality=pb.CRITICALITY_SHEDDABLE, priority=1),
        call(2, priority=9),
        call(3),
        call(4, priority=1),
        call(5, criticality=pb.CRITICALITY_CRITICAL),
        call(6, criticality=pb.CRITICALITY_DEFAULT),
        most_calls=10,
    )
    assert taken(box) == [5, 4, 3, 6, 2, 1]


async def test_once_the_oldest_has_waited_for_most_of_its_time_the_newest_leave_first():
    """There are more calls than can be answered: those with time left are worth more."""
    box = outbox(*(call(n, since=n / 10, deadline=1.0 + n / 10) for n in range(5)), most_calls=2)
    assert taken(box, now=0.6) == [0, 1]
    assert taken(box, now=0.95) == [4, 3]
    assert taken(box, now=0.95) == [2]


async def test_a_model_leaves_room_for_others_on_a_stream():
    """When all of its calls hang, those of another model still find a place."""
    box = outbox(*(call(n, model="slow") for n in range(30)), call(99, model="quick"), most_calls=100, most_bytes=1000)
    assert taken(box, 100, room=20) == [*range(16), 99]
    assert taken(box, 100, room=4, slow=16) == []


async def test_models_take_turns_when_a_message_cannot_hold_them_all():
    """Else the one that always has calls waiting would always be first."""
    box = outbox(*(call(n, model="a") for n in range(6)), *(call(n, model="b") for n in range(10, 16)))
    assert [taken(box) for _ in range(4)] == [[0, 1, 2], [10, 11, 12], [3, 4, 5], [13, 14, 15]]


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
