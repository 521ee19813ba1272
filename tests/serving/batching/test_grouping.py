"""Who shares a run, by what runs cost."""

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.serving.batching.grouping import FREE_POSITIONS, MOST_PADDED, candidates_for, group

Cost = Callable[[int, int], float]


def sentences_s(rows: int, length: int) -> float:
    """A small text encoder on two cores: 6.8 ms at length 16, 47 at 128; eight rows save 20 % at 16, none at 128."""
    one_s = 6.8e-3 + (length - 16) * (47e-3 - 6.8e-3) / 112
    saved = 0.2 * max(0, 128 - length) / 112 * min(1.0, (1 - 1 / rows) * 8 / 7)
    return rows * one_s * (1 - saved)


def flat_s(_rows: int, _length: int) -> float:
    """A run costs what it costs."""
    return 1.0


def linear_s(rows: int, length: int) -> float:
    """No run saves anything."""
    return rows * length * 1e-3


def unknown_s(_rows: int, _length: int) -> float:
    return 0.0


def best_of(cost: Cost) -> Callable[[int, int], int]:
    """Doubles the rows while that pays."""

    def best_rows(limit: int, length: int) -> int:
        if not cost(1, length):
            return limit
        rows = 1
        while 2 * rows <= limit and cost(2 * rows, length) * 1.05 < 2 * cost(rows, length):
            rows *= 2
        return limit if rows * 2 > limit else rows

    return best_rows


def chosen(
    candidates: Sequence[int | tuple[int, int]],
    cost: Cost,
    *,
    limit: int = 8,
    best: Callable[[int, int], int] | None = None,
) -> list[int]:
    pairs = [each if isinstance(each, tuple) else (1, each) for each in candidates]
    return group(pairs, limit=limit, predict_s=cost, best_rows=best or best_of(cost))


@pytest.mark.parametrize(
    ("lengths", "cost", "indices"),
    [
        ([7], sentences_s, [0]),
        # Short ones do not wait for a long one, nor it for them.
        ([128, 16, 16, 16], sentences_s, [0]),
        ([16, 128, 16, 128, 16], sentences_s, [0, 2, 4]),
        ([16, 128, 17, 128, 15], sentences_s, [0, 2, 4]),
        # The nearest of those that are shorter, and longer ones if they are near enough.
        ([20, 8, 19, 21, 60], sentences_s, [0, 2, 3]),
        # Where a run costs the same whatever it holds, all share it.
        ([16, 128, 16, 1, 77], flat_s, [0, 1, 2, 3, 4]),
        # Where joining saves nothing nobody is padded.
        ([100, 10, 100, 50], linear_s, [0]),
        # Nothing is known: a factor of two, whatever stands between.
        ([16, 128, 9, 18, 7, 30], unknown_s, [0, 2, 3]),
        ([16, 31, 8, 32], unknown_s, [0, 1, 3]),
    ],
)
def test_who_runs_together(lengths: list[int], cost: Cost, indices: list[int]):
    """The call that runs next, and those who make the most of its run."""
    assert chosen(lengths, cost) == indices


def test_calls_of_one_length_run_in_order_up_to_what_pays():
    """As ever: nothing is searched, and nobody overtakes one that does not fit."""
    assert chosen([16] * 9, flat_s, limit=4) == [0, 1, 2, 3]
    assert chosen([16] * 9, flat_s, best=lambda limit, _: min(limit, 3)) == [0, 1, 2]
    assert chosen([(2, 16), (3, 16), (1, 16)], flat_s, limit=4) == [0]


def test_the_first_call_runs_however_many_rows_it_has():
    """Nobody runs with it then."""
    for cost in (sentences_s, flat_s, unknown_s):
        assert chosen([(20, 16), (1, 16), (1, 17)], cost) == [0]


def test_of_calls_of_one_length_the_oldest_run():
    """The search is in order of length; among equals it is in order of service."""
    assert chosen([17, 16, 16, 16, 16], flat_s, limit=3) == [0, 1, 2]


def test_what_nobody_has_tried_is_tried():
    """A cost that was never seen joined is extended in proportion; `best_rows` asks for more all the same."""
    assert chosen([16, 15, 40], linear_s, best=lambda limit, _: min(limit, 2)) == [0, 1]


