"""An hour of calls of ever other shapes: `python benchmarks/soak/shapes.py [--minutes 60]`.

Writes the memory of the server over time, and exits with 1 if it grows by a MiB an hour or more, or a call fails. Each
look comes when the C library has given back what is free: what it keeps of it goes up and down by 30 MiB, in which
nobody would find one. So the server is the tests' one, which can be asked for that; it serves in one process.
"""

import asyncio
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from standing import machine

from harness.plan import RESULTS
from harness.shapes import MODEL, Growth, grow, varied
from tests.support.server import watched_server

_AT_MOST_MIB_PER_H = 1.0
_LOOKS = 60
_REST_S = 1.0  # for what the last calls hold
_MIB = 1 << 20


def main(
    minutes: Annotated[float, typer.Option(min=0.1)] = 60.0,
    results: Annotated[Path, typer.Option(help="Where the figures are written.")] = RESULTS / "soak_shapes.json",
) -> None:
    """Send shapes, and look at the memory."""
    facts = machine()
    growth = asyncio.run(_watched(minutes))
    slope, low, high = growth.slopes_mib_per_h
    found = {
        "machine": facts,
        "slope_mib_per_h": slope,
        "slope_95_mib_per_h": [low, high],
        **dataclasses.asdict(growth),
    }
    results.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{growth.calls} calls, {growth.failed} failed, {slope:.2f} MiB/h (95 %: {low:.2f} to {high:.2f})")
    if growth.failed or slope >= _AT_MOST_MIB_PER_H:
        raise typer.Exit(1)


async def _watched(minutes: float) -> Growth:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with watched_server(folder, f'[models.{MODEL}]\npath = "{varied(folder)}"\n') as server:

            async def look_mib() -> float:
                await asyncio.sleep(_REST_S)
                return (await server.look()).rss_bytes / _MIB

            return await grow(server.address, minutes, look_mib, looks=_LOOKS)


if __name__ == "__main__":
    typer.run(main)
