"""How the figures of a bench are shown."""

import math
from collections.abc import Callable

from rich.console import Group, RenderableType

from serinus.bench.figures import PERCENTS, Figures
from serinus.bench.spread import Spread
from serinus.cli import units
from serinus.cli.bench.order import Order
from serinus.cli.output import cell, plain_table

_MOST_BATCHES = 8


def table(figures: Figures, order: Order) -> RenderableType:
    """For a person."""
    shown = plain_table("", "MEDIAN", "LOWEST", "HIGHEST", right=("MEDIAN", "LOWEST", "HIGHEST"))

    def add(name: str, spread: Spread, text: Callable[[float], str]) -> None:
        if not math.isnan(spread.median):
            shown.add_row(name, *(text(value) for value in (spread.median, spread.low, spread.high)))

    add("calls offered a second", figures.offered_per_s, units.rate)
    add("calls answered a second", figures.throughput_per_s, units.rate)
    if order.deadline_s is not None:
        add(f"answered within {units.seconds(order.deadline_s)}, a second", figures.goodput_per_s, units.rate)
    for percent in PERCENTS:
        add(f"latency p{percent:g}", figures.latency_s[percent], units.seconds)
    for percent in (50.0, 99.0):
        add(f"refused or failed after, p{percent:g}", figures.reject_latency_s[percent], units.seconds)
    add("server CPU a call", figures.server_cpu_us, _microseconds)
    add("server memory", figures.server_memory_bytes, units.size)
    add("generator CPU a call", figures.generator_cpu_us, _microseconds)
    if order.rate_per_s:
        add("generator late, p99", figures.lateness_s, units.seconds)
    return Group(shown, "", *_lines(figures))


def _lines(figures: Figures) -> list[RenderableType]:
    outcomes = ", ".join(f"{outcome} {count}" for outcome, count in figures.outcomes.items())
    lines: list[RenderableType] = [cell(f"{figures.calls} calls of {_rows(figures.rows)}: {outcomes}")]
    if figures.batch_rows:
        most = sorted(figures.batch_rows.items(), key=lambda item: -item[1])[:_MOST_BATCHES]
        answered = sum(figures.batch_rows.values())
        shares = ", ".join(f"{_rows(rows)} {_share(count / answered)}" for rows, count in sorted(most))
        lines.append(cell(f"calls by the rows of the run that answered them: {shares}"))
    if figures.void:
        lines.append(cell(f"VOID: {figures.void}", "bold red"))
    return lines


def document(figures: Figures, order: Order, *, server: str, model: str) -> dict[str, object]:
    """For a program; numbers in seconds, microseconds of CPU and bytes, as their names say."""
    return {
        "server": server,
        "model": model,
        "transport": order.way.value,
        "callers": order.callers or None,
        "rate_per_s": order.rate_per_s or None,
        "arrivals": order.arrivals.value if order.rate_per_s else None,
        "duration_s": order.duration_s,
        "deadline_s": order.deadline_s,
        "connections": order.connections,
        "repeats": order.repeats,
        **figures.document(),
    }


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _share(share: float) -> str:
    """What was seen is never nothing."""
    text = f"{share:.0%}"
    return "< 1%" if text == "0%" else text


def _microseconds(value: float) -> str:
    return f"{value:.0f} µs"
