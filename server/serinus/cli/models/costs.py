"""`serinus models costs`: what the runs of loaded versions were seen to cost, and where more rows stop paying."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, plain_table, print_json
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import admin_pb2 as pb


@server_command
def costs(
    *,
    model: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this model.")] = "",
    version: Annotated[
        str, typer.Option("--version", metavar="VERSION", help="Only this version, such as 1.2.0; needs NAME.")
    ] = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Show what the server has learned from its own runs: time by rows and length, and the rows that are best."""
    if version and not model:
        raise CommandFailed("--version chooses among the versions of one model: give its NAME", code=ExitCode.USAGE)
    with connected(server) as client:
        found = client.admin.learned_costs(model, version)
    if as_json:
        print_json([document(each) for each in found])
    elif not found:
        console().print(cell(f"The server at {server.address} serves no such model, or has learned nothing of it yet."))
    else:
        _print(found, console())


@dataclasses.dataclass(frozen=True)
class Line:
    """Runs of one size.

    Attributes:
        point: What they cost.
        is_best: More rows at that length do not mean more rows a second.
    """

    point: pb.LearnedCost
    is_best: bool

    @property
    def rows_per_s(self) -> float:
        """Rows a second of such runs, one after the other."""
        return self.point.rows / self.point.seconds if self.point.seconds > 0 else 0.0


def lines_of(found: pb.LearnedCosts) -> list[Line]:
    """What was measured, in the server's order; the best of each length is the largest size that still pays.

    Only lone runs use several threads, so none of those is the best of anything.
    """
    best = {each.length: each.rows for each in found.best}
    fewest = min((point.threads for point in found.points), default=1)
    return [Line(point, point.threads == fewest and best.get(point.length) == point.rows) for point in found.points]


def _print(found: Iterable[pb.LearnedCosts], out: Console) -> None:
    for number, each in enumerate(found):
        if number:
            out.print()
        out.print(cell(heading(each), "bold"))
        out.print(_table(each))


def heading(found: pb.LearnedCosts) -> str:
    """A version and what the batcher makes of its costs, in one line."""
    threads = f"{found.lone_threads} thread{'' if found.lone_threads == 1 else 's'}"
    words = [
        f"{found.model}@{found.version}",
        f"a lone call runs on {'the event loop' if found.inline else threads}",
        *(["lengths share runs"] if found.pads else []),
        *(["taken over from an earlier start"] if found.restored else []),
    ]
    return "  ".join(words)


def _table(found: pb.LearnedCosts) -> Table:
    columns = ("LENGTH", "THREADS", "ROWS", "TIME", "ROWS/S", "RUNS")
    table = plain_table(*columns, "", right=columns)
    for line in lines_of(found):
        point, style = line.point, "green" if line.is_best else ""
        table.add_row(
            cell(point.length, style),
            cell(point.threads, style),
            cell(point.rows, style),
            cell(units.seconds(point.seconds), style),
            cell(units.rate(line.rows_per_s), style),
            cell(point.runs, style),
            cell("best" if line.is_best else "", style),
        )
    return table


def best_rows(found: Iterable[pb.BestRows]) -> str:
    """Where rows a second stop improving, in a word: "8", or "4-32" where it depends on the length; "-" if unknown."""
    rows = sorted({each.rows for each in found})
    if not rows:
        return "-"
    return f"{rows[0]}" if len(rows) == 1 else f"{rows[0]}-{rows[-1]}"


def document(found: pb.LearnedCosts) -> dict[str, object]:
    """One version's costs as JSON."""
    return {
        "model": found.model,
        "version": found.version,
        "lone_threads": found.lone_threads,
        "inline": found.inline,
        "pads": found.pads,
        "restored": found.restored,
        "points": [
            {
                "rows": line.point.rows,
                "length": line.point.length,
                "threads": line.point.threads,
                "seconds": line.point.seconds,
                "rows_per_second": line.rows_per_s,
                "runs": line.point.runs,
                "best": line.is_best,
            }
            for line in lines_of(found)
        ],
        "best": [
            {"length": each.length, "rows": each.rows, "rows_per_second": each.rows_per_second} for each in found.best
        ],
    }
