"""Measures what Serinus costs: `python benchmarks/run.py [--aims 1,2,5,6] [--long] [--repeats 3]`.

Figures are medians of interleaved repeats, taken with the load generator on the same cores. Ratios within one run mean
something; absolute figures are this machine's, on this day.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.plan import LONG, RESULTS, SHORT, Plan
from harness.report import machine, save, show
from harness.rows import Row
from harness.self_check import check
from scenarios import (
    aliases,
    cycles,
    frames,
    large,
    lifecycle,
    light_load,
    memory,
    mixed_lengths,
    model_bound,
    overload,
    peers,
    registering,
    routing,
    swaps,
    unary,
)

_SCENARIOS: Mapping[int, Sequence[Callable[[Plan], list[Row]]]] = {
    1: [unary.measure],
    2: [frames.measure],
    3: [model_bound.measure],
    4: [mixed_lengths.measure],
    5: [light_load.measure],
    6: [overload.measure],
    7: [lifecycle.measure],
    8: [memory.measure, cycles.measure],
    9: [registering.measure],
    10: [aliases.measure],
    11: [swaps.measure],
    12: [large.measure],
    13: [routing.measure],
    14: [peers.measure],
}
_AIMS = "1,2,3,4,5,6,7,8,14"


def main(
    aims: Annotated[str, typer.Option(help="Which aims, by number.")] = _AIMS,
    is_long: Annotated[bool, typer.Option("--long", help="Longer runs, more repeats, an hour for memory.")] = False,  # noqa: FBT002 - typer's way to say a flag
    repeats: Annotated[int | None, typer.Option(min=1, help="Interleaved repeats; the median counts.")] = None,
    calls: Annotated[int | None, typer.Option(min=200, help="Calls of one run on a fast model.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.5, help="Seconds of one run on a slow model.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Minutes for what grows slowly.")] = None,
    providers: Annotated[str, typer.Option(help="Execution providers of the servers, such as cuda,cpu.")] = "",
    self_check: Annotated[bool, typer.Option("--self-check", help="Stop a server for 1 s, and see it in p99.")] = False,  # noqa: FBT002 - typer's way to say a flag
    results: Annotated[Path, typer.Option(help="Where the figures are written.")] = RESULTS / "latest.json",
) -> None:
    """Measure, print a table, and write it as JSON and Markdown."""
    if self_check:
        raise typer.Exit(check())
    named = {"repeats": repeats, "calls": calls, "seconds": seconds, "minutes": minutes}
    plan = dataclasses.replace(
        LONG if is_long else SHORT,
        **{name: value for name, value in named.items() if value is not None},
        server_flags=tuple(part for name in providers.split(",") if name for part in ("--provider", name)),
        results=results.parent,
    )
    facts = machine()
    rows: list[Row] = []
    for aim in (int(part) for part in aims.split(",")):
        typer.echo(f"aim {aim} …", err=True)
        for measure in _SCENARIOS[aim]:
            rows += measure(plan)
    show(rows, facts)
    save(rows, facts, results)


if __name__ == "__main__":
    typer.run(main)
