"""Who is served first when not all can be: by criticality, by tenant, and by age."""

from hypothesis import given
from hypothesis import strategies as st

from serinus.core.criticality import Criticality
from serinus.serving.batching.batch_queue import BatchQueue, Entry
from serinus.serving.batching.fair_shares import MOST_ACCOUNTS
from serinus.serving.room import Room
from tests.serving.batching.test_batch_queue import entry, queue_of, rows_of, tags
from tests.support.virtual_loop import run_virtual, virtual

CRITICAL, DEFAULT, SHEDDABLE = Criticality


def served(queue: BatchQueue, rows: int = 1) -> list[float]:
    """Everything that waits, in order of service, taken in runs of `rows` rows."""
    order: list[float] = []
    while queue.calls:
        order += tags(queue.take(queue.head(), rows))
    return order


def tenants(entries: list[Entry]) -> str:
    return "".join(each.request.tenant for each in entries)


@virtual
async def test_criticality_counts_once_the_queue_has_stood():
    """Before, it is a burst, and everybody gets an answer in the order of arrival."""
    classes = (SHEDDABLE, DEFAULT, CRITICAL, DEFAULT)
    burst = queue_of(*(entry(at, criticality=each) for at, each in enumerate(classes)), stood_s=4.0)
    assert (burst.has_stood, served(burst)) == (False, [0, 1, 2, 3])
    stood = queue_of(*(entry(at, criticality=each) for at, each in enumerate(classes)), stood_s=3.0)
    assert (stood.has_stood, served(stood)) == (True, [2, 1, 3, 0])
    assert not stood.has_stood


@virtual
async def test_a_queue_that_was_empty_meanwhile_has_not_stood():
    """However long calls have been coming."""
    queue = queue_of(entry(0), stood_s=3.0)
    queue.take(queue.head(), 1)
    queue.push(entry(4))
    assert not queue.has_stood


@virtual
async def test_a_level_goes_before_a_criticality():
    """Priority orders calls; criticality says who is refused."""
    queue = queue_of(entry(0, level=5, criticality=CRITICAL), entry(9, level=1, criticality=SHEDDABLE), stood_s=1.0)
    assert served(queue) == [9, 0]


@virtual
async def test_the_newest_goes_first_where_nobody_said_how_long_it_waits():
    """Once the oldest has waited long; before, and with deadlines, the oldest goes first."""
    patient = [entry(at, has_deadline=False) for at in range(4)]
    assert served(queue_of(*patient, stood_s=3.5)) == [0, 1, 2, 3]
    assert served(queue_of(*patient, stood_s=3.0), rows=2) == [3, 2, 1, 0]
    assert served(queue_of(*(entry(at) for at in range(4)), stood_s=3.0)) == [0, 1, 2, 3]


@virtual
async def test_calls_with_deadlines_and_without_take_turns():
    """A heap of calls without deadlines keeps nobody from an answer in time."""
    queue = queue_of(*(entry(at, has_deadline=at % 2 == 0) for at in range(6)), stood_s=3.0)
    assert served(queue) == [0, 5, 2, 3, 1, 4]


@virtual
async def test_tenants_share_by_rows():
    """Who came with a hundred calls before does not keep others waiting; a call of four rows is worth four of one."""
    crowd = [entry(at, tenant="a") for at in range(8)]
    queue = queue_of(*crowd, entry(8, tenant="b", rows=4), entry(9, tenant="b", rows=4))
    taken = [queue.take(queue.head(), 4) for _ in range(5)]
    assert [tenants(each) for each in taken] == ["a", "b", "aaaa", "b", "aaa"]
    assert [tags(each) for each in taken] == [[0], [8], [1, 2, 3, 4], [9], [5, 6, 7]]


@virtual
async def test_tenants_share_whatever_their_calls_can_be_joined_with():
    """Shares are of the whole queue, not of each kind of call."""
    crowd = [entry(at, tenant="a", key=str(at % 2)) for at in range(6)]
    queue = queue_of(*crowd, entry(6, tenant="b", key="other"), entry(7, tenant="b", key="1"))
    assert served(queue) == [0, 6, 1, 7, 2, 3, 4, 5]


