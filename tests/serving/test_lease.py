"""A version stays while it is lent."""

import asyncio

import pytest

from serinus.core.errors import Draining, ModelFailed
from serinus.serving.lease import Leases
from tests.support.fakes import FakePredictor, request, settle
from tests.support.virtual_loop import virtual


@virtual
async def test_closing_waits_for_the_last_call_inside():
    """Answered, failed and cancelled calls all give their lease back."""
    inner = FakePredictor(gate=asyncio.Event())
    leases = Leases(inner)
    calls = [asyncio.create_task(leases.predict(request(tag))) for tag in range(2)]
    await settle()
    assert repr(leases) == "<Leases 2 held>"
    closing = [asyncio.create_task(leases.close()) for _ in range(2)]
    await settle()
    calls[0].cancel()
    await settle()
    assert (repr(leases), [task.done() for task in closing]) == ("<Leases 1 held, closed>", [False, False])
    inner.gate.set()
    await asyncio.gather(*closing)
    assert (leases.held, calls[1].done()) == (0, True)


@virtual
async def test_a_closed_version_lends_nothing():
    """New calls are told that it is going away."""
    inner = FakePredictor()
    leases = Leases(inner)
    await leases.close()
    await leases.close()
    with pytest.raises(Draining, match="the version is being unloaded"):
        await leases.predict(request(1))
    assert (inner.calls, leases.held) == ([], 0)


@virtual
async def test_a_failed_call_gives_its_lease_back():
    """Errors pass through."""
    leases = Leases(FakePredictor(ModelFailed("no")))
    with pytest.raises(ModelFailed):
        await leases.predict(request(1))
    assert leases.held == 0
