"""The command `serinus bench` and its flags."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.bench.figures import Figures
from serinus.bench.run import Run
from serinus.bench.self_check import STALL_S, missed, stalled_run
from serinus.bench.stub_server import stub_server
from serinus.bench.transports import INFER, Way, channel, raw_call
from serinus.cli import units
from serinus.cli.bench.inputs import made, taken
from serinus.cli.bench.order import DEFAULT_CALLERS, Arrivals, Order
from serinus.cli.bench.report import document, table
from serinus.cli.bench.running import run_order
from serinus.cli.bench.server_meter import found_meter
from serinus.cli.json_option import JsonOption
from serinus.cli.output import CommandFailed, ExitCode, console, print_json
from serinus.cli.predict import InputFlags
from serinus.cli.target import Server, server_command
from serinus.cli.tensor_files import parse_inputs


@server_command
def bench(
    *,
    model: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="The model; none with --self-check.")] = "",
    input_: InputFlags = [],  # noqa: B006 - typer reads it and never changes it
    callers: Annotated[
        int,
        typer.Option(
            min=0,
            show_default=False,
            help=f"So many callers, each waiting for its answer ({DEFAULT_CALLERS} without --rate).",
        ),
    ] = 0,
    rate: Annotated[
        float,
        typer.Option(min=0, show_default=False, help="Calls a second, however long answers take; not with --callers."),
    ] = 0.0,
    arrivals: Annotated[
        Arrivals, typer.Option(help="How calls at a rate are spread; a ramp goes from nothing to --rate.")
    ] = Arrivals.POISSON,
    duration_s: Annotated[float, typer.Option("--duration", min=0.1, max=3600, help="Seconds of each repeat.")] = 10.0,
    warmup_s: Annotated[
        float, typer.Option("--warmup", min=0, max=600, help="Seconds before each, not counted.")
    ] = 1.0,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Repeats; median and range are shown.")] = 3,
    transport: Annotated[
        Way, typer.Option(help="How calls travel; oip and oip-stream reach any OIP server.")
    ] = Way.FRAMES,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Calls take turns on so many.")] = 1,
    deadline_ms: Annotated[
        float, typer.Option("--deadline-ms", min=0, show_default=False, help="Time of each call (no limit).")
    ] = 0.0,
    rows: Annotated[int, typer.Option(min=1, help="Rows of each call, where inputs are made up.")] = 1,
    length: Annotated[int, typer.Option(min=1, help="Length of its other free axes, where inputs are made up.")] = 16,
    pid: Annotated[
        int, typer.Option(min=0, show_default=False, help="The server's process, if it does not say it itself.")
    ] = 0,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the first repeat over time: rates, latencies, rows of runs."),
    ] = None,
    self_check: Annotated[
        bool, typer.Option("--self-check", help="Check the generator: stop a server of its own, and see it in p99.")
    ] = False,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Offer load to a model and show throughput, latency from when calls were due, and what they cost.

    Exit codes: 1 when the generator could not keep its schedule, or nothing was answered; 3 when nobody is there.
    """
    if self_check:
        _check(as_json=as_json)
        return
    if not model:
        raise CommandFailed("expected a model: NAME or NAME@VERSION", code=ExitCode.USAGE)
    order = Order(
        callers=callers or (0 if rate else DEFAULT_CALLERS),
        rate_per_s=rate,
        arrivals=arrivals,
        duration_s=duration_s,
        warmup_s=warmup_s,
        way=transport,
        connections=connections,
        deadline_s=deadline_ms / 1e3 or None,
        rows=rows,
        repeats=repeats,
    )
    draw = _plotter(plot)
    order, runs = asyncio.run(_bench(order, server, model, parse_inputs(input_), length=length, pid=pid))
    figures = Figures.of(runs)
    _show(figures, order, server, model, as_json=as_json)
    draw(runs[0], f"{model}, {order}")
    _check_figures(figures, why_void=figures.void if as_json else "the figures are void, as said above")


def _show(figures: Figures, order: Order, server: Server, model: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document(figures, order, server=server.address, model=model))
    else:
        console().print(table(figures, order))


def _check_figures(figures: Figures, *, why_void: str) -> None:
    """Raises CommandFailed where they mean nothing; the table has already said why they are void."""
    if figures.void:
        raise CommandFailed(why_void)
    if not figures.outcomes.get("OK"):
        raise CommandFailed(f"no call was answered: {', '.join(figures.outcomes)}")


async def _bench(
    order: Order, server: Server, model: str, given: dict[str, Any], *, length: int, pid: int
) -> tuple[Order, list[Run]]:
    """The order as it was carried out, and its runs."""
    name, _, version = model.partition("@")
    tensors = await taken(server, name, version, order.way)
    inputs, rows = made(tensors, given, rows=order.rows, length=length)
    order = dataclasses.replace(order, rows=rows)
    try:
        meter = await found_meter(server, pid)
        return order, await run_order(order, server, model, inputs, meter)
    except ProcessLookupError as error:
        raise CommandFailed(f"{error}: is the server gone, or --pid wrong?") from error


def _check(*, as_json: bool) -> None:
    run = asyncio.run(_stalled())
    problems = missed(run)
    if as_json:
        print_json({"p50_s": run.latency_s(50), "p99_s": run.latency_s(99), "calls": run.calls, "missed": problems})
    if problems:
        raise CommandFailed(*problems)
    if not as_json:
        console().print(
            f"A stall of {units.seconds(STALL_S)} shows: p99 is {units.seconds(run.latency_s(99))}, "
            f"p50 {units.seconds(run.latency_s(50))}, of {run.calls} calls."
        )


async def _stalled() -> Run:
    async with stub_server() as (target, pid), channel(target) as open_channel:
        return await stalled_run(raw_call(open_channel, INFER, [b""]), pid)


def _plotter(file: Path | None) -> Callable[[Run, str], None]:
    """Draws a run into `file`, or nowhere; what it needs is looked for before the load, and not after it.

    Raises:
        CommandFailed: matplotlib is missing, or the file cannot be one.
    """
    if file is None:
        return lambda _run, _title: None
    if file.suffix != ".png" or not file.absolute().parent.is_dir():
        raise CommandFailed(f"--plot: expected a .png file in a folder that exists, got {file}", code=ExitCode.USAGE)
    try:
        # Here and not above: only the extra `bench` brings matplotlib, and it takes a second.
        from serinus.bench.plots import save_over_time  # noqa: PLC0415 - see the line above
    except ModuleNotFoundError as error:
        raise CommandFailed("--plot needs matplotlib: pip install 'serinus[bench]'") from error
    return lambda run, title: save_over_time(file, run, title)
