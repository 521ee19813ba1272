"""Keeps a few of the calls that two versions answered differently, for a person to look at."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Final

from serinus.core.predictor import Tensors
from serinus.serving.mirroring.copy_queue import copied, size_of

MOST_EXAMPLES: Final = 20
"""As many as a person reads."""
MOST_BYTES: Final = 4 << 20
"""Of the tensors of all examples of a rollout: the longest answer that gRPC's clients take by default."""


@dataclasses.dataclass(frozen=True, slots=True)
class Disagreement:
    """A call that the candidate answered differently from the baseline, or failed.

    Attributes:
        at: When the candidate answered; seconds since 1970.
        request_id: The caller's name for the call.
        inputs: Of the call; empty where they would have taken too much memory.
        baseline: Its answer; likewise.
        candidate: Its answer; likewise, and empty where it failed.
        sentence: What differs.
    """

    at: float
    request_id: str
    inputs: Tensors
    baseline: Tensors
    candidate: Tensors
    sentence: str


class Reservoir:
    """An even sample of the disagreements of a rollout: each has the same chance to be kept, first or last."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._seen = 0
        self._examples: list[Disagreement] = []
        self._used_bytes = 0

    @property
    def examples(self) -> Sequence[Disagreement]:
        """Those that are kept."""
        return tuple(self._examples)

    def add(self, found: Disagreement) -> None:
        """Keep a copy of `found`, perhaps, in the place of another one."""
        self._seen += 1
        place = len(self._examples)
        if place == MOST_EXAMPLES:
            place = self._rng.randrange(self._seen)
            if place >= MOST_EXAMPLES:
                return
            self._used_bytes -= _size(self._examples[place])
        kept = self._fitting(found)
        self._used_bytes += _size(kept)
        self._examples[place : place + 1] = [kept]

    def _fitting(self, found: Disagreement) -> Disagreement:
        """With as many of its tensors as there is memory for: the answers are what differs, the inputs may be long."""
        left = MOST_BYTES - self._used_bytes
        answers_bytes = size_of(found.baseline) + size_of(found.candidate)
        if answers_bytes > left:
            return dataclasses.replace(found, inputs={}, baseline={}, candidate={})
        inputs = found.inputs if answers_bytes + size_of(found.inputs) <= left else {}
        return dataclasses.replace(
            found, inputs=copied(inputs), baseline=copied(found.baseline), candidate=copied(found.candidate)
        )

    def __repr__(self) -> str:
        return f"<Reservoir {len(self._examples)} of {self._seen}, {self._used_bytes} bytes>"


def _size(example: Disagreement) -> int:
    return size_of(example.inputs) + size_of(example.baseline) + size_of(example.candidate)
