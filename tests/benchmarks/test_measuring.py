"""What is left of a benchmark when a scenario fails, hangs or is interrupted."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.measuring import measured
from harness.plan import Plan
from harness.processes import ended
from harness.rows import Row, Verdict

_NAME = __name__.rpartition(".")[2]
_SERVER = (sys.executable, "-c", "import time; time.sleep(60)")


def good(_plan):
    return [Row(1, "cost", "1 us")]


def broken(_plan):
    raise ExceptionGroup("calls", [RuntimeError("the server is gone\nand more")])


def hung(_plan):
    async def never():
        await asyncio.Event().wait()

    asyncio.run(never())
    return []


def failed(aim, why):
    return Row(aim, _NAME, "not measured", verdict=Verdict.FAILED, why=why)


@pytest.mark.parametrize(
    ("scenario", "why"), [(broken, "RuntimeError: the server is gone"), (hung, "given up after 0.1 s")]
)
def test_a_scenario_that_breaks_down_costs_no_other_its_rows(scenario, why):
    """It is named, and the next one begins; what there is so far is kept after each."""
    kept = []
    rows = measured(
        [(1, good), (2, scenario), (3, good)], Plan(), limit_s=0.1, keep=lambda rows: kept.append(len(rows))
    )
    assert rows == [*good(None), failed(2, why), *good(None)]
    assert kept == [1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_servers_and_keeps_its_rows(number):
    """It says what it did not come to, and listens as before to who interrupts the next thing."""
    servers, kept, before = [], [], [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    def interrupted(plan):
        with subprocess.Popen(_SERVER) as process, ended(process):
            servers.append(process.pid)
            signal.raise_signal(number)
            return hung(plan)

    rows = measured([(1, good), (2, interrupted), (3, good), (14, good)], Plan(), limit_s=30, keep=kept.append)
    assert rows == [*good(None), failed(2, f"interrupted; not begun: {_NAME} (3), {_NAME} (14)")]
    assert kept[-1] == rows
    assert not Path(f"/proc/{servers[0]}").exists()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_interrupt_reaches_calls_that_wait():
    """The event loop ends its tasks before anybody hears of it."""
    cancelled = []

    def waiting(_plan):
        async def call():
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

        asyncio.run(call())
        return []

    assert measured([(5, waiting)], Plan(), limit_s=30) == [failed(5, "interrupted")]
    assert cancelled == [True]
