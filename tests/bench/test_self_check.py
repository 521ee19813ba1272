"""Whether the generator sees a server stop: a real one, in a process of its own."""

import asyncio
import os
import signal

from serinus.bench.load import closed_loop
from serinus.bench.self_check import missed, stalled_run
from serinus.bench.stub_server import stub_server
from serinus.bench.transports import INFER, channel, raw_call

STALL_S = 0.3


async def test_a_stall_is_seen_in_the_percentiles_and_callers_who_wait_do_not_see_it():
    """The same check on a closed loop finds it missing: it can fail."""
    async with stub_server() as (target, pid), channel(target) as open_channel:
        call = raw_call(open_channel, INFER, [b""])
        seen = await stalled_run(call, pid, stall_s=STALL_S)

        async def stall():
            await asyncio.sleep(0.1)
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(STALL_S)
            os.kill(pid, signal.SIGCONT)

        blind, _ = await asyncio.gather(closed_loop(call, callers=1, duration_s=3 * STALL_S), stall())
    # How late a busy machine makes the generator is not asked here.
    assert [sentence for sentence in missed(seen, stall_s=STALL_S) if sentence != seen.void] == []
    assert missed(blind, stall_s=STALL_S)[0].startswith("p99 is ")
