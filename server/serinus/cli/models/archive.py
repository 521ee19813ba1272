"""`serinus models archive`: versions that nobody needs to see any more."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import state_word, version_document
from serinus.cli.models.flags import ActorOption, ExactArgument, RevisionOption
from serinus.cli.output import cell, console, print_json
from serinus.cli.target import Server, connected, server_command


@server_command
def archive(
    *,
    chosen: ExactArgument,
    restore: Annotated[bool, typer.Option("--restore", help="Bring it back instead.")] = False,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Hide a version from lists and ranges; it keeps serving while an alias names it."""
    with connected(server) as client:
        change = client.registry.restore if restore else client.registry.archive
        version = change(chosen.model, chosen.selector, expected_revision=expected_revision, actor=actor)
    if as_json:
        print_json(version_document(version))
    else:
        console().print(cell(f"{version.model}@{version.version} is {state_word(version).lower()} now"))
