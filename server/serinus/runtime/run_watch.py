"""Ends runs that nobody waits for any more, and says which ones do not end."""

import asyncio
import enum
import time
from collections.abc import Callable
from typing import NoReturn

from serinus.core.version import ModelVersion
from serinus.runtime.runs import Run, RunsInProgress
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.runs")

OnStuck = Callable[[ModelVersion, str], None]
"""Gets the version and the name of the thread of a run that was told to end and does not."""

_LOOKS = 4  # while a run hangs, so that it goes on for a quarter longer at most
_LONGEST_S = 1.0  # between two looks


class Verdict(enum.Enum):
    """What is to be done about a run."""

    LEAVE = enum.auto()
    END = enum.auto()
    STUCK = enum.auto()


def judge(run: Run, now: float, hang_s: float) -> Verdict:
    """END a run that nobody has waited for in `hang_s`; STUCK is what goes on for as long again; LEAVE all others.

    onnxruntime looks whether to go on only between two nodes, so that a single long one cannot be ended.
    """
    if run.told_at is not None:
        is_stuck = not run.is_reported and now >= run.told_at + hang_s
        return Verdict.STUCK if is_stuck else Verdict.LEAVE
    is_over = run.deadline > 0.0 and now >= max(run.deadline, run.since) + hang_s
    return Verdict.END if is_over else Verdict.LEAVE


async def watch_runs(
    runs: RunsInProgress, *, hang_s: float, on_stuck: OnStuck, clock: Callable[[], float] = time.monotonic
) -> NoReturn:
    """Look at the runs now and then, until cancelled: a run that hangs makes nothing happen that one could wait for.

    Args:
        runs: What runs.
        hang_s: How long nobody may have waited for a run, and then how long it may take to end.
        on_stuck: Called once for a run that does not end.
        clock: `time.monotonic`.
    """
    while True:
        await asyncio.sleep(min(hang_s / _LOOKS, _LONGEST_S))
        now = clock()
        for run in runs.under_way():
            act(run, judge(run, now, hang_s), now, on_stuck)


def act(run: Run, verdict: Verdict, now: float, on_stuck: OnStuck) -> None:
    """Do about a run what was decided."""
    if verdict is Verdict.LEAVE:
        return
    what = {"model": run.identity.model, "version": run.identity.version_text, "thread": run.thread}
    if verdict is Verdict.END:
        log.warning("run told to end", **what, seconds=round(now - run.since, 3))
        run.terminate(now)
    else:
        log.error("run does not end", **what, seconds=round(now - run.since, 3))
        run.is_reported = True
        on_stuck(run.identity, run.thread)
