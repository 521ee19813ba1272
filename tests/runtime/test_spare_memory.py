"""When a process gives back what is free in it."""

import asyncio
import os
import threading
import time

import pytest

from serinus.runtime.spare_memory import EVERY_S, FREE_EVERY_S, GROWN_BYTES, QUIET_S, Quiet, SpareMemory, own_use
from tests.support.fakes import answering
from tests.support.no_threads import no_threads

TICK_S = 0.5
TICKS = round(QUIET_S / TICK_S)


class Process:
    """A process of which a test says what it holds, computes and gives back."""

    def __init__(self) -> None:
        self.now = 0.0
        self.held_bytes = 0
        self.free_bytes = 0
        self.given_bytes = 0  # are free still, and nobody's
        self.cpu_s = 0.0
        self.given_back: list[float] = []
        self.spare = SpareMemory(
            use=answering(lambda: (self.held_bytes, self.cpu_s)),
            free=answering(lambda: self.free_bytes + self.given_bytes),
            give_back=self._give_back,
            clock=lambda: self.now,
        )

    def _give_back(self) -> None:
        self.held_bytes -= self.free_bytes
        self.given_bytes += self.free_bytes
        self.free_bytes = 0
        self.given_back.append(self.now)

    async def live(self, ticks: int, *, cpu_share: float = 0.0) -> None:
        """Go on for some looks, computing so much of one processor."""
        for _ in range(ticks):
            self.now += TICK_S
            self.cpu_s += cpu_share * TICK_S
            await self.spare.give_back_when_idle()


async def test_a_wave_is_given_back_once_it_is_over():
    """Not while anything is computed, not before it has been quiet for a while, and then once."""
    process = Process()
    process.held_bytes, process.free_bytes = 10 * GROWN_BYTES, GROWN_BYTES
    await process.live(20, cpu_share=0.5)
    assert process.given_back == []
    await process.live(TICKS - 1)
    assert process.given_back == []
    await process.live(100)
    assert process.given_back == [10.0 + QUIET_S]
    assert process.held_bytes == 9 * GROWN_BYTES


async def test_what_is_in_use_is_not_looked_through_again():
    """A process that stays as large as giving back has left it is left alone, until it has grown from there."""
    process = Process()
    process.held_bytes = 5 * GROWN_BYTES
    await process.live(50)
    process.held_bytes += GROWN_BYTES - 1
    await process.live(50)
    assert len(process.given_back) == 1
    process.held_bytes += 1
    await process.live(1)
    assert process.given_back == [TICK_S + QUIET_S, process.now]  # the first look has nothing to compare with


async def test_growth_counts_from_the_least_that_was_held():
    """What an unloaded model leaves is not room to grow into."""
    process = Process()
    process.held_bytes = 5 * GROWN_BYTES
    await process.live(50)
    process.held_bytes = GROWN_BYTES
    await process.live(50)
    process.held_bytes = 2 * GROWN_BYTES
    await process.live(50)
    assert len(process.given_back) == 2


async def test_what_becomes_free_is_given_back_although_the_process_does_not_grow():
    """Connections were counted as in use while they were open, and take nothing more by being closed."""
    process = Process()
    process.held_bytes = 20 * GROWN_BYTES
    await process.live(50)
    process.free_bytes = 10 * GROWN_BYTES
    await process.live(round(FREE_EVERY_S / TICK_S), cpu_share=0.5)
    assert len(process.given_back) == 1
    await process.live(TICKS + round(FREE_EVERY_S / TICK_S))
    assert len(process.given_back) == 2
    assert process.held_bytes == 10 * GROWN_BYTES


async def test_what_is_free_and_was_given_back_is_not_given_again():
    """The C library counts it as free until somebody takes it."""
    process = Process()
    process.held_bytes = process.free_bytes = 20 * GROWN_BYTES
    await process.live(round(10 * FREE_EVERY_S / TICK_S))
    assert process.given_back == [TICK_S + QUIET_S]


async def test_a_loop_that_stood_says_nothing_about_quiet():
    """Nobody looked meanwhile: the wave may have come and gone, and come again."""
    quiet = Quiet()
    assert not quiet.is_long(0.0, 0.0)
    assert not quiet.is_long(0.0, 10 * QUIET_S)
    looks = [quiet.is_long(0.0, 10 * QUIET_S + TICK_S * tick) for tick in range(1, TICKS + 1)]
    assert looks == [False] * (TICKS - 1) + [True]


async def test_whoever_asks_again_at_once_is_told_no():
    """Some seconds later it is done again."""
    process = Process()
    assert await process.spare.give_back()
    assert not await process.spare.give_back()
    process.now = EVERY_S
    assert await process.spare.give_back()
    assert process.given_back == [0.0, EVERY_S]


async def test_one_that_is_under_way_is_waited_for_a_moment_and_not_begun_twice():
    """A thread that does not come back costs a second once."""
    ended = threading.Event()
    begun: list[float] = []
    now = 0.0

    def never_ends() -> None:
        begun.append(now)
        ended.wait(60)

    spare = SpareMemory(
        use=answering(lambda: (0, 0.0)), free=answering(lambda: 0), give_back=never_ends, clock=lambda: now
    )
    started = time.monotonic()
    try:
        assert not await spare.give_back()
        now = 2 * EVERY_S
        assert not await spare.give_back()
    finally:
        ended.set()
    assert begun == [0.0]
    assert time.monotonic() - started < 30


def test_nothing_is_given_back_where_no_thread_is_to_be_had():
    """Memory is the smaller trouble then, and the watch goes on."""

    given_back: list[str] = []

    async def asked() -> bool:
        with no_threads():
            return await SpareMemory(
                use=answering(lambda: (0, 0.0)), free=answering(lambda: 0), give_back=lambda: given_back.append("all")
            ).give_back()

    assert (asyncio.run(asked()), given_back) == (False, [])


def test_what_this_process_holds_is_read_from_the_system():
    """Memory of its own counts, and shows at once; pages of files do not."""
    held_bytes, cpu_s = own_use()
    if not held_bytes:
        pytest.skip("no /proc here")
    block = bytearray(os.urandom(1 << 10) * (64 << 10))  # 64 MiB, written to
    grown_bytes, later_s = own_use()
    assert grown_bytes - held_bytes > len(block) // 2
    assert later_s >= cpu_s
