"""Which copies of calls wait for a mirrored version, and what memory they hold."""

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from serinus.core.predictor import Request, Tensor, Tensors
from serinus.core.traffic import MirrorPlan
from serinus.serving.admission import ByteBudget

_BYTES_OBJECT = 33  # of an empty `bytes`


@dataclasses.dataclass(slots=True, eq=False)
class Copy:
    """A call that was answered, to be made once more.

    Attributes:
        request: To the mirrored version.
        outputs: The baseline's answer.
        baseline_s: Seconds that the baseline took.
        plan: How it is made and compared.
        rollout: Id of the rollout that compares; "" if none does.
        segment: Of its counts.
        since: When it began to wait; seconds of the queue's clock.
        size_bytes: Memory that it holds.
    """

    request: Request
    outputs: Tensors
    baseline_s: float
    plan: MirrorPlan
    rollout: str
    segment: int
    since: float
    size_bytes: int


class CopyQueue:
    """Copies that wait, oldest first, few enough and small enough; the newest finds no place when it is full.

    Attributes:
        budget: Of memory; copies that left the queue count until `release`.
    """

    def __init__(self, budget: ByteBudget, *, most: int) -> None:
        self.budget = budget
        self._most = most
        self._copies: deque[Copy] = deque()

    def __len__(self) -> int:
        return len(self._copies)

    def has_room(self, size_bytes: int) -> bool:
        """Whether there is a place, and memory, for one more copy."""
        return len(self._copies) < self._most and self.budget.used + size_bytes <= self.budget.limit

    def push(self, copy: Copy) -> None:
        """Add a copy for which there is room."""
        assert self.has_room(copy.size_bytes), "a copy without room: this is a bug"
        self._copies.append(copy)
        self.budget.used += copy.size_bytes

    def pop(self) -> Copy:
        """Take out the one that has waited longest; its memory counts until `release`."""
        return self._copies.popleft()

    def release(self, copy: Copy) -> None:
        """A copy that left the queue is held no more."""
        self.budget.used -= copy.size_bytes

    def since(self) -> float | None:
        """Since when the oldest waits; None when none does."""
        return self._copies[0].since if self._copies else None

    def expired(self, since: float) -> Iterator[Copy]:
        """Drop the copies that have waited since then or longer; the caller counts them."""
        while self._copies and self._copies[0].since <= since:
            copy = self.pop()
            self.release(copy)
            yield copy

    def __repr__(self) -> str:
        return f"<CopyQueue {len(self._copies)}/{self._most} copies, {self.budget.used}/{self.budget.limit} bytes>"


def size_of(tensors: Tensors) -> int:
    """Bytes that tensors need, texts included."""
    return sum(_size(tensor) for tensor in tensors.values())


def held(tensors: Tensors) -> tuple[Tensors, int]:
    """Tensors as they may be kept, and the bytes of memory that this keeps from being freed.

    A view of a buffer keeps all of it: of a batch, of a message that carried other calls too. Where a buffer is more
    than twice as long as what the tensors need of it, they are copied.
    """
    kept = dict(tensors)
    size_bytes = 0
    by_buffer: dict[int, list[str]] = {}
    lengths: dict[int, int] = {}
    for name, tensor in tensors.items():
        buffer, length = _buffer(tensor)
        by_buffer.setdefault(buffer, []).append(name)
        lengths[buffer] = length
    for buffer, names in by_buffer.items():
        needed = sum(_size(kept[name]) for name in names)
        if lengths[buffer] > 2 * needed:
            kept.update(copied(kept, names))
            size_bytes += needed
        else:
            size_bytes += max(needed, lengths[buffer])
    return kept, size_bytes


def copied(tensors: Tensors, names: Sequence[str] | None = None) -> Tensors:
    """Tensors of one's own, of those names or all."""
    return {name: tensors[name].copy() for name in (tensors if names is None else names)}


def _size(tensor: Tensor) -> int:
    if not tensor.dtype.hasobject:
        return tensor.nbytes
    return tensor.nbytes + sum(_BYTES_OBJECT + len(element) for element in tensor.ravel().tolist())


def _buffer(tensor: Tensor) -> tuple[int, int]:
    """Identity and length in bytes of the memory that a tensor lies in."""
    owner: object = tensor
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    if isinstance(owner, np.ndarray):
        return id(owner), owner.nbytes
    if isinstance(owner, memoryview):
        owner = owner.obj
    # What is neither belongs to a library, which does not say how much memory it is: as good as endless.
    return id(owner), len(owner) if isinstance(owner, bytes | bytearray) else 1 << 62
