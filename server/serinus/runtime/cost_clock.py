"""What tells the cost of a run: what its thread computed, or how long it took."""

import time
from collections.abc import Callable
from typing import Final

from serinus.runtime.options import SessionOptions

_ON_CPU: Final = ("cpu", "CPUExecutionProvider")


def cost_clock(options: SessionOptions) -> Callable[[], float]:
    """Seconds by which runs on the pool are to be compared; called on their thread.

    A run that stays on its thread costs what that thread computed: how long it waited for a processor, which others had
    meanwhile, says nothing about its rows, and on a busy machine would pass for it. The batcher knows how much slower
    than that runs are now.
    """
    stays = options.intra_op_threads == 1 and all(name in _ON_CPU for name in options.providers)
    return time.thread_time if stays else time.perf_counter
