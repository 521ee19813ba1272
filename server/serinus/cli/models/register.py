"""`serinus models register`: an ONNX file, or a folder with one, as a version of a model."""

from pathlib import Path
from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import change_word, version_document
from serinus.cli.models.facts import Said, facts_yaml
from serinus.cli.models.flags import ActorOption, NameArgument, RevisionOption, pairs
from serinus.cli.output import CommandFailed, cell, console, print_json
from serinus.cli.progress import bytes_progress, upload_shown
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import registry_pb2 as pb

FactsFlag = Annotated[
    Path | None, typer.Option("--facts", metavar="FILE.yaml", help="What is known about it; see docs/registry.md.")
]
MetricFlags = Annotated[
    list[str], typer.Option("--metric", metavar="NAME=NUMBER", help="Measured quality; repeatable.")
]
TagFlags = Annotated[list[str], typer.Option("--tag", metavar="NAME=TEXT", help="Free text by name; repeatable.")]
FrameworkFlag = Annotated[str, typer.Option("--framework", metavar="TEXT", help='Such as "pytorch 2.9".')]
AuthorFlag = Annotated[str, typer.Option("--author", metavar="TEXT", help="Who made it.")]
DataFlag = Annotated[
    str,
    typer.Option("--training-data-hash", metavar="HASH|FILE.dvc", help="sha256:..., md5:..., or the data's .dvc file."),
]
CardFlag = Annotated[
    Path | None, typer.Option("--card", metavar="FILE.md", help="Your own sections of the model card.")
]
GoldenFlags = Annotated[
    list[Path], typer.Option("--golden", metavar="FILE.npz", help="A request with its expected answer; repeatable.")
]
FilesFlag = Annotated[
    Path | None, typer.Option("--files", metavar="DIR", help="A folder with more files of the version.")
]
MainFlag = Annotated[str, typer.Option("--main", metavar="FILE", help="The ONNX file, where PATH has several.")]
AliasFlags = Annotated[
    list[str], typer.Option("--alias", metavar="ALIAS", help="Let this alias name the version; repeatable.")
]
ForceFlag = Annotated[
    bool, typer.Option("--force-version", help="Take the version although the change demands a larger one.")
]
PathArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="An ONNX file, taken with the files beside it that hold its weights; or a folder, taken whole.",
    ),
]


@server_command
def register(
    *,
    name: NameArgument,
    path: PathArgument,
    version: Annotated[str, typer.Option("--version", metavar="1.2.0", help="Semantic version.")],
    facts: FactsFlag = None,
    metric: MetricFlags = [],  # noqa: B006 - typer reads it and never changes it
    tag: TagFlags = [],  # noqa: B006 - the same
    framework: FrameworkFlag = "",
    author: AuthorFlag = "",
    training_data_hash: DataFlag = "",
    card: CardFlag = None,
    golden: GoldenFlags = [],  # noqa: B006 - the same
    files: FilesFlag = None,
    main: MainFlag = "",
    alias: AliasFlags = [],  # noqa: B006 - the same
    force_version: ForceFlag = False,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Register a version of a model; the same files and facts again change nothing."""
    said = Said(pairs("--metric", metric), pairs("--tag", tag), framework, author, training_data_hash, card)
    text = facts_yaml(facts, said)
    with connected(server) as client, bytes_progress() as progress:
        answer = client.registry.register(
            name,
            path,
            version,
            facts=text,
            main=main,
            files=files,
            goldens=golden,
            aliases=alias,
            force_version=force_version,
            expected_revision=expected_revision,
            actor=actor,
            on_progress=upload_shown(progress, f"{name}@{version}"),
        )
    if as_json:
        print_json({**version_document(answer.version), "created": answer.created, "model_revision": answer.revision})
    else:
        _print(answer)
    if unset := [each for each in alias if each not in answer.version.aliases]:
        # A version that was there before is left as it is: its aliases may have been moved on purpose since.
        raise CommandFailed(
            f"{name}@{version} was registered before, and {', '.join(unset)} does not name it: "
            f"'serinus models alias {name} {unset[0]} {version}' lets it"
        )


def _print(answer: pb.RegisterModelResponse) -> None:
    version, out = answer.version, console()
    named = f"{version.model}@{version.version}"
    if answer.created:
        forced = ", forced" if version.forced else ""
        out.print(
            cell(
                f"{named} registered as number {version.version_number} ({change_word(version)} change{forced})",
                "green",
            )
        )
    else:
        out.print(cell(f"{named} was registered before, with the same files and facts"))
    if version.aliases:
        out.print(cell(f"aliases: {', '.join(version.aliases)}"))
    for golden in version.goldens:
        out.print(cell(f"golden request {golden.name}: largest difference {golden.max_difference:.3g}"))
    for note in version.notes:
        out.print(cell(f"note: {note}", "yellow"))
