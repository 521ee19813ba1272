"""Shares the compute threads out among models, so that a batch grows in its queue rather than in the pool's."""

from collections import OrderedDict
from collections.abc import Callable


class RunSlots:
    """One slot per compute thread. Who finds none free is called back, in the order of asking.

    Where short runs follow each other a thread would idle from the end of one until the event loop has heard of it and
    handed over the next. So some more runs may stand ready in the pool's queue: such as nobody could join any more.

    Attributes:
        count: Slots in all.
        ahead: Runs that may stand ready behind those that hold the slots.
    """

    def __init__(self, count: int, *, ahead: int = 0) -> None:
        self.count = count
        self.ahead = ahead
        self._taken = 0
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return max(0, self.count - self._taken)

    @property
    def is_idle(self) -> bool:
        """Whether a slot is free and nobody waits for one."""
        return self.free > 0 and not self._waiting

    @property
    def is_unused(self) -> bool:
        """Whether all slots are free and nobody waits for one."""
        return not self._taken and not self._waiting

    def may_stand_ready(self, waiter: Callable[[], None]) -> bool:
        """Whether one more run may be taken on although no slot is free: if nobody but `waiter` waits for one."""
        others = len(self._waiting) - (waiter in self._waiting)
        return not others and self._taken < self.count + self.ahead

    def take(self) -> None:
        """Take a slot; the caller has seen that one is free, or that a run may stand ready."""
        assert self._taken < self.count + self.ahead, "taking a slot that is not free: this is a bug"
        self._taken += 1

    def call_when_free(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` once when a slot comes back; it may take it or leave it to the next."""
        self._waiting[waiter] = None

    def give_back(self) -> None:
        """Return a slot and offer it to those who wait, longest first, until one takes it."""
        self._taken -= 1
        while self.free and self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            waiter()

    def forget(self, waiter: Callable[[], None]) -> None:
        """Do not call `waiter` any more."""
        self._waiting.pop(waiter, None)

    def __repr__(self) -> str:
        return f"<RunSlots {self.free}/{self.count} free, {len(self._waiting)} waiting>"
