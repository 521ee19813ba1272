"""Workers die and are replaced under load; callers of the SDK notice nothing."""

import asyncio
import os
import signal
import time

from serinus_client import NO_RETRIES, Unavailable
from tests.end_to_end.workers.load import load
from tests.end_to_end.workers.supervised import Supervised, until_gone

BACK_S = 5.0


async def test_a_killed_worker_takes_only_its_calls_with_it(pair: Supervised) -> None:
    """They fail with UNAVAILABLE; with the SDK's default retries nobody sees it. Then it is back."""
    async with load(pair.target) as patient, load(pair.target, NO_RETRIES) as hasty:
        await asyncio.sleep(0.5)
        usual_s, ready = hasty.p99_s(0.0), pair.count("worker ready")
        killed = time.monotonic()
        os.kill(pair.workers()[1], signal.SIGKILL)
        await asyncio.sleep(0.25)
        while hasty.p99_s(time.monotonic() - 0.25) > 2 * usual_s + 0.05:  # noqa: ASYNC110 - it is a matter of time
            await asyncio.sleep(0.05)
        assert time.monotonic() - killed < BACK_S
        await pair.until("worker ready", ready + 1)
        await asyncio.sleep(0.2)
    assert [type(error) for _, error in hasty.failures] == [Unavailable] * len(hasty.failures)
    assert [ended - killed for ended, _ in hasty.failures if ended - killed > 1] == []
    assert patient.failures == []
    death = next(event for event in pair.events() if event["event"] == "worker ended")
    assert (death["worker"], death["how"]) == (1, "signal 9")


async def test_a_rolling_restart_fails_no_call(pair: Supervised) -> None:
    """Both workers are other processes afterwards; calls went on all the time."""
    before = pair.workers()
    async with load(pair.target) as patient:
        done = pair.count("rolling restart done")
        pair.process.send_signal(signal.SIGHUP)
        await pair.until("rolling restart done", done + 1)
        answered = len(patient.answers)
        await asyncio.sleep(0.3)
        assert len(patient.answers) > answered
    assert patient.failures == []
    after = pair.workers()
    assert not set(before.values()) & set(after.values())
    await until_gone(before.values())
