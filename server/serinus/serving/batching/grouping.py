"""Chooses which of the calls that wait share the next run, when a run costs what its longest row costs. Pure."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

_FEWEST_CANDIDATES = 64  # worth looking at: enough to find some of a length
SIMILAR = 2  # times the shortest is the longest, while nothing is known of what lengths cost
_MOST_LENGTHS = 12  # that are tried as the longest of the run
# Admission counts the bytes that came, and a run allocates what it fills up besides. So padding makes a run at most so
# many times as large as its calls are, however well it pays; the few positions of a small run are nobody's concern.
MOST_PADDED, FREE_POSITIONS = 4, 1 << 14
_DOUBLING = 1.05  # what `best_rows` promises of each doubling up to it, in rows a second


def candidates_for(limit: int) -> int:
    """How many calls to choose from for a run of `limit` rows: looking at more takes longer than it saves."""
    return max(_FEWEST_CANDIDATES, 2 * limit)


def group(
    candidates: Sequence[tuple[int, int]],
    *,
    limit: int,
    predict_s: Callable[[int, int], float],
    best_rows: Callable[[int, int], int],
) -> list[int]:
    """Which calls run together, in order of service: those whose single runs would take longest for what it takes.

    Measured in seconds of single runs that a second of the joint run stands for. Rows a second would not do: a long
    row next to short ones makes as many of them, and all of the short ones wait for it. Of groups that are worth the
    same the larger is taken, of calls of one length the older. The first call always runs, so none waits for ever.
    No group is padded to more than `MOST_PADDED` times its own positions, unless that is at most `FREE_POSITIONS`.

    Args:
        candidates: Rows and length of each, in order of service, at least one; `candidates_for` says how many.
        limit: Most rows of a run; the first call runs even if it has more.
        predict_s: Seconds of a run by rows and length; 0 while nothing is known.
        best_rows: Rows, at most the first argument, beyond which rows a second do not improve at a length.
    """
    lengths = [length for _, length in candidates]
    if min(lengths) == max(lengths):
        return _in_order(candidates, best_rows(limit, lengths[0]))
    alone_s = [predict_s(max(rows, 1), length) for rows, length in candidates]  # a call without rows runs as well
    if min(alone_s) <= 0.0:
        return _similar(candidates, best_rows(limit, lengths[0]))
    return _Search(candidates, alone_s, limit, predict_s, best_rows).best()


def _in_order(candidates: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """The first ones, as far as they fit: one that does not ends the search."""
    total = itertools.accumulate(rows for rows, _ in candidates)
    return [index for index, rows in enumerate(total) if not index or rows <= limit]


def _similar(candidates: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """The oldest ones whose lengths lie within a factor of `SIMILAR`."""
    rows, shortest = candidates[0]
    longest = shortest
    chosen = [0]
    for index in range(1, len(candidates)):
        more, length = candidates[index]
        low, high = min(shortest, length), max(longest, length)
        if rows + more <= limit and high <= SIMILAR * low:
            chosen.append(index)
            rows, shortest, longest = rows + more, low, high
    return chosen


class _Search:
    """One search.

    For a given longest row the best company is as long as can be. So groups are neighbours in order of length, with the
    first call, and of each only a few sizes are tried.
    """

    def __init__(
        self,
        candidates: Sequence[tuple[int, int]],
        alone_s: Sequence[float],
        limit: int,
        predict_s: Callable[[int, int], float],
        best_rows: Callable[[int, int], int],
    ) -> None:
        self._limit = limit
        self._predict_s = predict_s
        self._best_rows = best_rows
        self._head_rows, self._head_length = candidates[0]
        self._head_s = alone_s[0]
        # Longest first, and of those that are as long as each other the oldest.
        self._order = sorted(range(1, len(candidates)), key=lambda index: -candidates[index][1])
        self._lengths = [candidates[index][1] for index in self._order]
        self._rows = [0, *itertools.accumulate(candidates[index][0] for index in self._order)]
        self._seconds = [0.0, *itertools.accumulate(alone_s[index] for index in self._order)]
        positions = (candidates[index][0] * candidates[index][1] for index in self._order)
        self._positions = [0, *itertools.accumulate(positions)]

    def best(self) -> list[int]:
        worth, chosen = 1.0, (0, 0)
        for start in self._starts():
            length = max(self._head_length, self._lengths[start])
            most = self._best_rows(self._limit, length)
            one_s = self._predict_s(1, length)
            for stop in self._stops(start, most):
                rows = max(1, self._head_rows + self._rows[stop] - self._rows[start])
                if rows * length > max(FREE_POSITIONS, MOST_PADDED * self._own_positions(start, stop)):
                    continue
                run_s = min(self._predict_s(rows, length), _hoped_s(one_s, rows))
                this = (self._head_s + self._seconds[stop] - self._seconds[start]) / run_s
                if this >= worth:
                    worth, chosen = this, (start, stop)
        return [0, *sorted(self._order[slice(*chosen)])]

    def _own_positions(self, start: int, stop: int) -> int:
        return self._head_rows * self._head_length + self._positions[stop] - self._positions[start]

    def _starts(self) -> list[int]:
        """Where in the order the longest of the company may stand; after the last, none is longer than the first."""
        longer = bisect_left(self._lengths, -self._head_length, key=lambda length: -length)
        starts = [start for start in range(longer) if not start or self._lengths[start - 1] != self._lengths[start]]
        stride = -(-len(starts) // _MOST_LENGTHS) or 1
        return [*starts[::stride], *((longer,) if longer < len(self._lengths) else ())]

    def _stops(self, start: int, most: int) -> list[int]:
        """Ends of groups of about 2, 3, 4, 6, 8, 12 ... rows and of `most`, ascending."""
        room = most - self._head_rows
        stops = []
        size = 1
        while size < room:
            stops.append(size)
            size += max(1, size // 2)
        found = {bisect_right(self._rows, self._rows[start] + more, start) - 1 for more in (*stops, room)}
        return sorted(stop for stop in found if stop > start)


def _hoped_s(one_s: float, rows: int) -> float:
    """What a run may take at most if it is worth its rows, as long as `best_rows` speaks for it.

    Nothing would ever be learned of joint runs of a length if those that are not known had to be worth it already.
    """
    return one_s * rows / _DOUBLING ** (rows.bit_length() - 1)
