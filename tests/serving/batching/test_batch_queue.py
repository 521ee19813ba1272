"""The order of the queue, and that its counts are exact."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from serinus.core.criticality import Criticality
from serinus.serving.batching.batch_queue import BatchQueue, Entry
from tests.support.fakes import request
from tests.support.virtual_loop import run_virtual, virtual


def entry(
    since: float,
    *,
    rows: int = 1,
    key: str = "",
    level: int = 5,
    tenant: str = "",
    criticality: Criticality = Criticality.DEFAULT,
    has_deadline: bool = True,
) -> Entry:
    wish = request(*[1] * rows)
    wish.tenant, wish.criticality, wish.has_deadline = tenant, criticality, has_deadline
    return Entry(wish, key, level, float(since), asyncio.get_running_loop().create_future())


def queue_of(*entries: Entry, stood_s: float = 100.0) -> BatchQueue:
    queue = BatchQueue(stood_s=stood_s)
    for each in entries:
        queue.push(each)
    return queue


def tags(entries) -> list[float]:
    return [each.since for each in entries]


@virtual
async def test_a_kind_is_taken_in_order_up_to_the_rows():
    """Entries of the head's key, the most urgent level first; another key stays."""
    queue = BatchQueue()
    for each in (entry(1), entry(2, key="b"), entry(3, level=1), entry(4, rows=2), entry(5)):
        queue.push(each)
    assert repr(queue) == "<BatchQueue 5 calls, 6 rows, 3 strands>"
    assert (tags(queue.heads()), queue.joinable_rows(queue.head())) == ([3, 1, 2], 5)
    assert tags(queue.take(queue.head(), 4)) == [3, 1, 4]
    assert [queue.joinable_rows(each) for each in queue.heads()] == [1, 1]
    assert tags(queue.take(queue.head(), 4)) == [2]
    assert tags(queue.take(queue.head(), 4)) == [5]
    assert repr(queue) == "<BatchQueue 0 calls, 0 rows, 0 strands>"


@virtual
async def test_one_that_is_larger_than_the_run_is_taken_alone():
    """Otherwise it would wait for ever."""
    queue = BatchQueue()
    for each in (entry(1, rows=9), entry(2)):
        queue.push(each)
    assert tags(queue.take(queue.head(), 4)) == [1]
    assert (queue.calls, queue.rows) == (1, 1)


@virtual
async def test_what_could_share_a_run_is_seen_before_it_is_taken():
    """Head first, then by level and arrival; removing some of them leaves the others in order."""
    queue = BatchQueue()
    for each in (entry(1), entry(2, key="b"), entry(3, level=1), entry(4), entry(5)):
        queue.push(each)
    urgent, first, other = queue.heads()
    assert [tags(queue.joinable(head)) for head in (urgent, first, other)] == [[3, 1, 4, 5], [1, 3, 4, 5], [2]]
    fourth = list(queue.joinable(urgent))[2]
    queue.remove([urgent, fourth])
    assert (tags(queue.joinable(first)), queue.joinable_rows(first), queue.calls) == ([1, 5], 2, 3)


@virtual
async def test_who_is_put_back_is_where_it_was():
    """At the front, or at the back where the newest go first; its tenant has not had its turn."""
    queue = queue_of(entry(1, tenant="a"), entry(2, tenant="b"), entry(3, tenant="a"), entry(4, tenant="a"))
    taken = queue.take(queue.head(), 3)
    queue.put_back(taken)
    assert (tags(taken), tags(queue.take(queue.head(), 9))) == ([1, 2, 3], [1, 2, 3, 4])
    newest = queue_of(*(entry(at, has_deadline=False) for at in range(4)), stood_s=2.0)
    newest.put_back(newest.take(newest.head(), 2))
    assert (tags(newest.take(newest.head(), 9)), newest.rows) == ([3, 2, 1, 0], 0)


@virtual
async def test_leaving_twice_is_leaving_once():
    """An entry that was taken has left."""
    queue = BatchQueue()
    first, second = entry(1), entry(2)
    queue.push(first)
    queue.push(second)
    queue.discard(first)
    queue.discard(first)
    assert tags(queue.take(second, 9)) == [2]
    queue.discard(second)
    assert (queue.calls, queue.rows, first.is_waiting, second.is_waiting) == (0, 0, False, False)


@virtual
async def test_draining_empties_the_queue():
    """Everything that waits is handed over."""
    queue = BatchQueue()
    for each in (entry(1), entry(2, key="b"), entry(3, rows=0)):
        queue.push(each)
    assert sorted(tags(queue.drain())) == [1, 2, 3]
    assert repr(queue) == "<BatchQueue 0 calls, 0 rows, 0 strands>"


def rows_of(entries) -> int:
    return sum(each.request.rows for each in entries)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 4), st.sampled_from("ab"), st.integers(1, 3)),
        st.tuples(st.just("discard"), st.integers(0, 30)),
        st.tuples(st.just("take"), st.integers(1, 8)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_queue_agrees_with_a_list(steps: list[tuple]):
    """Against a model that is a sorted list: who is first, who is taken, and how much waits."""

    async def scenario() -> None:
        queue, waiting, pushed = BatchQueue(), [], []
        for step in steps:
            match step:
                case ("push", rows, key, level):
                    new = entry(len(pushed), rows=rows, key=key, level=level)
                    queue.push(new)
                    pushed.append(new)
                    waiting.append(new)
                case ("discard", number) if pushed:
                    gone = pushed[number % len(pushed)]
                    queue.discard(gone)
                    waiting = [each for each in waiting if each is not gone]
                case ("take", most) if waiting:
                    head = min(waiting, key=lambda each: (each.level, each.since))
                    assert queue.head() is head
                    taken = queue.take(head, most)
                    assert taken[0] is head
                    assert {each.key for each in taken} == {head.key}
                    assert len(taken) == 1 or rows_of(taken) <= most
                    for level in (1, 2, 3):  # of each lane, the oldest
                        lane = [each for each in waiting if (each.key, each.level) == (head.key, level)]
                        own = [each for each in taken if each.level == level]
                        assert own == lane[: len(own)]
                    waiting = [each for each in waiting if each not in taken]
            assert (queue.calls, queue.rows) == (len(waiting), rows_of(waiting))
            for each in waiting:
                assert queue.joinable_rows(each) == rows_of(other for other in waiting if other.key == each.key)

    run_virtual(scenario())
