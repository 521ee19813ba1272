"""A worker's process without a server: says that it is ready, answers, and leaves when it is told, or not.

python small_worker.py obedient|deaf|silent PLACE CHANNEL RECORD SUPERVISOR
"""

import asyncio
import os
import signal
import sys

from serinus.workers.control import ControlChannel
from serinus.workers.seat import Assignment, end_with, leave_signals_to_the_supervisor


async def main(manner: str, place: Assignment) -> None:
    told = asyncio.Event()

    async def leave(body: dict) -> dict:
        os.pwrite(place.record, repr(body["others_stay"]).encode(), 0)
        if manner == "obedient":
            told.set()
        return {}

    async def pid(_body: dict) -> dict:
        return {"pid": os.getpid(), "place": f"{place.index}/{place.count}"}

    async with await ControlChannel.over(place.connection(), {"leave": leave, "pid": pid}) as channel:
        if manner == "silent":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            await channel.request("ready", await channel.request("settings", {}, timeout_s=60), timeout_s=60)
        await told.wait()


if __name__ == "__main__":
    told_place = Assignment.read(sys.argv[2:])
    end_with(told_place.supervisor)
    leave_signals_to_the_supervisor()
    asyncio.run(main(sys.argv[1], told_place))
