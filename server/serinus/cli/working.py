"""Runs a worker's server in this process. Imports the whole server, so only a worker imports this."""

import asyncio
import sys

from serinus.app.workers.worker import told_settings, work
from serinus.cli.ending import end_beside_runs
from serinus.cli.loops import loop_factory
from serinus.telemetry.logs import configure_logs
from serinus.workers.control import ChannelLost, ControlChannel
from serinus.workers.seat import Assignment, Seat

_LOST = 1


def run_place(place: Assignment) -> int:
    """Serve in a place until the supervisor says to leave; gives what to exit with."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        code = runner.run(_work(place))
    end_beside_runs()
    return code


async def _work(place: Assignment) -> int:
    try:
        async with await ControlChannel.over(place.connection()) as channel:
            seat = Seat(place.index, place.count, place.record, channel)
            settings = await told_settings(seat)
            context = {"worker": place.index} if place.count > 1 else {}
            # Open until the process is gone: how it ends is logged as well.
            logs = configure_logs(sys.stderr, settings.logs.level, json=settings.logs.format == "json", context=context)
            return await work(seat, settings, logs)
    except ChannelLost:
        return _LOST  # the supervisor is gone; nobody is left to be told
