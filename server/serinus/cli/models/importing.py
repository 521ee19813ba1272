"""`serinus models import`: models of a Triton repository or an MLflow directory, registered."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, plain_table, print_json
from serinus.cli.progress import bytes_progress, upload_shown
from serinus.cli.target import Server, connected, failure, server_command
from serinus.config.errors import ConfigError
from serinus.config.importing import FoundVersions, ImportedVersion
from serinus.config.model_directories import find_models
from serinus.config.version_facts import dump_version_facts
from serinus.core.errors import ModelRejected
from serinus.core.selector import STABLE
from serinus_client import Client, SerinusError, Unavailable
from serinus_client.external_data import external_locations


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one version.

    Attributes:
        found: The version.
        words: In a word or two: "found", "registered", "was there", "refused".
        problem: Why it was refused, or "".
    """

    found: ImportedVersion
    words: str
    problem: str = ""


@server_command
def import_models(
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A Triton repository, or an MLflow model.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be registered.")] = False,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Register the models in a folder of Triton's or MLflow's, and name what of it was left behind."""
    try:
        found = find_models(directory, locations=_locations)
    except ConfigError as error:
        raise CommandFailed(*error.problems, code=ExitCode.USAGE) from error
    if dry_run:
        outcomes = [Outcome(each, "found") for each in found.versions]
    else:
        with connected(server) as client, bytes_progress() as progress:
            there = {model.name for model in client.registry.models()}
            highest = {each.model: each.version for each in sorted(found.versions, key=lambda each: each.version)}
            outcomes = []
            for each in found.versions:
                # As Triton serves the highest version, unless the model is registered and somebody has said which.
                is_stable = each.model not in there and highest[each.model] == each.version
                aliases = (STABLE,) if is_stable else ()
                outcomes.append(_register(client, each, aliases, actor, progress, server.address))
    if as_json:
        print_json(_document(found, outcomes))
    else:
        _print(found, outcomes)
    if found.rejected or any(outcome.problem for outcome in outcomes):
        raise typer.Exit(ExitCode.FAILED)


def _locations(model: Path) -> Sequence[str]:
    try:
        return external_locations(model)
    except OSError as error:
        raise ModelRejected(f"{model.name[:128]!r} cannot be read: {error.strerror}") from error


def _register(
    client: Client, found: ImportedVersion, aliases: Sequence[str], actor: str, progress: Progress, address: str
) -> Outcome:
    """Register one version; a refusal is its own affair, a server that is gone is everyone's."""
    try:
        answer = client.registry.register(
            found.model,
            found.files[found.main],
            str(found.version),
            facts=dump_version_facts(found.facts),
            main=found.main,
            files=found.files,
            aliases=aliases,
            actor=actor,
            on_progress=upload_shown(progress, f"{found.model}@{found.version}"),
        )
    except Unavailable:
        raise
    except SerinusError as error:
        return Outcome(found, "refused", failure(error, address).sentences[0])
    return Outcome(found, "registered" if answer.created else "was there")


def _print(found: FoundVersions, outcomes: Sequence[Outcome]) -> None:
    out = console()
    if outcomes:
        table = plain_table("MODEL", "VERSION", "FILES", "SIZE", "OUTCOME", right=("FILES", "SIZE"))
        for outcome in outcomes:
            version = outcome.found
            table.add_row(
                cell(version.model),
                cell(version.version),
                cell(len(version.files)),
                cell(units.size(_size_bytes(version))),
                cell(outcome.words, "red" if outcome.problem else "green"),
            )
        out.print(table)
    for outcome in outcomes:
        named = f"{outcome.found.model}@{outcome.found.version}"
        if outcome.problem:
            out.print(cell(f"{named} was refused: {outcome.problem}", "red"), soft_wrap=True)
        for ignored in outcome.found.ignored:
            out.print(cell(f"{named} without: {ignored}", "yellow"), soft_wrap=True)
    for name, problem in found.rejected.items():
        out.print(cell(f"{name} is no model that can be registered: {problem}", "red"), soft_wrap=True)
    for ignored in found.ignored:
        out.print(cell(f"ignored: {ignored}", "yellow"), soft_wrap=True)


def _document(found: FoundVersions, outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "versions": [
            {
                "model": outcome.found.model,
                "version": str(outcome.found.version),
                "main": outcome.found.main,
                "files": sorted(outcome.found.files),
                "size_bytes": _size_bytes(outcome.found),
                "outcome": outcome.words,
                "problem": outcome.problem,
                "ignored": list(outcome.found.ignored),
            }
            for outcome in outcomes
        ],
        "rejected": dict(found.rejected),
        "ignored": list(found.ignored),
    }


def _size_bytes(version: ImportedVersion) -> int:
    return sum(file.stat().st_size for file in version.files.values())
