"""`serinus rollout disagreements`: calls that the two versions answered differently, for a person to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import time_text
from serinus.cli.output import CommandFailed, cell, console, plain_table, print_json
from serinus.cli.predict import arrays_document, shown
from serinus.cli.rollout.flags import RolloutArgument, found
from serinus.cli.target import Server, connected, server_command
from serinus.cli.tensor_files import Array
from serinus_api.v1 import admin_pb2 as pb
from serinus_api.v1 import predict_pb2
from serinus_client.codec import decode_outputs

_SIDES = ("inputs", "baseline", "candidate")


@server_command
def disagreements(
    *,
    which: RolloutArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write each as an .npz file into this folder.")
    ] = None,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Show mirrored calls that the candidate answered differently, as far as this server has kept them."""
    with connected(server) as client:
        kept = list(client.admin.list_disagreements(found(client, which).id))
        examples = [(each, _arrays(each)) for each in kept]
    files = [] if out is None else save_all(out, [arrays for _, arrays in examples])
    if as_json:
        print_json([_document(each, arrays) for each, arrays in examples])
        return
    if not examples:
        console().print(cell("this server has kept none"))
    for number, (each, arrays) in enumerate(examples, 1):
        _print(number, each, arrays)
    if files:
        console().print(cell(f"wrote {len(files)} files to {out}", "dim"))


def _arrays(disagreement: pb.Disagreement) -> Mapping[str, Mapping[str, Array]]:
    """The arrays of each side by name."""
    return {side: decode_outputs(predict_pb2.PredictResponse(outputs=getattr(disagreement, side))) for side in _SIDES}


def save_all(folder: Path, examples: Sequence[Mapping[str, Mapping[str, Array]]]) -> list[Path]:
    """Write each example as `disagreement-N.npz` with arrays `inputs.NAME`, `baseline.NAME` and `candidate.NAME`.

    BYTES are written as numpy's fixed-width bytes, so that reading unpickles nothing; zeros at their ends are lost.

    Raises:
        CommandFailed: a file cannot be written.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, example in enumerate(examples, 1):
            file = folder / f"disagreement-{number}.npz"
            arrays = {f"{side}.{name}": array for side, named in example.items() for name, array in named.items()}
            # Any, because numpy's stub takes the arrays for its one option.
            plain: dict[str, Any] = {
                name: array.astype(np.bytes_) if array.dtype.hasobject else array for name, array in arrays.items()
            }
            with file.open("wb") as stream:
                np.savez_compressed(stream, **plain)
            files.append(file)
    except OSError as error:
        raise CommandFailed(f"--out: cannot write to {str(folder)!r}: {error.strerror}") from error
    return files


def _document(disagreement: pb.Disagreement, arrays: Mapping[str, Mapping[str, Array]]) -> dict[str, object]:
    return {
        "at": time_text(disagreement.at),
        "request_id": disagreement.request_id,
        "sentence": disagreement.sentence,
        **{side: arrays_document(named) for side, named in arrays.items()},
    }


def _print(number: int, disagreement: pb.Disagreement, arrays: Mapping[str, Mapping[str, Array]]) -> None:
    out = console()
    named = cell(f"{number}  {time_text(disagreement.at)}  {disagreement.request_id}  ", "dim")
    out.print(Text.assemble(named, cell(disagreement.sentence, "yellow")))
    table = plain_table("", "NAME", "SHAPE", "VALUES")
    for side in _SIDES:
        for name, array in arrays[side].items():
            table.add_row(cell(side, "dim"), cell(name), cell(list(array.shape)), cell(shown(array)))
    out.print(table)
    if not disagreement.candidate:
        out.print(cell("the candidate did not answer", "red"))
