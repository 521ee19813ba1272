"""When this process gives back to the system what is free in it: as memory runs out, and when it has nothing to do."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from serinus.runtime.freed_memory import give_back
from serinus.threads import is_out_of_threads

EVERY_S: Final = 5.0
"""At most so often: what calls need again has to be mapped anew, 25 ms of processor time for 100 MiB."""

GROWN_BYTES: Final = 16 << 20
"""Growth worth a look for what of it is free."""

QUIET_S: Final = 2.0
"""A process with nothing to do for so long is not between two calls of the same wave."""

QUIET_SHARE: Final = 0.1
"""Of one processor: less than that goes into looking after itself."""

PATIENCE_S: Final = 1.0
"""Whoever asked has more to do, if no thread is free to give back."""

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def own_use() -> tuple[int, float]:
    """Bytes that this process holds and no file has (0 where nobody says), and the seconds that it has computed."""
    try:
        _size, resident, shared, *_ = _STATM.read_text().split()
    except (OSError, ValueError):
        return 0, time.process_time()
    return (int(resident) - int(shared)) * _PAGE_BYTES, time.process_time()


class Growth:
    """Whether a process that has grown has nothing to do any more.

    Growing → quiet for `QUIET_S` → settled, when it was given back; from there it may grow again.
    """

    def __init__(self) -> None:
        self._least_bytes = 0
        self._cpu_s = 0.0
        self._looked_s = float("-inf")
        self._quiet_s = 0.0

    def __repr__(self) -> str:
        return f"<Growth from {self._least_bytes} bytes, quiet for {self._quiet_s:.3g} s>"

    def is_over(self, held_bytes: int, cpu_s: float, now: float) -> bool:
        """Take in a look at time `now`; whether what is free is to be given back."""
        elapsed_s, computed_s = now - self._looked_s, cpu_s - self._cpu_s
        is_quiet = computed_s < QUIET_SHARE * elapsed_s and elapsed_s < QUIET_S
        self._quiet_s = self._quiet_s + elapsed_s if is_quiet else 0.0
        self._cpu_s, self._looked_s = cpu_s, now
        self._least_bytes = min(self._least_bytes, held_bytes)
        return self._quiet_s >= QUIET_S and held_bytes - self._least_bytes >= GROWN_BYTES

    def settled(self, held_bytes: int) -> None:
        """What is held now is in use: growth counts from here."""
        self._least_bytes = held_bytes


class SpareMemory:
    """Gives back what is free in this process; one job uses it.

    Args:
        use: Bytes held and seconds computed; see `own_use`.
        give_back: Does it; blocks, so that it is called on a thread.
        clock: Seconds, from any origin.
    """

    def __init__(
        self,
        *,
        use: Callable[[], Awaitable[tuple[int, float]]],
        give_back: Callable[[], None] = give_back,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give_back = give_back
        self._use = use
        self._clock = clock
        self._growth = Growth()
        self._next_s = float("-inf")
        self._giving: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<SpareMemory {self._growth!r}>"

    async def give_back(self) -> bool:
        """Give it back; False if that was done a moment ago, is still under way, or no thread can be had for it."""
        now = self._clock()
        if now < self._next_s or (self._giving is not None and not self._giving.done()):
            return False
        self._next_s = now + EVERY_S
        try:
            self._giving = asyncio.get_running_loop().run_in_executor(None, self._give_back)
        except RuntimeError as error:
            if not is_out_of_threads(error):
                raise
            return False
        done, _ = await asyncio.wait({self._giving}, timeout=PATIENCE_S)
        if not done:
            return False
        self._giving.result()
        self._growth.settled((await self._use())[0])
        return True

    async def give_back_when_idle(self) -> bool:
        """The same if this process has grown and has nothing to do by now; to be asked a few times a second."""
        return self._growth.is_over(*await self._use(), self._clock()) and await self.give_back()
