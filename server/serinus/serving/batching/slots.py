"""Shares the compute threads out among models, so that a batch grows in its queue rather than in the pool's."""

from collections import OrderedDict
from collections.abc import Callable


class RunSlots:
    """One slot per compute thread. Who finds none free is called back, in the order of asking.

    Attributes:
        count: Slots in all.
        free: Slots that nobody holds.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.free = count
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()

    @property
    def is_idle(self) -> bool:
        """Whether a slot is free and nobody waits for one."""
        return self.free > 0 and not self._waiting

    @property
    def is_unused(self) -> bool:
        """Whether all slots are free and nobody waits for one."""
        return self.free == self.count and not self._waiting

    def take(self) -> None:
        """Take a slot; the caller has seen that one is free."""
        assert self.free > 0, "taking a slot that is not free: this is a bug"
        self.free -= 1

    def call_when_free(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` once when a slot comes back; it may take it or leave it to the next."""
        self._waiting[waiter] = None

    def give_back(self) -> None:
        """Return a slot and offer it to those who wait, longest first, until one takes it."""
        self.free += 1
        while self.free and self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            waiter()

    def forget(self, waiter: Callable[[], None]) -> None:
        """Do not call `waiter` any more."""
        self._waiting.pop(waiter, None)

    def __repr__(self) -> str:
        return f"<RunSlots {self.free}/{self.count} free, {len(self._waiting)} waiting>"
