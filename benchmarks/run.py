"""Measures what Serinus costs: `python benchmarks/run.py [--aims 1,2,5,6] [--long] [--repeats 3]`.

Figures are medians of interleaved repeats, taken with the load generator on the same cores. Ratios within one run mean
something; absolute figures are this machine's, on this day.

Exit codes: 1 when something could not be measured, or the run was interrupted; 2 for flags that cannot be meant.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.grpc_noise import silence
from harness.measuring import Scenario, measured
from harness.plan import LONG, RESULTS, SHORT
from harness.providers import usable
from harness.report import machine, save, show
from harness.rows import Row, Verdict
from harness.self_check import check
from scenarios import (
    aliases,
    batch_sizes,
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
from serinus.core.errors import ModelRejected

_SCENARIOS: Mapping[int, Sequence[Scenario]] = {
    1: [unary.measure],
    2: [frames.measure],
    3: [model_bound.measure, batch_sizes.measure],
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
    15: [peers.measure_others],
}
_AIMS = "1,2,3,4,5,6,7,8,14"
_LIMIT_S = 3600.0
"""For one scenario: far more than the long version takes, so that only what would never end is given up."""


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
    silence()
    if self_check:
        raise typer.Exit(check())
    named = {"repeats": repeats, "calls": calls, "seconds": seconds, "minutes": minutes}
    plan = dataclasses.replace(
        LONG if is_long else SHORT,
        **{name: value for name, value in named.items() if value is not None},
        providers=_providers(providers),
        results=results.parent,
    )
    facts = machine()

    def keep(rows: Sequence[Row]) -> None:
        # A report of an earlier run is worth more than one with nothing in it.
        if any(row.verdict is not Verdict.FAILED for row in rows):
            save(rows, facts, results)

    rows = measured(_scenarios(aims), plan, limit_s=_LIMIT_S + plan.minutes * 60, keep=keep)
    show(rows, facts)
    if any(row.verdict is Verdict.FAILED for row in rows):
        raise typer.Exit(1)


def _scenarios(aims: str) -> list[tuple[int, Scenario]]:
    """Those of the aims, in the order in which they are named."""
    try:
        return [(int(aim), scenario) for aim in aims.split(",") for scenario in _SCENARIOS[int(aim)]]
    except (KeyError, ValueError) as error:
        known = f"{min(_SCENARIOS)} to {max(_SCENARIOS)}, separated by commas"
        raise typer.BadParameter(f"expected numbers from {known}, got {aims!r}", param_hint="--aims") from error


def _providers(names: str) -> tuple[str, ...]:
    try:
        return usable(names)
    except ModelRejected as error:
        raise typer.BadParameter(error.message, param_hint="--providers") from error


if __name__ == "__main__":
    typer.run(main)
