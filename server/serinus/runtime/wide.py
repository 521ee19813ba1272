"""Decides whether a call that has the machine to itself is better off on several threads: by trying."""

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from serinus.core.errors import BadModelOutput, ModelFailed, ModelRejected
from serinus.core.predictor import Tensors
from serinus.core.signature import Signature
from serinus.runtime.learned import Learned, Observe
from serinus.runtime.model_file import ModelFile
from serinus.runtime.options import SessionOptions
from serinus.runtime.providers import resolve_providers
from serinus.runtime.session import Session, open_session
from serinus.runtime.shrinking import shrink
from serinus.runtime.synthetic import synthetic_row
from serinus.runtime.warmup import QUICK_S

# A second session has its own copy of the weights, in the order in which its kernels want them: 101 MiB more for a
# model of 100 MiB. Sessions share weights only where nothing reorders them (1 MiB more), for which large batches pay,
# and the container of reordered weights that sessions can share is not to be had from Python.
MOST_BYTES: Final = 64 << 20
LEAST_S: Final = 1e-3  # a run of a row: below it, waking other threads takes what they could save
WORTH: Final = 0.9  # of the time on one thread
# The trial takes place while others serve, and cannot be had again; small models are left to their calls to judge.
SMALL_BYTES, UNDECIDED = 16 << 20, 1.25
TRIAL: Final = 64  # decisions, one of which is for what has lost
LENGTHS: Final = (64, 8, 32, 512)  # as the warm-up guesses them, the likeliest one that is long enough to matter first
_PAIRS: Final = 5

RunOn = Callable[[Session, Observe, Tensors], float]
"""Runs one row on a session and lets somebody learn from it; seconds. Raises ModelFailed or BadModelOutput."""


class WideSession:
    """A second session, with more threads, and when to use it.

    Attributes:
        session: The session.
        threads: Inside each run.
    """

    def __init__(self, session: Session, threads: int) -> None:
        self.session = session
        self.threads = threads
        self._asked = 0

    def pays(self, learned: Learned, rows: int, length: int) -> bool:
        """Whether a run should be here; whatever is known, the other place has its turn now and then."""
        self._asked += 1
        here = learned.wide.predict_s(rows, length)
        there = learned.narrow.predict_s(rows, length)
        is_faster = not here or (there > 0.0 and here < there)
        return is_faster != (self._asked % TRIAL == 0)

    def __repr__(self) -> str:
        return f"<WideSession {self.threads} threads>"


def may_pay(options: SessionOptions, size_bytes: int) -> bool:
    """Whether a second session is worth a trial: no where the operator decides, nor where memory or a device does."""
    return (
        options.lone_threads > 1
        and options.intra_op_threads == 1
        and size_bytes <= MOST_BYTES
        and resolve_providers(options.providers) == ["CPUExecutionProvider"]
    )


def try_wide(
    file: ModelFile,
    size_bytes: int,
    narrow: Session,
    signature: Signature,
    options: SessionOptions,
    learned: Learned,
    run_s: RunOn,
) -> WideSession | None:
    """A second session over the same bytes, if it runs a row clearly faster than the one that there is.

    None if it does not, but for a small model where it is not clearly slower either.

    Args:
        file: Those bytes.
        size_bytes: How many there are.
        narrow: The session that there is.
        signature: What the model takes and gives.
        options: How it is run, and for how long it may be tried.
        learned: Learns from the trial.
        run_s: Makes a run.
    """
    found = _a_row(signature, options.samples, lambda row: run_s(narrow, learned.narrow.observe, row))
    if found is None:
        return None
    try:
        session = open_session(file, options, threads=options.lone_threads)
        narrow_s, wide_s = _compared(
            lambda: run_s(narrow, learned.narrow.observe, found),
            lambda: run_s(session, learned.wide.observe, found),
            options.warm_up_s / 2,
        )
    except (ModelRejected, ModelFailed, BadModelOutput):
        return None  # the one session that there is serves
    limit = UNDECIDED if size_bytes <= SMALL_BYTES else WORTH
    if wide_s >= limit * narrow_s:
        return None
    if wide_s < QUICK_S:
        shrink(session, signature, options)
    return WideSession(session, options.lone_threads)


def _a_row(signature: Signature, samples: Tensors, run_s: Callable[[Tensors], float]) -> Tensors | None:
    """One row that the model accepts; None if none is found, or runs are too short for several threads."""
    for length in LENGTHS:
        row = synthetic_row(signature, row=0, length=length, samples=samples, rng=np.random.default_rng(0))
        try:
            seconds = min(run_s(row), run_s(row))
        except (ModelFailed, BadModelOutput):
            continue
        return row if seconds >= LEAST_S else None
    return None


def _compared(narrow_s: Callable[[], float], wide_s: Callable[[], float], budget_s: float) -> tuple[float, float]:
    """The fastest of some runs of each, turn by turn: what else goes on hits both alike, and only ever adds time."""
    started = time.perf_counter()
    wide_s()  # cold
    pairs: list[tuple[float, float]] = []
    while len(pairs) < _PAIRS and (not pairs or time.perf_counter() - started < budget_s):
        pairs.append((narrow_s(), wide_s()))
    return min(narrow for narrow, _ in pairs), min(wide for _, wide in pairs)
