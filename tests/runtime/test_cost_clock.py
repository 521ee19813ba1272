"""By which clock runs are compared."""

import time

import pytest

from serinus.runtime.cost_clock import cost_clock
from serinus.runtime.options import SessionOptions


@pytest.mark.parametrize(
    ("options", "clock"),
    [
        (SessionOptions(), time.thread_time),
        (SessionOptions(providers=("CPUExecutionProvider",)), time.thread_time),
        (SessionOptions(intra_op_threads=2), time.perf_counter),
        (SessionOptions(providers=("cuda", "cpu")), time.perf_counter),
    ],
    ids=["one thread", "under its long name", "several threads", "another device"],
)
def test_what_a_thread_computes_counts_where_it_computes_all(options, clock):
    """Else other threads, or a device, do what the thread waits for."""
    assert cost_clock(options) is clock
