"""Streams that are reset as soon as they begin: `python benchmarks/soak/rapid_reset.py [--per-s 5000] [--seconds 60]`.

Others must be answered as before, no more calls may be begun than streams were, and what the flood took must come back.
Exits with 1 where that does not hold.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from standing import (
    INPUTS,
    MODEL,
    conclude,
    disturbed,
    given_back,
    held,
    hostile,
    machine,
    neighbours,
    p99_ms,
    say,
    soaked,
)

from harness.metrics import counted
from serinus.bench.messages import predict_message

_QUIET_S = 10.0
_CALMLY_PER_S = 3000


def main(
    per_s: Annotated[float, typer.Option(min=1)] = 5000.0,
    seconds: Annotated[float, typer.Option(min=2)] = 60.0,
    results: Annotated[Path | None, typer.Option(help="Where the figures are written.")] = None,
) -> None:
    """Reset, and look at the others."""
    facts = machine()
    with soaked() as server:
        quiet = asyncio.run(neighbours(server, _QUIET_S))
        before, cpu_s = held(server), server.cpu_s()
        counted_before = counted(server, "serinus_requests_total", model=MODEL)
        say(f"flooding; the server holds {before}")
        with hostile("reset.py", server.port, per_s, seconds, predict_message(MODEL, INPUTS).hex()) as flood:
            during = asyncio.run(neighbours(server, seconds))
            assert flood.stdout is not None
            streams = json.loads(flood.stdout.readline())
        most, cpu_s = held(server), server.cpu_s() - cpu_s
        say(f"{streams}; the server holds {most}")
        after, faults = given_back(server, before)
        begun = counted(server, "serinus_requests_total", model=MODEL) - counted_before - during.calls
    faults += disturbed(quiet, during)
    if streams["per_s"] < _CALMLY_PER_S:
        faults.append(f"no flood: {streams['per_s']} streams a second")
    if begun > streams["streams"]:
        faults.append(f"{begun} calls of {streams['streams']} streams")
    conclude(
        "rapid_reset",
        facts,
        {
            "seconds": seconds,
            **streams,
            "server_us_a_stream": round(cpu_s / streams["streams"] * 1e6, 1),
            "calls_begun": begun,
            "neighbours_p99_ms": [p99_ms(quiet), p99_ms(during)],
            "neighbours_failed": during.failed,
            "fds": [before.fds, after.fds],
            "rss_mib": [round(each.rss_mib, 1) for each in (before, most, after)],
        },
        faults,
        results,
    )


if __name__ == "__main__":
    typer.run(main)
