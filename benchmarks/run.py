"""Measures what Serinus costs: `python benchmarks/run.py [--aims 1,2,5,7] [--repeats 3] [--calls 6000]`.

Figures are medians of interleaved repeats, taken with the load generator on the same cores. Ratios within one run mean
something; absolute figures are this machine's, on this day.
"""

from pathlib import Path
from typing import Annotated

import typer

from harness.report import machine, save, show
from scenarios import frames, lifecycle, light_load, unary

_SCENARIOS = {1: unary.measure, 2: frames.measure, 5: light_load.measure, 7: lifecycle.measure}
_RESULTS = Path(__file__).resolve().parent / "results" / "latest.json"


def main(
    aims: Annotated[str, typer.Option(help="Which aims, by number.")] = "1,2,5,7",
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved repeats; the median counts.")] = 3,
    calls: Annotated[int, typer.Option(min=200, help="Calls of one repeat.")] = 6000,
) -> None:
    """Measure, print a table, and write results/latest.json."""
    rows = []
    for aim in (int(part) for part in aims.split(",")):
        typer.echo(f"aim {aim} …", err=True)
        rows += _SCENARIOS[aim](repeats, calls)
    facts = machine()
    show(rows, facts)
    save(rows, facts, _RESULTS)


if __name__ == "__main__":
    typer.run(main)
