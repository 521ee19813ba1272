"""What the log says of an event loop that stands."""

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from serinus.telemetry.loop_stalls import THREAD, StallWatch, stack_of

WAIT_S = 30.0


class Lines(logging.Handler):
    """What was logged, for whoever waits for it on whatever thread."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Any] = []
        self.has_said = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.msg)
        self.has_said.set()

    def events(self) -> list[str]:
        return [line["event"] for line in self.said]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("serinus.loop")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@contextlib.asynccontextmanager
async def watched(report: Callable[[float], None], **numbers: float) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        job = group.create_task(StallWatch(report, **numbers)())
        try:
            yield
        finally:
            job.cancel()


async def ticks(lags: "asyncio.Queue[float]", count: int) -> None:
    for _ in range(count):
        await lags.get()


def hold_the_loop(lines: Lines) -> bool:
    """Do on the loop what nobody should, until it is in the log."""
    return lines.has_said.wait(WAIT_S)


async def test_the_log_names_what_holds_the_loop_while_it_does(lines: Lines) -> None:
    """Once, with the functions that are being run; and once more, when it is over, how long it took."""
    lags: asyncio.Queue[float] = asyncio.Queue()
    async with watched(lags.put_nowait, stall_s=0.02, tick_s=0.0):
        await ticks(lags, 2)
        assert hold_the_loop(lines)
        await ticks(lags, 2)
    stands, goes_on = lines.said[:2]
    assert (stands["event"], goes_on["event"]) == ("event loop stands", "event loop goes on")
    own = [line.rpartition(":")[0] for line in stands["stack"] if line.startswith(f"{__name__}.")]
    name = test_the_log_names_what_holds_the_loop_while_it_does.__name__
    assert own == [f"{__name__}.hold_the_loop", f"{__name__}.{name}"]
    assert goes_on["stood_s"] >= stands["stood_s"] >= 0.02
    assert THREAD not in {thread.name for thread in threading.enumerate()}


async def test_a_stall_is_said_once_and_a_loop_that_ticks_not_at_all(lines: Lines) -> None:
    """However often it is looked at; the next stall is another."""
    now = 100.0
    lags: asyncio.Queue[float] = asyncio.Queue()
    here = threading.get_ident()
    watch = StallWatch(lags.put_nowait, stall_s=60.0, tick_s=0.0, clock=lambda: now)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(watch())
        await ticks(lags, 2)
        now += 59.9
        watch.look(here)
        assert lines.events() == []
        now += 0.1
        watch.look(here)
        watch.look(here)
        assert lines.events() == ["event loop stands"]
        await ticks(lags, 2)
        watch.look(here)
        now += 61.0
        watch.look(here)
        await ticks(lags, 2)
        job.cancel()
    said = [(line["event"], line["stood_s"]) for line in lines.said]
    assert said == [
        ("event loop stands", 60.0),
        ("event loop goes on", 60.0),
        ("event loop stands", 61.0),
        ("event loop goes on", 61.0),
    ]


async def test_what_a_start_takes_is_no_stall(lines: Lines) -> None:
    """Until the loop has ticked once, nobody can have been kept waiting."""
    now = 100.0
    watch = StallWatch(lambda _: None, stall_s=60.0, clock=lambda: now)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(watch())
        await asyncio.sleep(0)
        now += 61.0
        watch.look(threading.get_ident())
        job.cancel()
    assert lines.said == []


def test_a_stack_names_code_and_no_paths() -> None:
    """The innermost first, a bounded number of them; nothing for a thread that is gone."""

    def deep(left: int) -> list[str]:
        return deep(left - 1) if left else list(stack_of(sys._getframe()))

    stack = deep(100)
    assert (len(stack), {line.rpartition(":")[0] for line in stack}) == (
        24,
        {f"{__name__}.test_a_stack_names_code_and_no_paths.<locals>.deep"},
    )
    assert list(stack_of(None)) == []
