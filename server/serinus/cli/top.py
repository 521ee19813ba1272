"""`serinus top`: what a server is doing now, read again and again; needs no Prometheus."""

import asyncio
import contextlib
import dataclasses
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.models.costs import best_rows
from serinus.cli.models.documents import time_text
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.readings import ModelReading, compare
from serinus.cli.target import Server, connected_async, server_command
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import AsyncClient, DeadlineExceeded, SerinusError, Unavailable

_NUMBERS = ("CALLS/S", "ROWS/S", "P50", "P90", "P99", "QUEUE", "BATCH", "BEST", "ERRORS")

Costs = Sequence[pb.LearnedCosts]


@dataclasses.dataclass(frozen=True)
class View:
    """One picture of a server.

    Attributes:
        server: Its address.
        status: What it said; None when it did not answer this time.
        models: What its models did since the picture before.
        costs: What it has learned of them.
    """

    server: str
    status: pb.GetServerStatusResponse | None
    models: Sequence[ModelReading] = ()
    costs: Costs = ()


@server_command
def top(
    *,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.05, help="Seconds between two looks; rates are over this time.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, one interval apart, print that and end.")] = False,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Watch rates, latencies, queues and batches by model, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(server, interval_s, once=once, as_json=as_json))


async def _watch(server: Server, interval_s: float, *, once: bool, as_json: bool) -> None:
    async with connected_async(server) as client, contextlib.AsyncExitStack() as block:
        pictures = watched(_asking(client), server.address, wait=_every(interval_s), clock=time.monotonic)
        views = await block.enter_async_context(contextlib.aclosing(pictures))
        show: Callable[[View], None]
        if as_json:
            show = _show_json
        elif once or not sys.stdout.isatty():
            show = _show_once
        else:
            live = block.enter_context(Live(console=console(), screen=True, auto_refresh=False))

            def show(view: View) -> None:
                live.update(picture(view), refresh=True)

        first = True
        async for view in views:
            # The first picture has no rates: it is for eyes that would rather not wait.
            if not first or not (once or as_json):
                show(view)
            if once and not first:
                return
            first = False


def _asking(client: AsyncClient) -> Callable[[], Awaitable[tuple[pb.GetServerStatusResponse, Costs]]]:
    async def ask() -> tuple[pb.GetServerStatusResponse, Costs]:
        status = await client.admin.server_status()
        try:
            return status, await client.admin.learned_costs()
        except SerinusError:
            return status, ()  # an older server does not tell, and a model may go between the two questions

    return ask


