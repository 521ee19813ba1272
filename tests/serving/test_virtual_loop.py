"""The loop that the other tests stand on."""

import asyncio

import pytest

from tests.support.virtual_loop import Deadlock, run_virtual


def test_time_jumps_from_timer_to_timer():
    """A year passes in no time, and in order."""
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, *waits_s: float) -> None:
        for wait_s in waits_s:
            await asyncio.sleep(wait_s)
            seen.append((name, asyncio.get_running_loop().time()))

    async def main() -> str:
        await asyncio.gather(sleeper("a", 1, 3e7), sleeper("b", 0.5, 2))
        return "done"

    assert run_virtual(main()) == "done"
    assert seen == [("b", 0.5), ("a", 1.0), ("b", 2.5), ("a", 30000001.0)]


def test_a_deadlock_raises():
    """Waiting for what nobody will do ends the test instead of hanging it."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(main())
