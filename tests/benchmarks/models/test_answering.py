"""Callers of a server that may hang."""

import asyncio

import pytest

from models.load import answering
from serinus.bench.load import closed_loop


def test_a_server_that_hangs_costs_a_run_its_limit_and_no_more():
    """Its callers would give up one by one, each call after half a minute."""
    open_calls = set()

    async def hung(number, _timeout_s, /):
        open_calls.add(number)
        try:
            await asyncio.Event().wait()
        finally:
            open_calls.remove(number)
        return 0

    async def calling():
        async with answering(0.05):
            await closed_loop(hung, callers=4, calls=100)

    with pytest.raises(TimeoutError, match=r"^not all calls were answered within 0.05 s$"):
        asyncio.run(calling())
    assert open_calls == set()
