"""Thousands of connections that dawdle: `python benchmarks/soak/slow_loris.py [--connections 5000] [--seconds 60]`.

A third says nothing, a third half of its headers, a third a call byte by byte, one a second. Others must be answered
as before, and what the connections took must come back. Exits with 1 where that does not hold.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

import typer
from standing import conclude, disturbed, given_back, held, hostile, machine, neighbours, of_connections, say, soaked

_QUIET_S = 10.0
_FIRST_S = 5.0
_PATIENCE_S = 5  # of the server, for connections that are not established; 20 by default
_CONFIG = f"[grpc]\nhandshake_timeout_s = {_PATIENCE_S}\nkeepalive_time_s = 5\nkeepalive_timeout_s = 5\n"


def main(
    connections: Annotated[int, typer.Option(min=3)] = 5000,
    seconds: Annotated[float, typer.Option(min=15)] = 60.0,
    results: Annotated[Path | None, typer.Option(help="Where the figures are written.")] = None,
) -> None:
    """Dawdle, and look at the others."""
    facts = machine()
    with soaked(_CONFIG) as server:
        quiet = asyncio.run(neighbours(server, _QUIET_S))
        fresh = held(server)
        # Once without looking: what allocators keep of so many connections, they keep once.
        with hostile("dawdle.py", server.port, connections, _FIRST_S) as dawdlers:
            dawdlers.wait()
        before, _ = given_back(server, fresh)
        say(f"opening {connections} connections; the server holds {before}")
        with hostile("dawdle.py", server.port, connections, seconds) as dawdlers:
            assert dawdlers.stdout is not None
            dawdlers.stdout.readline()
            most = held(server)
            say(f"all open; the server holds {most}")
            began = time.monotonic()
            during = asyncio.run(neighbours(server, seconds - 2))
            say(f"{during.calls} calls of neighbours in {time.monotonic() - began:.0f} s, {during.failed} failed")
            ended = json.loads(dawdlers.stdout.readline())
        after, faults = given_back(server, before)
    faults += disturbed(quiet, during)
    third = connections // 3
    faults += [
        f"{count} of {third} that said {kind} are ended"
        for kind, count in ended.items()
        if kind != _SLOW and count < third
    ]
    conclude(
        "slow_loris",
        facts,
        {
            "connections": connections,
            "seconds": seconds,
            "ended_by_the_server": ended,
            **of_connections(connections, quiet, during, (fresh, before, most, after)),
        },
        faults,
        results,
    )


_SLOW = "a byte a second"  # a call without a deadline lasts as long as its connection, half an hour by default

if __name__ == "__main__":
    typer.run(main)
