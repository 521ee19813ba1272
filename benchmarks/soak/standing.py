"""What must hold during and after every soak: neighbours notice nothing, and the server gives back what it took.

Imported first by every script of this folder: it lets them find the harness and the tests' raw HTTP/2.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from harness.models import tiny
from harness.plan import RESULTS
from harness.processes import ServerProcess, serinus_server
from harness.report import machine
from harness.steady import failures, steady
from serinus.bench.run import Run, pooled_latency_s
from serinus.bench.transports import Way, opened

_HERE = Path(__file__).resolve().parent
MODEL = "tiny"
INPUTS = {"x": np.ones((1, 8), np.float32)}
_PER_S = 50.0  # of neighbours: enough for a p99, and no load
_SETTLE_S = 60.0
_LOOK_S = 0.5
_RSS_SLACK_MIB = 48.0
_THREAD_SLACK = 16
_NOISE_S = 0.01  # of p99: what a busy machine does to calls of a millisecond by itself


@dataclasses.dataclass(frozen=True)
class Held:
    """What the server's processes hold together."""

    rss_mib: float
    fds: int
    threads: int


def held(server: ServerProcess) -> Held:
    """What they hold now."""
    fds = threads = 0
    for pid in server.meter.pids():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            fds += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            threads += len(list(Path(f"/proc/{pid}/task").iterdir()))
    return Held(server.rss_mib(), fds, threads)


def given_back(server: ServerProcess, before: Held) -> tuple[Held, list[str]]:
    """What the server holds once it is no more than before, or after a minute, and what is too much."""
    until = time.monotonic() + _SETTLE_S
    while True:
        now = held(server)
        found = [
            f"{name}: {getattr(now, name):g} after {getattr(before, name):g}"
            for name, most in (
                ("rss_mib", before.rss_mib * 1.05 + _RSS_SLACK_MIB),
                ("fds", before.fds * 1.05),
                ("threads", before.threads + _THREAD_SLACK),
            )
            if getattr(now, name) > most
        ]
        if not found or time.monotonic() > until:
            return now, found
        time.sleep(_LOOK_S)


async def neighbours(server: ServerProcess, seconds: float) -> Run:
    """Calls of others, 50 a second, for so long."""
    async with opened(server.target, MODEL, [INPUTS], Way.UNARY) as call:
        return await steady(call, _PER_S, seconds)


def disturbed(quiet: Run, during: Run) -> list[str]:
    """What neighbours noticed: failures, or twice the p99."""
    before_s, during_s = pooled_latency_s([quiet], 99), pooled_latency_s([during], 99)
    found = [f"neighbours: {failures([during])}"] if during.failed else []
    if during_s > max(2 * before_s, before_s + _NOISE_S):
        found.append(f"neighbours: p99 {during_s * 1e3:.1f} ms after {before_s * 1e3:.1f} ms")
    return found


def p99_ms(run: Run) -> float:
    """Of a run's answered calls."""
    return round(pooled_latency_s([run], 99) * 1e3, 2)


def of_connections(connections: int, quiet: Run, during: Run, held: tuple[Held, Held, Held, Held]) -> dict[str, Any]:
    """Figures of so many connections that want nothing: what one takes, and what others noticed.

    Args:
        connections: How many.
        quiet: The neighbours' run without them.
        during: With them.
        held: By the server that is fresh, after a first round, at most, and in the end.
    """
    fresh, _, most, _ = held
    return {
        "kib_a_connection": round((most.rss_mib - fresh.rss_mib) * 1024 / connections, 1),
        "neighbours_p99_ms": [p99_ms(quiet), p99_ms(during)],
        "neighbours_failed": during.failed,
        "fds": [each.fds for each in held],
        "rss_mib": [round(each.rss_mib, 1) for each in held],
    }


@contextlib.contextmanager
def soaked(config: str = "", workers: int = 1, model: Callable[[Path], Path] = tiny) -> Iterator[ServerProcess]:
    """A server with one model, which `model` writes into a folder; told `config` in TOML."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "serinus.toml"
        file.write_text(config)
        flags = ("--config", str(file), "--workers", str(workers))
        with serinus_server(f"{MODEL}={model(Path(folder))}", flags=flags) as server:
            yield server


@contextlib.contextmanager
def hostile(script: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """`raw/SCRIPT` in a process of its own, so that its work does not delay the neighbours'; it ends with the block."""
    command = [sys.executable, str(_HERE / "raw" / script), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def conclude(
    name: str, facts: dict[str, str], figures: dict[str, Any], faults: list[str], results: Path | None
) -> None:
    """Write and print what was found; exit code 1 if something did not hold."""
    path = results or RESULTS / f"soak_{name}.json"
    found = {"command": " ".join(["python", *sys.argv]), "machine": facts, **figures, "faults": faults}
    path.write_text(json.dumps(found, indent=1) + "\n")
    say(", ".join(f"{key} {value}" for key, value in figures.items() if not isinstance(value, list)))
    say(f"faults: {'; '.join(faults) or 'none'}")
    if faults:
        raise typer.Exit(1)


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


__all__ = [
    "INPUTS", "MODEL", "Held", "conclude", "disturbed", "given_back", "held", "hostile", "machine", "neighbours",
    "of_connections", "p99_ms", "say", "soaked",
]  # fmt: skip
