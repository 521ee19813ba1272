"""An hour of calls of ever other shapes: `python benchmarks/soak/shapes.py [--minutes 60]`.

Writes the memory of the server over time, and exits with 1 if it grows by a MiB an hour or more, or a call fails.
"""

import asyncio
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.plan import RESULTS
from harness.processes import serinus_server
from harness.report import machine
from harness.shapes import MODEL, grow, varied

_AT_MOST_MIB_PER_H = 1.0


def main(
    minutes: Annotated[float, typer.Option(min=0.1)] = 60.0,
    results: Annotated[Path, typer.Option(help="Where the figures are written.")] = RESULTS / "soak_shapes.json",
) -> None:
    """Send shapes, and look at the memory."""
    facts = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        serinus_server(f"{MODEL}={varied(Path(folder))}") as server,
    ):
        growth = asyncio.run(grow(server, minutes, looks=60))
    found = {"machine": facts, "slope_mib_per_h": growth.slope_mib_per_h, **dataclasses.asdict(growth)}
    results.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{growth.calls} calls, {growth.failed} failed, slope {growth.slope_mib_per_h:.2f} MiB/h")
    if growth.failed or growth.slope_mib_per_h >= _AT_MOST_MIB_PER_H:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
