"""Keeps to a schedule and notes what becomes of each call: callers that wait for answers, or times that do not wait.

    closed loop: each of N callers sends its next call when it has the answer to the last
    open loop:   calls are due at given times, however long the answers take

Latency counts from when a call was due. Whatever is open when a run is over gets its time, and no more.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self

from serinus.bench.calls import ANSWERED, NOT_SENT, UNANSWERED, Call, outcome_of
from serinus.bench.notes import Notebook
from serinus.bench.run import LATE_S, Run
from serinus.bench.schedules import MOST_CALLS, Times
from serinus.bench.server_use import Meter, Use

TIMEOUT_S = 30.0
"""What a call gets that has no deadline: a server that does not answer must not hold the run up for ever."""

MOST_OPEN = 20_000
"""Calls of an open loop without a deadline pile up in front of a server that is too slow; each costs about 10 KiB."""

_GRACE_S = 1.0  # for the last calls to end by their own deadlines
_IN_A_ROW = 64  # sends between two looks at the event loop, when the generator is behind


async def closed_loop(
    call: Call,
    *,
    callers: int,
    calls: int = MOST_CALLS,
    duration_s: float = math.inf,
    warmup_s: float = 0.0,
    rows: int = 1,
    deadline_s: float | None = None,
    meter: Meter | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Calls of some callers, until so many have ended or so much time has passed, whichever comes first.

    Args:
        call: Makes one.
        callers: How many call at once.
        calls: Calls within the window; a twentieth of them comes before it, to warm up.
        duration_s: Seconds of the window.
        warmup_s: Seconds before it.
        rows: Rows of each call.
        deadline_s: Seconds that each call gets; None for `TIMEOUT_S`, and answers are good however late.
        meter: Reads what the server uses.
        clock: Seconds.

    Raises:
        ProcessLookupError: the server's process is gone.
    """
    if callers < 1:
        raise ValueError(f"callers: expected at least 1, got {callers}")
    if calls >= MOST_CALLS and math.isinf(duration_s):
        raise ValueError("calls or duration_s: expected at least one of them")
    timeout_s = TIMEOUT_S if deadline_s is None else deadline_s
    warmup_calls = max(callers, calls // 20) if calls < MOST_CALLS else 0
    notebook, window = Notebook(), _Window(meter)
    one = _noted(call, notebook, timeout_s=timeout_s, clock=clock)
    start = clock()
    started = 0

    async def caller() -> None:
        nonlocal started
        while not window.is_over:
            number, started = started, started + 1
            await one(number, clock())
            now = clock()
            if not window.has_begun:
                if len(notebook) >= warmup_calls and now >= start + warmup_s:
                    window.begin(len(notebook), now)
            elif len(notebook) - window.ended_before >= calls or now >= window.begun_at + duration_s:
                window.end(now)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(caller())
    except ExceptionGroup as group:
        # What a call raises is its outcome; this is the one caller's that found the meter broken.
        raise group.exceptions[0] from None
    return window.run(notebook, start, rows=rows, deadline_s=deadline_s, late_s=LATE_S)


async def open_loop(
    call: Call,
    times: Times,
    *,
    duration_s: float,
    warmup_s: float = 0.0,
    rows: int = 1,
    deadline_s: float | None = None,
    meter: Meter | None = None,
    late_s: float = LATE_S,
    most_open: int = MOST_OPEN,
    until: asyncio.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Calls at `times`; the window ends after `duration_s`, and the run when all calls have ended.

    Args:
        call: Makes one.
        times: When each is due, of `serinus.bench.schedules`.
        duration_s: Seconds from the start to the end of the window, the warm-up included.
        warmup_s: Seconds at the beginning that are not counted.
        rows: Rows of each call.
        deadline_s: Seconds that each call gets from when it is due; None for `TIMEOUT_S`.
        meter: Reads what the server uses.
        late_s: The run is void if the generator is later (p99).
        most_open: Calls open at once; more are not sent, and void the run.
        until: Ends the window earlier once it is set.
        clock: Seconds, of the event loop's length.
    """
    if not 0 <= warmup_s < duration_s:
        raise ValueError(f"warmup_s: expected 0 to less than {duration_s}, got {warmup_s}")
    timeout_s = TIMEOUT_S if deadline_s is None else deadline_s
    notebook, window = Notebook(), _Window(meter)
    until = until or asyncio.Event()
    start = clock()

    async def until_due(at: float) -> None:
        await asyncio.sleep(max(0.0, at - clock()))

    async with _OpenCalls(call, notebook, timeout_s=timeout_s, most=most_open, clock=clock) as open_calls:
        for number, due_s in enumerate(times[times <= duration_s].tolist()):
            if not window.has_begun and due_s >= warmup_s:
                await until_due(start + warmup_s)
                window.begin(len(notebook), start + warmup_s)
            due = start + due_s
            if due > clock():
                await until_due(due)
            elif number % _IN_A_ROW == 0:
                await asyncio.sleep(0)
            if until.is_set():
                break
            open_calls.send(number, due)
        else:
            await until_due(start + duration_s)
        if not window.has_begun:
            window.begin(len(notebook), start + warmup_s)
        window.end(min(start + duration_s, clock()))
        await open_calls.all_ended()
    return window.run(notebook, start, rows=rows, deadline_s=deadline_s, late_s=late_s)


def _noted(
    call: Call, notebook: Notebook, *, timeout_s: float, clock: Callable[[], float]
) -> Callable[[int, float], Coroutine[None, None, None]]:
    """Makes the call of a number that is due at a time, and notes how it ended."""

    async def one(number: int, due: float) -> None:
        sent = clock()
        try:
            batch_rows = await call(number, max(0.0, due + timeout_s - sent))
        except Exception as error:  # noqa: BLE001 - whatever ends a call is its outcome
            notebook.note(due, sent, clock(), outcome_of(error))
        else:
            notebook.note(due, sent, clock(), ANSWERED, batch_rows)

    return one


class _OpenCalls:
    """The calls of an open loop that have not ended; none outlives its block."""

    def __init__(
        self, call: Call, notebook: Notebook, *, timeout_s: float, most: int, clock: Callable[[], float]
    ) -> None:
        self._one = _noted(call, notebook, timeout_s=timeout_s, clock=clock)
        self._notebook = notebook
        self._timeout_s = timeout_s
        self._most = most
        self._clock = clock
        self._due: dict[asyncio.Task[None], float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._due:
            task.cancel()
        if self._due:
            await asyncio.wait(tuple(self._due))

    def send(self, number: int, due: float) -> None:
        """Begin a call, if there is room for one more."""
        if len(self._due) >= self._most:
            now = self._clock()
            self._notebook.note(due, now, now, NOT_SENT)
            return
        task = asyncio.create_task(self._one(number, due))
        self._due[task] = due
        task.add_done_callback(self._due.__delitem__)

    async def all_ended(self) -> None:
        """Wait for the calls, as long as they may take; those that then have not ended are noted as unanswered."""
        if self._due:
            await asyncio.wait(tuple(self._due), timeout=self._timeout_s + _GRACE_S)
        now = self._clock()
        for task, due in self._due.items():
            if not task.done():
                self._notebook.note(due, due, now, UNANSWERED)


class _Window:
    """The part of a run that counts: before → begun → over. Reads the meters at both ends."""

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._before: Use | None = None
        self._server: Use | None = None
        self._cpu_s = 0.0
        self._over_at = 0.0
        self.begun_at = 0.0
        self.ended_before = 0
        self.has_begun = False
        self.is_over = False

    def begin(self, ended: int, at: float) -> None:
        """The warm-up is over at `at`; so many calls have ended in it."""
        self.has_begun = True
        self.ended_before = ended
        self._before = None if self._meter is None else self._meter.use()
        self._cpu_s = time.process_time()
        self.begun_at = at

    def end(self, at: float) -> None:
        """What ends after `at` does not count."""
        if self.is_over:
            return
        self.is_over = True
        self._over_at = at
        self._cpu_s = time.process_time() - self._cpu_s
        if self._meter is not None and self._before is not None:
            self._server = self._meter.use().since(self._before)

    def run(self, notebook: Notebook, start: float, *, rows: int, deadline_s: float | None, late_s: float) -> Run:
        """Everything, once no call is open."""
        return Run(
            notebook.read(start),
            self.begun_at - start,
            self._over_at - start,
            rows=rows,
            deadline_s=deadline_s,
            late_s=late_s,
            server=self._server,
            generator_cpu_s=self._cpu_s,
        )
