"""`serinus models tag`: free text on a version."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import version_document
from serinus.cli.models.flags import ActorOption, ChosenArgument, RevisionOption, pairs
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.target import Server, connected, server_command


@server_command
def tag(
    *,
    chosen: ChosenArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="NAME=TEXT", help="Tags to add or change.")] = None,
    remove: Annotated[list[str], typer.Option("--remove", metavar="NAME", help="A tag to take away; repeatable.")] = [],  # noqa: B006 - typer reads it and never changes it
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Add, change and remove tags of a version, and show those that it has."""
    more = pairs("tags", tags or [])
    if not (more or remove):
        raise CommandFailed("expected NAME=TEXT or --remove NAME", code=ExitCode.USAGE)
    with connected(server) as client:
        version = client.registry.set_tags(
            chosen.model, chosen.selector, more, remove=remove, expected_revision=expected_revision, actor=actor
        )
    if as_json:
        print_json(version_document(version))
        return
    listed = ", ".join(f"{name}={text}" for name, text in sorted(version.tags.items()))
    console().print(cell(f"{version.model}@{version.version}: {listed or 'no tags'}"))
