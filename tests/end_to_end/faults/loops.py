"""Calls to a model that takes as long as each call says, 2 us a trip, and what the server counts of it."""

import numpy as np

from serinus.core.dtypes import DType
from tests.end_to_end.faults.messages import predict, tensor
from tests.support.invariants import Scrape

MODEL = {"model": "loop"}
LONG = 200_000  # trips: about half a second
ENDLESS = 2**40  # trips


def loop_call(trips: int, value: float = 1.0, **fields: int) -> bytes:
    """A call to `loop` whose answer is `value` everywhere."""
    x = np.full((1, 128), value, "<f4").tobytes()
    return predict(
        "loop",
        tensor(shape=(1, 128), data=x),
        tensor("trips", DType.INT64, (), np.array(trips, "<i8").tobytes()),
        **fields,
    )


def runs(before: Scrape, after: Scrape) -> tuple[int, int]:
    """Runs and rows of `loop` between two scrapes."""
    names = ("serinus_batches_total", "serinus_batch_rows_sum")
    batches, rows = (int(after.total(name, **MODEL) - before.total(name, **MODEL)) for name in names)
    return batches, rows
