"""The limit: ONNX Runtime called in this process, with the threads, runs at once and rows that are fastest here."""

import dataclasses
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.case import Case

_ROWS = (1, 2, 4, 8, 16, 32)
_TRIED_CALLS = 64  # every so manieth call, the shorter and the longer ones alike; a multiple of all of `_ROWS`
_TRIAL_S = 0.2  # of each setting at least
_FINALISTS = 3  # settings that then run all calls

Inputs = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Setting:
    """How runs are made: `threads` inside each, `at_once` beside each other, `rows` in each."""

    threads: int
    at_once: int
    rows: int

    def __str__(self) -> str:
        runs = f"{self.at_once} runs at once" if self.at_once > 1 else "one run at a time"
        return f"{runs}, {self.threads} thread{'s' if self.threads > 1 else ''} and {self.rows} rows in each"


@dataclasses.dataclass(frozen=True)
class Speed:
    """What a setting did.

    Attributes:
        rows_per_s: Rows a second.
        cpu_us: Processor time for one row, in microseconds.
    """

    rows_per_s: float
    cpu_us: float


class InProcess:
    """Runs one model; sessions are opened once for each number of threads.

    Args:
        case: The model and its calls.
        providers: Onnxruntime's names, most wanted first: those that the server beside it has.
    """

    def __init__(self, case: Case, providers: Sequence[str]) -> None:
        self._case = case
        self._providers = [*providers]
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}

    def best(self) -> Setting:
        """The setting with the most rows a second: all are tried on a few calls, then the fastest on all calls."""
        few = self._alike(_TRIED_CALLS)
        by_speed = sorted(self._settings(), key=lambda each: -self._speed(each, _TRIAL_S, few).rows_per_s)
        return max(by_speed[:_FINALISTS], key=lambda each: self.speed(each, _TRIAL_S).rows_per_s)

    def one_by_one(self) -> Setting:
        """A row in each run, and a run for each core."""
        return Setting(threads=1, at_once=os.cpu_count() or 1, rows=1)

    def speed(self, setting: Setting, seconds: float) -> Speed:
        """What it does in so long, and a little longer, until all calls were made equally often."""
        return self._speed(setting, seconds, self._alike(len(self._case.inputs)))

    def _speed(self, setting: Setting, seconds: float, alike: Sequence[Sequence[Inputs]]) -> Speed:
        runs = self._runs(alike, setting.rows)
        session = self._session(setting.threads)
        names = [output.name for output in session.get_outputs()]
        session.run(names, runs[0])
        until = time.monotonic() + seconds
        turns, lock = _passes(runs, until), threading.Lock()
        done = 0

        def work(_place: int) -> None:
            nonlocal done
            while True:
                with lock:
                    inputs = next(turns, None)
                    if inputs is None:
                        return
                    done += 1
                session.run(names, inputs)

        with ThreadPoolExecutor(setting.at_once) as pool:
            cpu_s, began = time.process_time(), time.monotonic()
            list(pool.map(work, range(setting.at_once)))
            took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
        rows = done * setting.rows
        return Speed(rows / took_s, cpu_s / rows * 1e6)

    def _settings(self) -> Sequence[Setting]:
        cores = os.cpu_count() or 1
        most = max(map(len, self._alike(_TRIED_CALLS))) if self._case.is_joinable else 1
        ways = sorted({(1, cores), (cores, 1)})
        return [Setting(threads, at_once, rows) for threads, at_once in ways for rows in _ROWS if rows <= most]

    def _session(self, threads: int) -> onnxruntime.InferenceSession:
        if threads not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.log_severity_level = 3
            self._sessions[threads] = onnxruntime.InferenceSession(self._case.path, options, providers=self._providers)
        return self._sessions[threads]

    def _runs(self, alike: Sequence[Sequence[Inputs]], rows: int) -> list[Inputs]:
        """Calls in runs of those that are about as long: nobody could group them better. Mixed order."""
        parts = [calls[start : start + rows] for calls in alike for start in range(0, len(calls) - rows + 1, rows)]
        np.random.default_rng(0).shuffle(parts)
        return [self._case.joined(part) for part in parts]

    def _alike(self, count: int) -> list[list[Inputs]]:
        """About so many of the calls, those that may share a run together, the shorter ones first."""
        calls = sorted(self._case.inputs, key=lambda call: sum(array.size for array in call.values()))
        calls = calls[:: max(1, len(calls) // count)]
        if self._case.padding:
            return [calls]
        by_shape: dict[tuple[tuple[int, ...], ...], list[Inputs]] = {}
        for call in calls:
            by_shape.setdefault(tuple(array.shape for array in call.values()), []).append(call)
        return [*by_shape.values()]


def _passes(runs: Sequence[Inputs], until: float) -> Iterator[Inputs]:
    """All runs, again and again, until the time is up at the end of a pass."""
    yield from runs
    while time.monotonic() < until:
        yield from runs