def test_a_run_is_not_filled_up_to_many_times_its_size():
    """Where a run costs the same whatever it holds, memory is what is left to go by: one long row and 63 short ones."""
    assert chosen([1 << 20] + [1] * 63, flat_s, limit=64) == [0, 1, 2, 3]
    assert chosen([1] * 63 + [1 << 20], flat_s, limit=64) == list(range(63))
    assert chosen([FREE_POSITIONS // 64] + [1] * 63, flat_s, limit=64) == list(range(64))


wide_calls = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 1 << 20)), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(wide_calls, st.sampled_from([flat_s, unknown_s]), st.integers(1, 40))
def test_padding_is_bounded_by_what_came(candidates: list[tuple[int, int]], cost: Cost, limit: int):
    """Whatever callers send together: at most so many times their positions, or few."""
    run = [candidates[index] for index in chosen(candidates, cost, limit=limit)]
    padded = sum(rows for rows, _ in run) * max(length for _, length in run)
    assert padded <= max(FREE_POSITIONS, MOST_PADDED * sum(rows * length for rows, length in run))


costs = st.sampled_from([sentences_s, flat_s, linear_s, unknown_s])
calls = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 128)), min_size=1, max_size=80)
calls_with_rows = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 128)), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(calls, costs, st.integers(1, 40))
def test_the_first_call_always_runs_and_no_run_is_too_large(candidates: list[tuple[int, int]], cost: Cost, limit: int):
    """In order, each once; more than `limit` rows only if the first call has them."""
    indices = chosen(candidates, cost, limit=limit)
    assert indices[0] == 0
    assert indices == sorted(set(indices))
    rows = sum(candidates[index][0] for index in indices)
    assert rows <= max(limit, candidates[0][0])


@settings(max_examples=100, deadline=None)
@given(calls_with_rows, st.sampled_from([sentences_s, flat_s, linear_s]), st.integers(1, 40))
def test_no_run_takes_longer_than_its_calls_one_by_one(candidates: list[tuple[int, int]], cost: Cost, limit: int):
    """But for what trying costs: 5 % for each doubling of the rows."""
    indices = chosen(candidates, cost, limit=limit)
    rows = sum(candidates[index][0] for index in indices)
    alone_s = sum(cost(*candidates[index]) for index in indices)
    assert cost(rows, max(candidates[index][1] for index in indices)) <= alone_s * 1.05 ** rows.bit_length()


def rows_a_second(
    policy: Callable[[list[int], int], list[int]], draw: Callable[[random.Random], int], calls: int
) -> float:
    """Of a closed loop with `calls` callers, whose calls are `draw`n; one run after another."""
    rng = random.Random(7)
    waiting = [draw(rng) for _ in range(calls)]
    done, now = 0, 0.0
    while done < 2000:
        run = policy(waiting, 8)
        now += sentences_s(len(run), max(waiting[index] for index in run))
        done += len(run)
        left = set(run)
        waiting = [length for index, length in enumerate(waiting) if index not in left]
        waiting += [draw(rng) for _ in run]
    return done / now


def to_the_longest(waiting: list[int], limit: int) -> list[int]:
    return list(range(min(limit, len(waiting))))


def one_by_one(_waiting: list[int], _limit: int) -> list[int]:
    return [0]


def grouped(waiting: list[int], limit: int) -> list[int]:
    return chosen(waiting[: candidates_for(limit)], sentences_s, limit=limit)


@pytest.mark.parametrize("callers", [8, 32, 64])
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda rng: min(128, max(8, int(rng.lognormvariate(3.3, 0.7)))), id="sentences"),
        pytest.param(lambda rng: rng.randint(8, 128), id="uniform"),
    ],
)
def test_mixed_lengths_run_faster_than_padded_to_the_longest(callers: int, draw: Callable[[random.Random], int]):
    """At least 1.3 times, and never slower than one by one."""
    rate = rows_a_second(grouped, draw, callers)
    assert rate >= 1.3 * rows_a_second(to_the_longest, draw, callers)
    assert rate >= rows_a_second(one_by_one, draw, callers)