@virtual
async def test_what_a_tenant_had_while_nobody_waited_is_not_counted():
    """Nor is time saved up without calls."""
    queue = queue_of(*(entry(at, tenant="a") for at in range(4)))
    queue.take(queue.head(), 3)
    for at in range(4, 8):
        queue.push(entry(at, tenant="b"))
    queue.push(entry(8, tenant="a"))
    assert served(queue) == [3, 4, 5, 8, 6, 7]
    queue = queue_of(*(entry(at, tenant="ab"[at % 2]) for at in range(8)))
    queue.take(queue.head(), 8)
    for at in range(8, 12):
        queue.push(entry(at, tenant="bc"[at % 2]))
    assert served(queue) == [8, 9, 10, 11]


@virtual
async def test_tenants_beyond_those_told_apart_share_an_account():
    """A caller that makes up a name for each call gets no more than one share of many."""
    queue = queue_of(*(entry(at, tenant=f"t{at}") for at in range(3 * MOST_ACCOUNTS)))
    assert (
        repr(queue) == f"<BatchQueue {3 * MOST_ACCOUNTS} calls, {3 * MOST_ACCOUNTS} rows, {MOST_ACCOUNTS + 1} strands>"
    )
    queue.push(entry(500, tenant="t0"))
    assert served(queue)[: MOST_ACCOUNTS + 3].count(500) == 1
    assert repr(queue._shares) == "<FairShares 1 of 1 tenants>"  # the strand that an empty queue keeps


@virtual
async def test_rows_ahead_are_those_that_go_first():
    """Not those of later levels, of less critical calls, or of a tenant that has had its share."""
    waiting = [
        entry(0, level=9, rows=100),
        entry(1, rows=10, criticality=SHEDDABLE, tenant="a"),
        entry(2, rows=20, tenant="a"),
        entry(3, level=1, rows=3),
    ]

    def ahead(queue: BatchQueue, tenant: str, criticality: Criticality = DEFAULT) -> int:
        return queue.rows_ahead(5, entry(0, tenant=tenant, criticality=criticality).request)

    burst = queue_of(*waiting)
    assert [ahead(burst, "a"), ahead(burst, "b"), ahead(burst, "a", CRITICAL)] == [33, 7, 33]
    stood = queue_of(*waiting, stood_s=1.0)
    assert [ahead(stood, "a"), ahead(stood, "a", CRITICAL), ahead(stood, "a", SHEDDABLE)] == [23, 3, 33]
    assert ahead(queue_of(entry(0, rows=7)), "") == 7


@virtual
async def test_the_least_critical_newest_call_gives_way():
    """To a more critical one alone, and however many more critical ones wait."""
    waiting = [entry(at, criticality=each) for at, each in enumerate((SHEDDABLE, DEFAULT, SHEDDABLE, CRITICAL))]
    queue = queue_of(*waiting)

    def give_way(criticality: Criticality) -> tuple[Room, Entry | None]:
        return queue.give_way(entry(9, criticality=criticality).request)

    assert give_way(SHEDDABLE) == (Room.NONE, None)
    assert give_way(DEFAULT) == (Room.MADE, waiting[2])
    assert give_way(CRITICAL) == (Room.MADE, waiting[0])
    assert give_way(DEFAULT) == (Room.NONE, None)
    assert give_way(CRITICAL) == (Room.MADE, waiting[1])
    assert give_way(CRITICAL) == (Room.NONE, None)
    assert (queue.calls, waiting[3].is_waiting, waiting[2].is_waiting) == (1, True, False)


@virtual
async def test_the_largest_tenant_gives_way_to_one_below_its_share():
    """Until they have the same; then each is told that its share is used."""
    queue = queue_of(*(entry(at, tenant="a") for at in range(4)))
    assert queue.give_way(entry(9, tenant="a").request) == (Room.NONE, None)
    newcomers = [entry(9 + number, tenant="b") for number in range(3)]
    ends = []
    for newcomer in newcomers:
        room, gone = queue.give_way(newcomer.request)
        ends.append((room, gone and gone.since))
        if room is Room.MADE:
            queue.push(newcomer)
    assert ends == [(Room.MADE, 3), (Room.MADE, 2), (Room.SHARE_USED, None)]
    assert queue.give_way(entry(20, tenant="a").request) == (Room.SHARE_USED, None)


