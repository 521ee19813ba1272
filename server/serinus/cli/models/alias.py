"""`serinus models alias`: which version a name means."""

from typing import Annotated

import typer

from serinus.cli.models.documents import model_document
from serinus.cli.models.flags import ActorOption, NameArgument, RevisionOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.target import JsonOption, Server, connected, server_command


@server_command
def alias(
    *,
    name: NameArgument,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as stable or canary.")],
    selector: Annotated[
        str, typer.Argument(metavar="VERSION", help="1.2.0, a number, another alias, latest, or a range.")
    ] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Let the alias name nothing.")] = False,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Let an alias name a version; what serves follows within a second, once the version is loaded."""
    if remove == bool(selector):
        raise CommandFailed("expected either a VERSION or --remove", code=ExitCode.USAGE)
    with connected(server) as client:
        if remove:
            model = client.registry.remove_alias(name, alias, expected_revision=expected_revision, actor=actor)
        else:
            model = client.registry.set_alias(name, alias, selector, expected_revision=expected_revision, actor=actor)
    if as_json:
        print_json(model_document(model))
        return
    out = console()
    out.print(cell(f"{alias} names nothing now" if remove else f"{alias} names {name}@{model.aliases.get(alias)} now"))
    out.print(cell(f"{name} is at revision {model.revision}", "dim"))
