"""What processes counted that cannot be asked now: sums that never fall because one of them leaves, hangs or dies."""

import collections
from collections.abc import Collection, Mapping
from typing import Final

Counts = Mapping[str, Mapping[str, int]]
"""By subject, such as a version, and by counter."""

MOST_SUBJECTS: Final = 1024
"""Of those that are gone; beyond that, those are forgotten that nobody has counted for longest."""

_ENDS_KEPT = 64  # an answer is read within milliseconds of its process's end


class KeptCounts:
    """Adds up what processes said last. A process is seen any number of times, then gone.

    What a process counted after it was last seen is lost with it.
    """

    def __init__(self) -> None:
        self._living: dict[int, Counts] = {}
        self._gone: dict[str, collections.Counter[str]] = {}  # the latest last
        self._ended: collections.deque[int] = collections.deque(maxlen=_ENDS_KEPT)

    def __repr__(self) -> str:
        return f"<KeptCounts [{len(self._living)} processes, {len(self._gone)} subjects of others]>"

    def began(self, pid: int) -> None:
        """A process has been started; its number may be that of one that has ended."""
        if pid in self._ended:
            self._ended.remove(pid)

    def seen(self, pid: int, counts: Counts) -> None:
        """A process says this now; one that has ended meanwhile is not heard any more."""
        if not self.has_ended(pid):
            self._living[pid] = counts

    def has_ended(self, pid: int) -> bool:
        """Whether the process is gone, so that what it counted is among what is missing."""
        return pid in self._ended

    def gone(self, pid: int) -> None:
        """A process has ended; it may never have been seen."""
        self._ended.append(pid)
        for subject, counts in self._living.pop(pid, {}).items():
            self._gone[subject] = self._gone.pop(subject, collections.Counter()) + collections.Counter(counts)
        while len(self._gone) > MOST_SUBJECTS:
            del self._gone[next(iter(self._gone))]

    def missing(self, answering: Collection[int]) -> Counts:
        """What all but these processes have counted, of the subjects that these have."""
        known = {subject for pid in answering for subject in self._living.get(pid, {})}
        silent = (counts for pid, counts in self._living.items() if pid not in answering)
        total: dict[str, collections.Counter[str]] = {}
        for counts in (self._gone, *silent):
            for subject in known & counts.keys():
                total.setdefault(subject, collections.Counter()).update(counts[subject])
        return total
