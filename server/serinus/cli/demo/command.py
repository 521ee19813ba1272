"""`serinus demo`: everything on a real model and real files of this machine, offline."""

import contextlib
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from serinus.cli.demo import report
from serinus.cli.demo.features import read_features
from serinus.cli.demo.files import choose, usual_roots, walk
from serinus.cli.demo.package import FileTypeModel, find_model
from serinus.cli.json_option import JsonOption
from serinus.cli.output import CommandFailed, cell, console, print_json
from serinus.cli.rollout.watch import Picture

if TYPE_CHECKING:
    from serinus.cli.demo.rollouts import Show
    from serinus.cli.demo.run import Outcome

_REDRAWS_PER_S = 4  # as in `serinus rollout watch`
_MOST_ENTRIES = 300_000  # a second or two of looking
_MOST_PER_SUFFIX = 8  # so that many kinds come together


def demo(
    *,
    files: Annotated[
        int, typer.Option("--files", metavar="N", min=1, max=20_000, help="How many files to look at.")
    ] = 500,
    recipes: Annotated[
        str,
        typer.Option(
            "--recipes", metavar="A,B", help="Recipes of quantization to try, or 'all' (default: three quick)."
        ),
    ] = "",
    rollouts: Annotated[
        bool, typer.Option("--rollouts/--no-rollouts", help="Roll a quantized and a sabotaged version out as well.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Register a real model, try to quantize it, and let it tell the kinds of real files of this machine.

    Then its quantized version earns its calls in a rollout, and a sabotaged one is taken out by itself.

    The model is the one inside the installed magika package; nothing leaves this machine, and nothing stays running.
    """
    model = find_model()
    # Here and not above: onnxruntime takes a second that the other commands would wait for.
    from serinus.cli.demo.run import RECIPES, Watching, run_demo  # noqa: PLC0415 - see the line above

    # Progress goes to standard error: standard output holds the result alone.
    progress_console = console(sys.stderr)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=progress_console,
        disable=not sys.stderr.isatty(),
    ) as progress:
        looking = progress.add_task("Looking for files", total=files)
        read = partial(read_features, model=model)
        samples = choose(
            walk(usual_roots(), most_entries=_MOST_ENTRIES), read, wanted=files, most_per_suffix=_MOST_PER_SUFFIX
        )
        progress.update(looking, completed=len(samples))
        if not samples:
            raise CommandFailed("no readable file was found below " + ", ".join(map(str, usual_roots())))
        quantizing = progress.add_task("Quantizing the model", total=None)
        asking = progress.add_task("Telling their kinds", total=len(samples))

        def say(stage: str, done: int, total: int) -> None:
            progress.update(quantizing, completed=done, total=total or None, description=f"Quantizing: {stage}")

        chosen = () if recipes == "all" else tuple(filter(None, recipes.split(","))) or RECIPES
        watching = Watching(say, partial(progress.advance, asking), partial(_live, progress))
        outcome = run_demo(model, samples, watching, chosen, rollouts=rollouts)
    if as_json:
        print_json(report.document(outcome))
    else:
        _print(model, outcome)


def _print(model: FileTypeModel, outcome: "Outcome") -> None:
    """Everything that the demo has shown, for people."""
    out = console()
    out.print(
        cell(f"{model.onnx.parent.name} of magika, served on 127.0.0.1:{outcome.grpc_port}, stopped again", "dim")
    )
    out.print()
    report.show_registered(outcome, out)
    out.print()
    report.show(outcome, dict(model.descriptions), out)
    for story in outcome.stories:
        out.print()
        report.show_story(story, out)


@contextlib.contextmanager
def _live(progress: Progress, title: str) -> Iterator["Show"]:
    """A live view of a rollout, in the place of the progress; nothing where nobody watches."""
    progress.stop()
    picture = Picture("the server", clock=time.time, hint="the demo's callers go on all the while")
    if progress.disable:
        yield picture.show
        return
    progress.console.print()
    progress.console.rule(cell(title, "bold"))
    with Live(get_renderable=picture.render, console=progress.console, refresh_per_second=_REDRAWS_PER_S):
        yield picture.show
