"""The limit: ONNX Runtime called in this process, with the threads, runs at once and rows that are fastest here."""

import dataclasses
import itertools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.case import Case

_ROWS = (1, 2, 4, 8, 16, 32)
_TRIAL_S = 0.25  # of each setting, before the best one is measured
_TRIALS = 2  # the quicker one counts: on a shared machine a try is slowed down by others, and never sped up

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
    """Runs one model; sessions are opened once for each number of threads."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        self._runs: dict[int, list[Inputs]] = {}

    def best(self) -> Setting:
        """The setting with the most rows a second."""
        tried = [(setting, self.speed(setting, _TRIAL_S)) for _ in range(_TRIALS) for setting in self._settings()]
        return max(tried, key=lambda each: each[1].rows_per_s)[0]

    def one_by_one(self) -> Setting:
        """A row in each run, and a run for each core."""
        return Setting(threads=1, at_once=os.cpu_count() or 1, rows=1)

    def speed(self, setting: Setting, seconds: float) -> Speed:
        """What it does for so long, after one run each to warm up."""
        session, runs = self._session(setting.threads), self._runs_of(setting.rows)
        names = [output.name for output in session.get_outputs()]
        turns, lock = itertools.cycle(runs), threading.Lock()
        done = 0

        def work(until: float) -> None:
            nonlocal done
            while True:
                with lock:
                    inputs = next(turns)
                session.run(names, inputs)
                with lock:
                    done += 1
                if time.monotonic() >= until:
                    return

        with ThreadPoolExecutor(setting.at_once) as pool:
            list(pool.map(work, [0.0] * setting.at_once))
            done, cpu_s, began = 0, time.process_time(), time.monotonic()
            list(pool.map(work, [began + seconds] * setting.at_once))
            took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
        rows = done * setting.rows
        return Speed(rows / took_s, cpu_s / rows * 1e6)

    def _settings(self) -> Sequence[Setting]:
        cores = os.cpu_count() or 1
        rows = _ROWS if self._case.is_joinable else _ROWS[:1]
        ways = {(1, cores), (cores, 1)}
        return [
            Setting(threads, at_once, each) for threads, at_once in sorted(ways) for each in rows if self._runs_of(each)
        ]

    def _session(self, threads: int) -> onnxruntime.InferenceSession:
        if threads not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.log_severity_level = 3
            self._sessions[threads] = onnxruntime.InferenceSession(
                self._case.path, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[threads]

    def _runs_of(self, rows: int) -> list[Inputs]:
        """What callers send, in runs of calls that are about as long: nobody could group them better. Mixed order."""
        if rows not in self._runs:
            parts = [
                calls[start : start + rows]
                for calls in self._alike()
                for start in range(0, len(calls) - rows + 1, rows)
            ]
            np.random.default_rng(0).shuffle(parts)
            self._runs[rows] = [self._case.joined(part) for part in parts]
        return self._runs[rows]

    def _alike(self) -> list[list[Inputs]]:
        """The calls that may share a run, the shorter ones first."""
        calls = sorted(self._case.inputs, key=lambda call: sum(array.size for array in call.values()))
        if self._case.padding:
            return [calls]
        by_shape: dict[tuple[tuple[int, ...], ...], list[Inputs]] = {}
        for call in calls:
            by_shape.setdefault(tuple(array.shape for array in call.values()), []).append(call)
        return [*by_shape.values()]
