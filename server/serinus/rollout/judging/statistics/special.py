"""Special functions of mathematics, loaded when a rollout needs them: 17 MiB, and a third of a second."""

import functools
import importlib
from typing import Any


@functools.cache
def special() -> Any:
    """`scipy.special`. The first call takes as long as loading it: on the way of nothing, in a thread.

    Nothing else of scipy: its optimizers alone take a quarter of a second and 25 MiB.
    """
    return importlib.import_module("scipy.special")
