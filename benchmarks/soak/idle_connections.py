"""Thousands of clients that are connected and silent: `python benchmarks/soak/idle_connections.py [--idle-s 20]`.

Others must be answered as before while all of them are open; `max_connection_idle_s` must then end every one, and what
they took must come back. Exits with 1 where that does not hold.
"""

import asyncio
import json
import resource
from pathlib import Path
from typing import Annotated

import typer
from standing import conclude, disturbed, given_back, held, hostile, machine, neighbours, of_connections, say, soaked

_QUIET_S = 10.0
_FILES = 1.5  # a connection at both ends: of a process's files, a server leaves a quarter to other things
_LATE_S = 30.0  # a busy machine ends thousands of connections in turns
# Idle clients of the soak answer no pings.
_CONFIG = "[grpc]\nmax_connection_idle_s = {idle_s}\nkeepalive_time_s = 3600\n"


def main(
    connections: Annotated[int, typer.Option(min=1)] = 10_000,
    idle_s: Annotated[
        float, typer.Option(min=10, help="How long a connection may be idle; opening all takes less.")
    ] = 20.0,
    results: Annotated[Path | None, typer.Option(help="Where the figures are written.")] = None,
) -> None:
    """Be silent, and look at the others."""
    allow_files(round(connections * _FILES))
    facts = machine()
    with soaked(_CONFIG.format(idle_s=idle_s)) as server:
        quiet = asyncio.run(neighbours(server, _QUIET_S))
        fresh = held(server)
        # All of it once without looking: what allocators keep of so many connections, they keep once.
        with hostile("idle.py", server.port, connections, idle_s + _LATE_S) as clients:
            clients.wait()
        before, _ = given_back(server, fresh)
        say(f"opening {connections} connections; the server holds {before}")
        with hostile("idle.py", server.port, connections, idle_s + _LATE_S) as clients:
            assert clients.stdout is not None
            clients.stdout.readline()
            most = held(server)
            say(f"all open; the server holds {most}")
            during = asyncio.run(neighbours(server, idle_s / 3))
            still = held(server)
            say(f"{during.calls} calls of neighbours, {during.failed} failed; the server holds {still}")
            ended = json.loads(clients.stdout.readline())
        say(f"{ended}")
        after, faults = given_back(server, before)
    faults += disturbed(quiet, during)
    if still.fds - fresh.fds < connections:
        faults.append(f"only {still.fds - fresh.fds} of {connections} were open all the while")
    if ended["said"] != {"connection idle": connections}:
        faults.append(f"not all were ended as idle: {ended}")
    conclude(
        "idle_connections",
        facts,
        {
            "connections": connections,
            "idle_s": idle_s,
            "ended_by_the_server": ended,
            **of_connections(connections, quiet, during, (fresh, before, most, after)),
        },
        faults,
        results,
    )


def allow_files(count: int) -> None:
    """Let this process and those it starts have so many files open, or say that the machine does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < count:
        raise typer.BadParameter(f"{count} files are needed at each end, and {hard} allowed: see `ulimit -n`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


if __name__ == "__main__":
    typer.run(main)
