"""What a generator notes of each call while it runs: five numbers, so that noting costs next to nothing."""

import dataclasses
from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from serinus.bench.calls import ANSWERED, Outcome

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Notes:
    """All calls of a run, in the order in which they ended; times are seconds after its start.

    Attributes:
        due_s: When each was to be sent.
        sent_s: When it was.
        ended_s: When it had its outcome.
        outcome: Index into `outcomes`.
        batch_rows: Rows of the run that answered; 0 where nobody said.
        outcomes: The first one is ANSWERED.
    """

    due_s: Floats
    sent_s: Floats
    ended_s: Floats
    outcome: npt.NDArray[np.uint16]
    batch_rows: npt.NDArray[np.uint32]
    outcomes: Sequence[Outcome] = (ANSWERED,)

    def __len__(self) -> int:
        return len(self.due_s)

    @property
    def is_answered(self) -> npt.NDArray[np.bool_]:
        """Of each call."""
        return np.equal(self.outcome, 0)

    @property
    def latency_s(self) -> Floats:
        """Of each call, from when it was due: a stall counts for every call that it holds up."""
        return self.ended_s - self.due_s


class Notebook:
    """Takes notes. Times are those of one clock; `start_s` is its time at the start of the run."""

    __slots__ = ("_batch_rows", "_due", "_ended", "_numbers", "_outcome", "_sent")

    def __init__(self) -> None:
        self._due = array("d")
        self._sent = array("d")
        self._ended = array("d")
        self._outcome = array("H")
        self._batch_rows = array("I")
        self._numbers = {ANSWERED: 0}

    def __len__(self) -> int:
        return len(self._due)

    def note(self, due: float, sent: float, ended: float, outcome: Outcome, batch_rows: int = 0) -> None:
        """A call has ended."""
        self._due.append(due)
        self._sent.append(sent)
        self._ended.append(ended)
        self._outcome.append(self._numbers.setdefault(outcome, len(self._numbers)))
        self._batch_rows.append(batch_rows)

    def read(self, start_s: float) -> Notes:
        """Everything noted, with times counted from `start_s`."""
        due, sent, ended = (np.array(times, np.float64) - start_s for times in (self._due, self._sent, self._ended))
        return Notes(
            due,
            sent,
            ended,
            np.array(self._outcome, np.uint16),
            np.array(self._batch_rows, np.uint32),
            (*self._numbers,),
        )
