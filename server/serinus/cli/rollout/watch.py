"""`serinus rollout watch`: a rollout live, until it ends."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.rollout.documents import rollout_document
from serinus.cli.rollout.flags import RolloutArgument, found
from serinus.cli.rollout.following import followed
from serinus.cli.rollout.lines import Lines
from serinus.cli.rollout.panel import rollout_panel
from serinus.cli.rollout.words import ENDS, STATUS_STYLES, status_name
from serinus.cli.target import Server, connected, connected_async, server_command
from serinus.telemetry.log_fields import visible
from serinus_api.v1 import admin_pb2 as pb

_REDRAWS_PER_S = 4  # clocks move smoothly for eyes, and a slow terminal keeps up
_RETRY_S = 1.0  # as often as a server that is there tells
_SILENT_AFTER_S = 5.0  # it tells each second while a stage is judged

Show = Callable[[pb.Rollout | None], None]


@server_command
def watch(
    *,
    which: RolloutArgument,
    until: Annotated[
        str, typer.Option("--until", metavar="STATUS", help=f"End at this status: {', '.join(STATUS_STYLES)}.")
    ] = "",
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", metavar="S", min=0.001, help="Seconds to watch at most (default: no end)."),
    ] = None,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Watch a rollout until it ends, exit code 0 succeeded, 1 otherwise; Ctrl-C leaves the rollout alone.

    Where standard output is no terminal, there is a line for each thing that happens; with --json a document.
    """
    check_status(until)
    with connected(server) as client:
        id_ = found(client, which).id
    watch_to_end(server, id_, until=until, timeout_s=timeout_s, as_json=as_json)


def check_status(until: str) -> None:
    """Refuse what no rollout can come to.

    Raises:
        CommandFailed: it is neither "" nor the name of a status.
    """
    if until and until not in STATUS_STYLES:
        raise CommandFailed(
            f"--until: expected one of {', '.join(STATUS_STYLES)}, got {until[:64]!r}", code=ExitCode.USAGE
        )


def watch_to_end(server: Server, id_: str, *, until: str, timeout_s: float | None, as_json: bool) -> None:
    """Show the rollout as it moves, until it has ended or has the status `until`.

    Raises:
        CommandFailed: it takes longer than `timeout_s`, or the server refused.
        typer.Exit: with FAILED, where the rollout ended otherwise than it should.
        KeyboardInterrupt: after saying that the rollout goes on.
    """
    try:
        last = asyncio.run(_watch(server, id_, until, timeout_s, as_json=as_json))
    except KeyboardInterrupt:
        sys.stderr.write(
            f"the rollout goes on without being watched: "
            f"'serinus rollout abort {visible(id_)}' takes the candidate out\n"
        )
        raise
    reached = status_name(last.status)
    if reached != (until or "succeeded"):
        raise typer.Exit(ExitCode.FAILED)


async def _watch(server: Server, id_: str, until: str, timeout_s: float | None, *, as_json: bool) -> pb.Rollout:
    last = pb.Rollout(id=id_)
    try:
        async with asyncio.timeout(timeout_s), connected_async(server) as client:
            stories = followed(lambda: client.admin.watch_rollout(id_), wait=lambda: asyncio.sleep(_RETRY_S))
            with _shown(server.address, as_json=as_json) as show:
                async with contextlib.aclosing(stories):
                    async for rollout in stories:
                        show(rollout)
                        last = rollout or last
                        if status_name(last.status) == until:
                            break
    except TimeoutError as error:
        raise CommandFailed(
            f"rollout {id_} is {status_name(last.status)} after {timeout_s:g} s of watching, and goes on"
        ) from error
    return last


@contextlib.contextmanager
def _shown(address: str, *, as_json: bool) -> Iterator[Show]:
    # Three cases: 1. a program reads documents; 2. a file or a pipe gets lines; 3. a terminal gets a picture.
    if as_json:
        yield lambda rollout: None if rollout is None else print_json(rollout_document(rollout))
        return
    if not sys.stdout.isatty():
        lines = Lines(address, clock=time.time)
        out = console()

        def print_news(rollout: pb.Rollout | None) -> None:
            for line in lines.of(rollout):
                out.print(line, soft_wrap=True)

        yield print_news
        return
    picture = Picture(address, clock=time.time)
    with Live(get_renderable=picture.render, console=console(), refresh_per_second=_REDRAWS_PER_S):
        yield picture.show


class Picture:
    """What a live view draws, as often as it likes: the rollout as it was last told, with its clocks at the present."""

    def __init__(
        self, address: str, *, clock: Callable[[], float], hint: str = "Ctrl-C stops watching; the rollout goes on"
    ) -> None:
        self._address = address
        self._clock = clock
        self._hint = hint
        self._rollout: pb.Rollout | None = None
        self._is_silent = False
        self._told_at = clock()

    def show(self, rollout: pb.Rollout | None) -> None:
        """Take what was told; None for a server that does not answer."""
        self._is_silent = rollout is None
        self._rollout = rollout or self._rollout
        self._told_at = self._clock()

    def render(self) -> RenderableType:
        """The picture now."""
        if self._rollout is None:
            return cell("...", "dim")
        now = self._clock()
        parts = [rollout_panel(self._rollout, now)]
        silent_s = now - self._told_at
        if self._is_silent:
            parts.append(cell(f"{self._address} does not answer; still trying", "red"))
        elif self._rollout.status == pb.ROLLOUT_STATUS_RUNNING and silent_s > _SILENT_AFTER_S:
            parts.append(cell(f"{self._address} has said nothing for {units.period(silent_s)}", "red"))
        elif self._rollout.status not in ENDS:
            parts.append(cell(self._hint, "dim"))
        return Group(*parts)
