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

FREE_EVERY_S: Final = 30.0
"""At most so often a quiet process is asked what is free: 200 MiB in small pieces take 4 ms, for which others wait."""

GROWN_BYTES: Final = 16 << 20
"""What has been taken, or has become free, since the last time: worth to give back."""

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


class Quiet:
    """For how long a process has had nothing to do; a loop that stood says nothing about that."""

    def __init__(self) -> None:
        self._cpu_s = 0.0
        self._looked_s = float("-inf")
        self._quiet_s = 0.0

    def __repr__(self) -> str:
        return f"<Quiet for {self._quiet_s:.3g} s>"

    def is_long(self, cpu_s: float, now: float) -> bool:
        """Take in a look at time `now`; whether it is `QUIET_S` by now."""
        elapsed_s, computed_s = now - self._looked_s, cpu_s - self._cpu_s
        is_quiet = computed_s < QUIET_SHARE * elapsed_s and elapsed_s < QUIET_S
        self._quiet_s = self._quiet_s + elapsed_s if is_quiet else 0.0
        self._cpu_s, self._looked_s = cpu_s, now
        return self._quiet_s >= QUIET_S


class Growth:
    """Whether bytes have grown since they were settled, from the least that they were since."""

    def __init__(self) -> None:
        self._least_bytes = 0

    def __repr__(self) -> str:
        return f"<Growth from {self._least_bytes} bytes>"

    def is_worth(self, now_bytes: int) -> bool:
        """Take in a look; whether it is `GROWN_BYTES` by now."""
        self._least_bytes = min(self._least_bytes, now_bytes)
        return now_bytes - self._least_bytes >= GROWN_BYTES

    def settled(self, now_bytes: int) -> None:
        """From here they may grow again."""
        self._least_bytes = now_bytes


class SpareMemory:
    """Gives back what is free in this process; one job uses it.

    Args:
        use: Bytes held and seconds computed; see `own_use`.
        free: Bytes that nobody uses, those that were given back included; see `free_bytes`.
        give_back: Does it; blocks, so that it is called on a thread.
        clock: Seconds, from any origin.
    """

    def __init__(
        self,
        *,
        use: Callable[[], Awaitable[tuple[int, float]]],
        free: Callable[[], Awaitable[int]],
        give_back: Callable[[], None] = give_back,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give_back = give_back
        self._use = use
        self._free = free
        self._clock = clock
        self._quiet = Quiet()
        self._held, self._freed = Growth(), Growth()
        self._next_free_s = float("-inf")
        self._next_s = float("-inf")
        self._giving: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<SpareMemory {self._quiet!r}, held {self._held!r}, free {self._freed!r}>"

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
        self._held.settled((await self._use())[0])
        self._freed.settled(await self._free())
        return True

    async def give_back_when_idle(self) -> bool:
        """The same if there is something to give back and nothing to do by now; to be asked a few times a second."""
        held_bytes, cpu_s = await self._use()
        has_grown, is_quiet = self._held.is_worth(held_bytes), self._quiet.is_long(cpu_s, self._clock())
        return is_quiet and (has_grown or await self._is_freed()) and await self.give_back()

    async def _is_freed(self) -> bool:
        """Whether more is free: ten thousand connections that have gone leave what is held as it was."""
        now = self._clock()
        if now < self._next_free_s:
            return False
        self._next_free_s = now + FREE_EVERY_S
        return self._freed.is_worth(await self._free())
