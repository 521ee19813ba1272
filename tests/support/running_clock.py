"""A clock that leaves out the moments in which the whole machine stood still."""

import contextlib
import threading
import time
from collections.abc import Iterator

_TICK_S = 0.01
_STILL_S = 0.03  # what a thread that only sleeps is late when it is kept waiting by more than its neighbours


class RunningClock:
    """Seconds during which a thread that has nothing to do but to look at the time was able to.

    What is slow by its own fault takes as long as by any other clock: it does not keep others from running. A machine
    that is stopped for a moment, or that has been lent to somebody else, keeps all of them.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lost: list[tuple[float, float]] = []  # from when to when the machine stood
        self._lost_s = 0.0
        self._woke = time.perf_counter()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds; only differences mean something."""
        with self._lock:
            now = time.perf_counter()
            return now - self._lost_s - self._still_s(now)

    def stood_s(self, began: float, ended: float) -> float:
        """Seconds between two moments of `time.perf_counter`, of any process, in which the machine stood still."""
        with self._lock:
            return sum(max(0.0, min(ended, to) - max(began, since)) for since, to in self._lost)

    def _still_s(self, now: float) -> float:
        late_s = now - self._woke - _TICK_S
        return late_s if late_s > _STILL_S else 0.0

    def _look(self) -> None:
        while not self._over.wait(_TICK_S):
            with self._lock:
                now = time.perf_counter()
                if still_s := self._still_s(now):
                    self._lost_s += still_s
                    self._lost.append((now - still_s, now))
                self._woke = now

    @contextlib.contextmanager
    def _ticking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._look, name="running-clock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


@contextlib.contextmanager
def running_clock() -> Iterator[RunningClock]:
    """A clock that goes while the block runs."""
    clock = RunningClock()
    with clock._ticking():
        yield clock
