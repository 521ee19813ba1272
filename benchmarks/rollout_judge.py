"""Shows what the judge of rollouts can be trusted with: `python benchmarks/rollout_judge.py [--runs N] [--seed S]`.

Simulated rollouts of versions that are as good as stable, of the rules that the judge replaces, and of bad versions.
Everything is drawn from the seed: the same command gives the same counts on any machine.
"""

import dataclasses
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from judging import measure
from judging.measure import Detection, Share

T = TypeVar("T")


def main(
    runs: Annotated[int, typer.Option(min=200, help="Rollouts of each case of the test against stable alone.")] = 2000,
    plans: Annotated[int, typer.Option(min=20, help="Whole rollouts of a healthy version.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same one gives the same counts.")] = 1,
    results: Annotated[Path | None, typer.Option(help="Where the counts are written, as JSON.")] = None,
) -> None:
    """Simulate, print tables, and write the counts as JSON; exit with 1 if an aim is missed."""
    started = time.monotonic()
    shares = [
        *_told(measure.healthy_versions(runs, seed)),
        *_told(measure.whole_rollouts(plans, seed)),
        *_told(measure.wrong_rules(runs, seed)),
        *_told(measure.limits(max(20, plans // 5), seed)),
    ]
    alone = [*_told(measure.detections(max(20, runs // 4), seed))]
    by_plan = [*_told(measure.detections_by_plan(plans, seed))]
    console = Console()
    _show_shares(console, shares)
    _show_detections(console, "Calls until the test against stable notices (stable fails 0.1 %, weight 5 %)", alone)
    _show_detections(console, "Calls until the default plan takes a version out (50 calls a second)", by_plan)
    console.print(f"seed {seed}, {time.monotonic() - started:.0f} s")
    if results is not None:
        found = {
            "seed": seed,
            "alpha": measure.ALPHA,
            "shares": [{**dataclasses.asdict(share), "interval": share.interval} for share in shares],
            "detections": [dataclasses.asdict(detection) for detection in alone],
            "detections_by_plan": [dataclasses.asdict(detection) for detection in by_plan],
        }
        results.write_text(json.dumps(found, indent=1) + "\n")
    if not all(share.is_met for share in shares):
        raise typer.Exit(1)


def _told(rows: Iterable[T]) -> Iterable[T]:
    """The same rows; says on standard error what was found meanwhile."""
    for row in rows:
        typer.echo(f"{row}", err=True)
        yield row


def _show_shares(console: Console, shares: Sequence[Share]) -> None:
    table = Table("", "rollouts", "share", "95 % interval", "aim")
    group = ""
    for share in shares:
        if share.group != group:
            group = share.group
            table.add_section()
            table.add_row(f"[bold]{group}")
        low, high = share.interval
        aim = "" if share.aim is None else f"≤ {share.aim:.0%} {'met' if share.is_met else 'MISSED'}"
        counts = f"{share.hits} of {share.runs}"
        table.add_row(share.what, counts, f"{share.hits / share.runs:.2%}", f"{low:.2%} to {high:.2%}", aim)
    console.print(table)


def _show_detections(console: Console, title: str, detections: Sequence[Detection]) -> None:
    table = Table("", "median", "nine of ten", "caught", title=title)
    for found in detections:
        numbers = (f"{found.exposed_p50:,}", f"{found.exposed_p90:,}", f"{found.caught} of {found.runs}")
        table.add_row(found.what, *numbers)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
