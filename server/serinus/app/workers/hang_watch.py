"""What happens when a run does not end: its thread is given up, and a worker asks to be replaced."""

import asyncio
import contextlib
from typing import Final, NoReturn

from serinus.core.version import ModelVersion
from serinus.runtime.pool import ComputePool
from serinus.runtime.run_watch import watch_runs
from serinus.workers.control import ChannelLost, NotAnswered
from serinus.workers.seat import Seat

_HEARD_S: Final = 10.0


class HangWatch:
    """Lets runs end that nobody waits for; what does not end costs the process its thread.

    Attributes:
        pool: Whose runs.
        hang_s: How long nobody may have waited for a run, and then how long it may take to end.
        tasks: Where the supervisor is asked.
        seat: Of a worker, whose supervisor starts another in its place: a thread that computes for nobody holds a
            processor for as long as the process lives. None for a server by itself, which goes on without the thread.
    """

    def __init__(self, pool: ComputePool, hang_s: float, *, tasks: asyncio.TaskGroup, seat: Seat | None) -> None:
        self._pool = pool
        self._hang_s = hang_s
        self._tasks = tasks
        self._seat = seat

    async def __call__(self) -> NoReturn:
        """Watch, until cancelled."""
        await watch_runs(self._pool.runs, hang_s=self._hang_s, on_stuck=self._give_up)

    def _give_up(self, identity: ModelVersion, thread: str) -> None:
        self._pool.replace(thread)
        if self._seat is not None:
            self._tasks.create_task(_ask_to_be_replaced(self._seat, f"a run of {identity} does not end"))


async def _ask_to_be_replaced(seat: Seat, why: str) -> None:
    with contextlib.suppress(ChannelLost, NotAnswered, TimeoutError):  # a supervisor that is gone ends this worker
        await seat.channel.request("stuck", {"why": why}, timeout_s=_HEARD_S)
