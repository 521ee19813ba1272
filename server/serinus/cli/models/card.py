"""`serinus models card`: a version's model card, as a page in the terminal."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import version_document
from serinus.cli.models.flags import ActorOption, ChosenArgument, RevisionOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.target import Server, connected, server_command
from serinus.telemetry.log_fields import visible_lines


@server_command
def card(
    *,
    chosen: ChosenArgument,
    raw: Annotated[bool, typer.Option("--raw", help="The markdown as it is.")] = False,
    notes: Annotated[
        Path | None, typer.Option("--notes", metavar="FILE.md", help="Put this in the place of the card's notes.")
    ] = None,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Show a version's model card, or replace the notes on it."""
    if notes is not None:
        text = _read(notes)
        with connected(server) as client:
            version = client.registry.set_card_notes(
                chosen.model, chosen.selector, text, expected_revision=expected_revision, actor=actor
            )
        if as_json:
            print_json(version_document(version))
        else:
            console().print(cell(f"the card of {version.model}@{version.version} has new notes"))
        return
    with connected(server) as client:
        answer = client.registry.card(chosen.model, chosen.selector)
    if as_json:
        print_json({"model": chosen.model, "version": answer.version, "markdown": answer.markdown})
    elif raw:
        # A file gets every byte; a terminal is not to be steered by a card.
        sys.stdout.write(visible_lines(answer.markdown) if sys.stdout.isatty() else answer.markdown)
    else:
        # Links are shown and not hidden behind words, because a card is other people's text.
        console().print(Markdown(visible_lines(answer.markdown), hyperlinks=False))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"--notes: cannot read {str(file)!r} as text", code=ExitCode.USAGE) from error
