"""How many calls a client may have open on one stream: enough to keep models busy, few enough that none comes in vain.

What a client may not send yet waits with the client, where it costs the server nothing and can expire or be cancelled
unseen. The window follows what the stream's calls meet: it shrinks when they are refused or wait for many runs, and
grows when it is used up and nothing waits. It is advice: a client that does not know it is bounded as before, by what
the server reads.
"""

import dataclasses

from serinus.core.predictor import Response

START = 1024
"""What both sides begin with, before the server has said anything: more than callers of one process usually are."""

# One runs, one waits, and as many are on their way in either direction. No more where a run holds a call or two: with
# 16 calls, nine in ten of a model of 7 ms with ten times its load were sent to be refused, at the expense of its runs.
_BATCHES = 4
_FEW = 16  # outcomes that say too little by themselves
_SHORT_S = 0.02  # a look costs microseconds, and what it changes takes a round trip to show
_LONG_S = 0.25
_REFUSED_SHARE = 0.1  # less is no overload of the stream: one model of many, or one burst
_RUNS_WAITED = 3.0  # a call that waits for more runs than this could as well wait at home
_BRIEF_S = 0.01  # the calls of one long message wait that long for each other


@dataclasses.dataclass(slots=True)
class Experience:
    """What became of a stream's calls between two looks.

    Attributes:
        answered: Calls.
        refused: Calls, as Overloaded.
        queue_s: All that the answered ones waited.
        compute_s: All that the runs took which answered them.
        batch_rows: Of the largest of these runs, or of one before if no call was answered; 0 if none ever was.
        most_open: Calls that were open at once.
    """

    answered: int = 0
    refused: int = 0
    queue_s: float = 0.0
    compute_s: float = 0.0
    batch_rows: int = 0
    most_open: int = 0

    def is_refused(self) -> bool:
        """Whether more was refused than one burst, or one model of many, would explain."""
        return self.refused > _REFUSED_SHARE * (self.answered + self.refused)


def next_window(window: int, seen: Experience, *, most: int) -> int:
    """The window after `seen`, between a few batches and `most` calls."""
    used = min(window, seen.most_open)
    least = min(most, _BATCHES * max(1, seen.batch_rows))
    if seen.is_refused():
        return min(window, max(least, used * 3 // 4))
    if seen.queue_s > _RUNS_WAITED * seen.compute_s + _BRIEF_S * seen.answered:
        return min(window, max(least, used * 7 // 8))
    # Used up by whoever has only one model: the SDK gives it four fifths, and keeps room for others.
    if seen.most_open * 4 >= window * 3:
        return min(most, window + max(1, window // 4))
    return window


class CreditWindow:
    """The window of one stream. Calls are noted as they end; `review` is asked whenever a message goes out.

    Attributes:
        size: Calls that may be open.
    """

    def __init__(self, *, most: int, now: float) -> None:
        self.size = min(START, most)
        self._most = most
        self._seen = Experience()
        self._batch_rows = 0
        self._since = now

    def __repr__(self) -> str:
        return f"<CreditWindow {self.size} calls>"

    def opened(self, calls: int) -> None:
        """So many calls are open now."""
        self._seen.most_open = max(self._seen.most_open, calls)

    def answered(self, response: Response) -> None:
        """A call was answered."""
        seen = self._seen
        seen.answered += 1
        seen.queue_s += response.queue_s
        seen.compute_s += response.compute_s
        seen.batch_rows = max(seen.batch_rows, response.batch_rows)

    def refused(self) -> None:
        """A call was refused as Overloaded."""
        self._seen.refused += 1

    def review(self, now: float, *, open_calls: int) -> bool:
        """Look at what was noted, if there is enough of it; return whether the client must hear of another window."""
        seen = self._seen
        ended, passed_s = seen.answered + seen.refused, now - self._since
        if passed_s < (_SHORT_S if ended >= _FEW else _LONG_S) or not ended:
            return False
        if ended < _FEW and seen.is_refused():
            return False  # a single refusal is a share of all; what follows tells
        seen.batch_rows = self._batch_rows = seen.batch_rows or self._batch_rows
        before, self.size = self.size, next_window(self.size, seen, most=self._most)
        self._seen, self._since = Experience(most_open=open_calls), now
        return self.size != before