def _every(interval_s: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(interval_s)


async def watched(
    ask: Callable[[], Awaitable[tuple[pb.GetServerStatusResponse, Costs]]],
    server: str,
    *,
    wait: Callable[[], Awaitable[None]],
    clock: Callable[[], float],
) -> AsyncGenerator[View, None]:
    """A picture at once and another after each `wait`, for ever; a server that is gone may come back.

    Args:
        ask: Gets the server's status, and what it has learned.
        server: Its address, for the pictures.
        wait: Passes the time between two of them.
        clock: Seconds.

    Raises:
        SerinusError: it did not answer the first time.
    """
    before, costs = await ask()
    looked_at = clock()
    yield View(server, before, compare(None, before, 0.0), costs)
    while True:
        await wait()
        try:
            status, costs = await ask()
        except (Unavailable, DeadlineExceeded):
            yield View(server, None)
            continue
        now = clock()
        yield View(server, status, compare(before, status, now - looked_at), costs)
        before, looked_at = status, now


def picture(view: View) -> RenderableType:
    """The view for a terminal."""
    if view.status is None:
        return cell(f"{view.server} does not answer; still trying (Ctrl-C ends)", "red")
    table = plain_table("MODEL", "VERSION", "STATE", *_NUMBERS, right=_NUMBERS)
    best = _best(view)
    for model in view.models:
        latency = model.latency or model.latency_since_load
        style = "" if model.latency else "dim"  # nothing answered just now: these are since the load
        errors = sum(model.unanswered.values())
        table.add_row(
            cell(model.model),
            cell(model.version),
            cell(model.state, "green" if model.state == "READY" else "red"),
            units.rate(model.calls_per_s),
            units.rate(model.rows_per_s),
            *(
                cell(units.seconds(value), style)
                for value in ((latency.p50_s, latency.p90_s, latency.p99_s) if latency else (0.0, 0.0, 0.0))
            ),
            f"{model.queued_calls}"
            if model.queued_calls == model.queued_rows
            else f"{model.queued_calls} ({model.queued_rows} rows)",
            "-" if model.mean_batch_rows is None else f"{model.mean_batch_rows:.1f}",
            best_rows(best.get((model.model, model.version), ())),
            cell(errors, "red" if model.unanswered_per_s else ""),
        )
    return Group(server_line(view.server, view.status), *_workers_that_ended(view.status), "", table)


def _best(view: View) -> Mapping[tuple[str, str], Sequence[pb.BestRows]]:
    return {(each.model, each.version): each.best for each in view.costs}


def server_line(server: str, status: pb.GetServerStatusResponse) -> RenderableType:
    """The server in one line."""
    state = "ready" if status.ready else "not ready"
    return cell(
        f"{server}  serinus {status.server_version}  {state}  "
        f"loop lag {units.seconds(status.event_loop_lag_us / 1e6)}  "
        f"in flight {units.size(status.bytes_in_flight)} of {units.size(status.bytes_limit)}  "
        f"{status.compute_threads} compute threads{_workers(status)}",
        "bold" if status.ready else "bold red",
    )


def _workers(status: pb.GetServerStatusResponse) -> str:
    """How many processes serve, where there are several."""
    total, ready = len(status.workers), sum(worker.ready for worker in status.workers)
    if total <= 1:
        return ""
    return f"  {total} workers" if ready == total else f"  {ready} of {total} workers ready"


def _workers_that_ended(status: pb.GetServerStatusResponse) -> Iterator[RenderableType]:
    """A line for each worker that is not there, or that is not the first in its place."""
    for worker in status.workers:
        if not worker.index or (worker.ready and not worker.restarts):
            continue
        words = [f"worker {worker.index}"]
        if not worker.ready:
            words.append("not ready" if worker.id else "does not answer")
        if worker.restarts:
            words.append(f"started again {worker.restarts} time{'' if worker.restarts == 1 else 's'}")
        if worker.last_end:
            words.append(f"last end: {worker.last_end}")
        yield cell("  ".join(words), "yellow" if worker.ready else "red")


def _show_once(view: View) -> None:
    console().print(picture(view))


def _show_json(view: View) -> None:
    print_json(document(view))


def document(view: View) -> dict[str, object]:
    """The view as JSON."""
    if view.status is None:
        return {"server": view.server, "reachable": False}
    best = _best(view)
    return {
        "server": view.server,
        "reachable": True,
        "server_version": view.status.server_version,
        "ready": view.status.ready,
        "event_loop_lag_s": view.status.event_loop_lag_us / 1e6,
        "bytes_in_flight": view.status.bytes_in_flight,
        "bytes_limit": view.status.bytes_limit,
        "compute_threads": view.status.compute_threads,
        "workers": [
            {
                "id": worker.id,
                "started_at": time_text(worker.started_at),
                "ready": worker.ready,
                "revision": worker.revision,
                "controls_rollouts": worker.controls_rollouts,
                "index": worker.index,
                "pid": worker.pid,
                "restarts": worker.restarts,
                "last_end": worker.last_end,
            }
            for worker in view.status.workers
        ],
        "models": [
            {**dataclasses.asdict(model), "best_rows": _best_document(best.get((model.model, model.version), ()))}
            for model in view.models
        ],
    }


def _best_document(best: Sequence[pb.BestRows]) -> list[dict[str, object]]:
    return [{"length": each.length, "rows": each.rows, "rows_per_second": each.rows_per_second} for each in best]
