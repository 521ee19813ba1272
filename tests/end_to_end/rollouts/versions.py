"""Small versions of one model that fare badly with the calls that their callers choose."""

import numpy as np

from serinus.runtime.sabotage import Fault, sabotaged
from tests.end_to_end.registry.places import Place, times
from tests.end_to_end.rollouts.callers import Question

GOOD, BAD = 50.0, 1.0
"""First value of a call that every version answers, and of one that those made by `faulty` do not."""
_PERCENT = 10  # of the whole numbers below 100, those that are bad


def faulty(place: Place, factor: float, fault: Fault, *, work: int = 40) -> bytes:
    """y = x * factor, but for calls whose first value is BAD; a slow one is slow with all."""
    return sabotaged(place.file(times(factor)), fault, percent=_PERCENT, work=work)


def question(first: float = GOOD, **factors: float) -> Question:
    """A call, and by what each version multiplies; `v1_1_0=3.0` for version 1.1.0."""
    x = np.array([[first, 0]], np.float32)
    return Question({"x": x}, {name[1:].replace("_", "."): {"y": x * factor} for name, factor in factors.items()})


async def two_versions(place: Place, candidate: bytes, *, stable: bytes | None = None, model: str = "m") -> None:
    """Register 1.0.0, which is stable and multiplies by 2, and 1.1.0, and wait until the first serves."""
    await place.register(model, "1.0.0", times(2) if stable is None else stable)
    await place.register(model, "1.1.0", candidate)
    await place.client.admin.load_model(model)
