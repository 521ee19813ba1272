"""`serinus models alias`: which version a name means."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import model_document
from serinus.cli.models.flags import ActorOption, NameArgument, RevisionOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import registry_pb2 as pb


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
    if not remove and (unloaded := _unloaded(model, model.aliases[alias])):
        out.print(
            cell(f"{unloaded} was unloaded by hand and does not serve: 'serinus models load {unloaded}'", "yellow")
        )
    out.print(cell(f"{name} is at revision {model.revision}", "dim"))


def _unloaded(model: pb.RegisteredModel, version: str) -> str:
    """The version, if somebody decided that it is not to be served; else ""."""
    found = (each for each in model.versions if each.version == version)
    return next((f"{model.name}@{version}" for each in found if each.placement == pb.PLACEMENT_UNLOADED), "")
