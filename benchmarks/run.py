"""Measures what Serinus costs: `python benchmarks/run.py [--aims 1,2,5,7,13] [--repeats 3] [--calls 6000]`.

Figures are medians of interleaved repeats, taken with the load generator on the same cores. Ratios within one run mean
something; absolute figures are this machine's, on this day.
"""

from pathlib import Path
from typing import Annotated

import typer

from harness.report import machine, save, show
from scenarios import aliases, cycles, frames, large, lifecycle, light_load, registering, routing, swaps, unary

_SCENARIOS = {
    1: unary.measure,
    2: frames.measure,
    5: light_load.measure,
    7: lifecycle.measure,
    8: cycles.measure,
    9: registering.measure,
    10: aliases.measure,
    11: swaps.measure,
    12: large.measure,
    13: routing.measure,
}
_RESULTS = Path(__file__).resolve().parent / "results"


def main(
    aims: Annotated[str, typer.Option(help="Which aims, by number.")] = "1,2,5,7,13",
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved repeats; the median counts.")] = 3,
    calls: Annotated[int, typer.Option(min=200, help="Calls of one repeat; aims 8 to 12 call at a fixed rate.")] = 6000,
    results: Annotated[Path, typer.Option(help="Where the figures are written.")] = _RESULTS / "latest.json",
) -> None:
    """Measure, print a table, and write it as JSON."""
    facts = machine()
    rows = []
    for aim in (int(part) for part in aims.split(",")):
        typer.echo(f"aim {aim} …", err=True)
        rows += _SCENARIOS[aim](repeats, calls)
    show(rows, facts)
    save(rows, facts, results)


if __name__ == "__main__":
    typer.run(main)
