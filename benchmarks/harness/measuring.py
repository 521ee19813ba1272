"""Runs scenarios one after another and keeps what they measured, whichever of them fails, hangs or is interrupted.

An interrupt, SIGTERM and the limit of a scenario all arrive as KeyboardInterrupt: asyncio and `with` blocks then end
what they have started, server processes included.
"""

import contextlib
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

from harness.plan import Plan
from harness.rows import Row, failed

Scenario = Callable[[Plan], list[Row]]


def measured(
    scenarios: Sequence[tuple[int, Scenario]],
    plan: Plan,
    *,
    limit_s: float,
    keep: Callable[[Sequence[Row]], None] = lambda _rows: None,
) -> list[Row]:
    """The rows of all scenarios; one that failed has a row that says so.

    Args:
        scenarios: Each with the number of its aim.
        plan: What each is told.
        limit_s: Seconds after which a scenario is given up; the next one begins.
        keep: Called with all rows so far after each scenario, the one that was interrupted included.
    """
    rows: list[Row] = []
    for place, (aim, scenario) in enumerate(scenarios):
        name = _name(scenario)
        print(f"aim {aim}, {name} …", file=sys.stderr, flush=True)
        is_over, began = False, time.monotonic()
        with _interruptible(limit_s) as limit:
            try:
                rows += scenario(plan)
            except Exception as error:  # noqa: BLE001 - the outermost frame of a scenario: the next one may do better
                traceback.print_exc()
                rows.append(failed(aim, name, _said(error)))
            except KeyboardInterrupt:
                is_over = not limit.is_passed
                left = ", ".join(f"{_name(later)} ({number})" for number, later in scenarios[place + 1 :])
                interrupted = "interrupted" + (f"; not begun: {left}" if left else "")
                rows.append(failed(aim, name, interrupted if is_over else f"given up after {limit_s:g} s"))
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        keep(rows)
        if is_over:
            break
    return rows


class _Limit:
    """Whether a scenario's time is up."""

    is_passed = False

    def passed(self, *_: object) -> None:
        self.is_passed = True
        signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _interruptible(limit_s: float) -> Iterator[_Limit]:
    """Within the block SIGTERM and the end of its time are interrupts, even where a shell had interrupts ignored."""
    limit = _Limit()
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: lambda *_: signal.raise_signal(signal.SIGINT),
        signal.SIGALRM: limit.passed,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _name(scenario: Scenario) -> str:
    return scenario.__module__.rpartition(".")[2]


def _said(error: BaseException) -> str:
    """The first thing that went wrong, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
