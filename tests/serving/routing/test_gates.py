"""The breakers of one model, as calls meet them."""

import asyncio

from serinus.serving.routing.breaker import BreakerLimits, BreakerState
from serinus.serving.routing.gates import BreakerView, Gates
from tests.support.routes import CANARY, STABLE
from tests.support.virtual_loop import virtual

CLOSED = BreakerView(BreakerState.CLOSED, failures=0, retry_in_s=0.0)


class Scene:
    """Gates that open at two failures, and what they tell."""

    def __init__(self) -> None:
        self.moves: list[tuple[object, ...]] = []
        self.gates = Gates(
            BreakerLimits(failures=2, open_s=5.0),
            clock=asyncio.get_running_loop().time,
            changed=lambda version, state: self.moves.append((version, state.value)),
        )

    def open(self) -> None:
        """Let the canary fail."""
        for _ in range(2):
            turn = self.gates.of(CANARY).admit()
            assert turn is not None
            self.gates.of(CANARY).failed(0.0, turn)


@virtual
async def test_a_version_that_fails_is_taken_out_alone():
    """The others' breakers are theirs."""
    scene = Scene()
    assert scene.gates.of(STABLE).admit() == 0
    scene.open()
    await asyncio.sleep(1)
    opened = BreakerView(BreakerState.OPEN, failures=2, retry_in_s=4.0)
    assert scene.gates.views() == {STABLE: CLOSED, CANARY: opened}
    assert scene.gates.tripped() == {CANARY.number}
    assert [scene.gates.of(version).admit() for version in (STABLE, CANARY)] == [0, None]


@virtual
async def test_every_move_is_told_once():
    """Open, half open with the first probe, closed with the third."""
    scene = Scene()
    scene.open()
    await asyncio.sleep(5)
    for _ in range(3):
        turn = scene.gates.of(CANARY).admit()
        assert turn is not None
        scene.gates.of(CANARY).answered(5.0, turn)
    assert scene.moves == [(CANARY, "open"), (CANARY, "half_open"), (CANARY, "closed")]


@virtual
async def test_a_version_that_left_is_forgotten():
    """Who watches hears that its breaker is not open any more; calls inside still have theirs."""
    scene = Scene()
    scene.open()
    inside = scene.gates.of(CANARY)
    scene.gates.keep([STABLE])
    inside.failed(0.0, 0)
    assert scene.gates.of(CANARY).view() == CLOSED
    assert scene.moves == [(CANARY, "open"), (CANARY, "closed")]
