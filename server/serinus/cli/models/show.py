"""`serinus models show`: everything about a model, or about one of its versions."""

from rich.console import Console

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import (
    change_word,
    model_document,
    placement_word,
    size_bytes,
    state_word,
    tensor_text,
    time_text,
    version_document,
)
from serinus.cli.models.flags import ChosenArgument
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.target import Server, connected, server_command
from serinus.telemetry.log_fields import visible_lines
from serinus_api.v1 import registry_pb2 as pb


@server_command
def show(*, chosen: ChosenArgument, server: Server, as_json: JsonOption = False) -> None:
    """Show a model with its versions and aliases, or with NAME@VERSION one version in full."""
    with connected(server) as client:
        if chosen.selector:
            version = client.registry.version(chosen.model, chosen.selector)
        else:
            model = client.registry.model(chosen.model)
    if chosen.selector:
        print_json(version_document(version)) if as_json else _print_version(version, console())
    else:
        print_json(model_document(model)) if as_json else _print_model(model, console())


def _print_model(model: pb.RegisteredModel, out: Console) -> None:
    out.print(cell(f"{model.name}  revision {model.revision}  since {time_text(model.created_at)}", "bold"))
    if model.aliases:
        out.print(
            cell("aliases: " + ", ".join(f"{name} = {version}" for name, version in sorted(model.aliases.items())))
        )
    table = plain_table(
        "VERSION", "NUMBER", "STATE", "PLACEMENT", "CHANGE", "SIZE", "CREATED", "BY", right=("NUMBER", "SIZE")
    )
    for version in model.versions:
        table.add_row(
            cell(version.version),
            cell(version.version_number),
            cell(state_word(version)),
            cell(placement_word(version)),
            cell(change_word(version) + (" (forced)" if version.forced else "")),
            cell(units.size(size_bytes(version))),
            cell(time_text(version.created_at)),
            cell(version.created_by),
        )
    out.print(table)


def _print_version(version: pb.ModelVersion, out: Console) -> None:
    out.print(cell(f"{version.model}@{version.version}", "bold"))
    rows = {
        "number": str(version.version_number),
        "state": state_word(version),
        "placement": placement_word(version),
        "aliases": ", ".join(version.aliases),
        "change": change_word(version) + (" (forced)" if version.forced else ""),
        "framework": version.framework,
        "metrics": ", ".join(f"{name} {value:g}" for name, value in sorted(version.metrics.items())),
        "tags": ", ".join(f"{name}={text}" for name, text in sorted(version.tags.items())),
        "quantized from": version.quantized_from,
        "trained from": version.trained_from,
        "inputs": "\n".join(tensor_text(tensor) for tensor in version.inputs),
        "outputs": "\n".join(tensor_text(tensor) for tensor in version.outputs),
        "files": "\n".join(
            f"{file.path}  {units.size(file.size_bytes)}  sha256:{file.sha256}" for file in version.files
        ),
        "golden requests": "\n".join(
            f"{golden.name}  largest difference {golden.max_difference:.3g}" for golden in version.goldens
        ),
        "notes": "\n".join(version.notes),
        "created": f"{time_text(version.created_at)} by {version.created_by}",
        "revision": str(version.revision),
    }
    table = plain_table("", "")
    table.show_header = False
    for name, text in rows.items():
        if text:
            first, *rest = visible_lines(text).split("\n")
            table.add_row(cell(name, "dim"), cell(first))
            for line in rest:
                table.add_row("", cell(line))
    out.print(table)
    if version.facts_yaml:
        out.print()
        for line in visible_lines(version.facts_yaml.rstrip()).split("\n"):
            out.print(cell(line), soft_wrap=True)