KINDS = st.tuples(
    st.integers(0, 3),
    st.sampled_from("ab"),
    st.integers(1, 2),
    st.sampled_from(["", "x", "y", "z"]),
    st.sampled_from(list(Criticality)),
    st.booleans(),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), KINDS),
        st.tuples(st.just("discard"), st.integers(0, 30)),
        st.tuples(st.just("take"), st.integers(0, 8)),
        st.tuples(st.just("give way"), KINDS),
    ),
    max_size=60,
)


def made(since: float, kind: tuple) -> Entry:
    rows, key, level, tenant, criticality, has_deadline = kind
    return entry(
        since, rows=rows, key=key, level=level, tenant=tenant, criticality=criticality, has_deadline=has_deadline
    )


@given(STEPS, st.sampled_from([0.0, 5.0, 1000.0]))
def test_nothing_is_lost_and_the_counts_are_exact(steps: list[tuple], stood_s: float):
    """Whatever the order: what is seen first is taken first, of one key, and everything leaves once."""

    async def scenario() -> None:
        queue, waiting, pushed = BatchQueue(stood_s=stood_s), [], []
        for number, step in enumerate(steps):
            match step:
                case ("push", kind):
                    pushed.append(made(number, kind))
                    waiting.append(pushed[-1])
                    queue.push(pushed[-1])
                case ("discard", which) if pushed:
                    gone = pushed[which % len(pushed)]
                    queue.discard(gone)
                    waiting = [each for each in waiting if each is not gone]
                case ("take", most) if waiting:
                    heads = list(queue.heads())
                    assert len(heads) == len({(each.level, each.key) for each in waiting})
                    assert [each.level for each in heads] == sorted(each.level for each in heads)
                    for head in heads:
                        line = list(queue.joinable(head))
                        assert line[0] is head
                        assert set(line) == {each for each in waiting if each.key == head.key}
                        assert len(line) == len(set(line))
                    line = list(queue.joinable(heads[0]))
                    taken = queue.take(heads[0], most)
                    assert taken == line[: len(taken)]
                    assert len(taken) == 1 or rows_of(taken) <= most
                    waiting = [each for each in waiting if each not in taken]
                case ("give way", kind):
                    newcomer = made(number, kind).request
                    _, gone = queue.give_way(newcomer)
                    assert gone is None or gone.request.criticality >= newcomer.criticality
                    waiting = [each for each in waiting if each is not gone]
            assert (queue.calls, queue.rows) == (len(waiting), rows_of(waiting))
            assert all(each.is_waiting for each in waiting)
        assert set(queue.drain()) == set(waiting)
        assert repr(queue) == "<BatchQueue 0 calls, 0 rows, 0 strands>"

    run_virtual(scenario())


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 5)), min_size=1, max_size=80))
def test_tenants_that_wait_are_never_far_apart(calls: list[tuple[str, int]]):
    """While two have calls waiting, the rows that each was served differ by less than two of the largest calls."""

    async def scenario() -> None:
        queue = queue_of(*(entry(at, tenant=tenant, rows=rows) for at, (tenant, rows) in enumerate(calls)))
        rows_left = {tenant: sum(rows for each, rows in calls if each == tenant) for tenant, _ in calls}
        had = dict.fromkeys(rows_left, 0)
        while all(rows_left.values()):
            (taken,) = queue.take(queue.head(), 0)
            tenant, rows = taken.request.tenant, taken.request.rows
            had[tenant] += rows
            rows_left[tenant] -= rows
            assert max(had.values()) - min(had.values()) < 10

    run_virtual(scenario())


@virtual
async def test_the_rows_ahead_are_no_fewer_than_then_run_before():
    """For a call of a tenant that has little among one that has much."""
    queue = queue_of(*(entry(at, tenant="a", rows=1 + at % 3) for at in range(50)))
    queue.push(entry(50, tenant="b"))
    newcomer = entry(51, tenant="b", rows=2)
    ahead = queue.rows_ahead(5, newcomer.request)
    queue.push(newcomer)
    before = 0
    while (entries := queue.take(queue.head(), 0)) != [newcomer]:
        before += rows_of(entries)
    assert (before, ahead) == (4, 5)
