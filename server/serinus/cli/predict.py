"""`serinus predict`: one call to a model, from and to files or the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ChosenArgument, pairs
from serinus.cli.output import CommandFailed, ExitCode, cell, console, plain_table, print_json
from serinus.cli.target import ANSWER_S, Server, connected, server_command
from serinus.cli.tensor_files import Array, parse_inputs, parse_saves, save, to_lists
from serinus_client import DeadlineExceeded, ModelInfo, Prediction

_MOST_SHOWN = 16  # elements in a table; more are summarised
_MOST_IN_JSON = 10_000  # elements; beyond that a file is what a program wants
_PRECISION = 6
_ROUTES = {"rule": "by a rule", "weight": "by weight"}

InputFlags = Annotated[
    list[str],
    typer.Option(
        "--input", metavar="NAME=VALUE", help="name=@file.npy, name=@file.json or name='[[1, 2]]'; repeatable."
    ),
]
OutputFlags = Annotated[list[str], typer.Option("--output", metavar="NAME", help="An output wanted; repeatable.")]
SaveFlags = Annotated[
    list[str], typer.Option("--save", metavar="NAME=@FILE", help="Write an output to a .npy or .json file; repeatable.")
]


@server_command
def predict(
    *,
    chosen: ChosenArgument,
    input_: InputFlags = [],  # noqa: B006 - typer reads it and never changes it
    output: OutputFlags = [],  # noqa: B006 - the same
    save_: SaveFlags = [],  # noqa: B006 - the same
    version: Annotated[
        str, typer.Option(metavar="VERSION", help="The same as behind the @: 1.2.0, a number, an alias, or a range.")
    ] = "",
    routing_key: Annotated[
        str, typer.Option("--routing-key", metavar="KEY", help="The same key gets the same version of a split.")
    ] = "",
    attribute: Annotated[
        list[str], typer.Option("--attribute", metavar="NAME=VALUE", help="For the rules of a split; repeatable.")
    ] = [],  # noqa: B006 - the same
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait for the answer.")] = 30.0,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Make one prediction and show its outputs; the batch axis is part of every input."""
    if version and chosen.selector:
        raise CommandFailed("expected a version either behind the @ or with --version", code=ExitCode.USAGE)
    model, version = chosen.model, version or chosen.selector
    inputs = parse_inputs(input_)
    files = parse_saves(save_)
    attributes = pairs("--attribute", attribute)
    with connected(server) as client:
        info = client.model_info(model, version=version, timeout_s=min(timeout_s, ANSWER_S))
        check_names(info, inputs, [*output, *files])
        try:
            answer = client.call(
                model,
                inputs,
                version=version,
                outputs=_wanted(output, files),
                timeout_s=timeout_s,
                routing_key=routing_key,
                attributes=attributes,
            )
        except DeadlineExceeded as error:
            raise CommandFailed(
                f"model {model!r} did not answer within {timeout_s:g} s: give it more with --timeout"
            ) from error
    for name, file in files.items():
        save(name, answer.outputs[name], file)
    if as_json:
        print_json(document(answer))
    else:
        show(answer)


def check_names(info: ModelInfo, inputs: Mapping[str, Any], outputs: Sequence[str]) -> None:
    """Refuse names that the model does not have, and inputs that are missing.

    Raises:
        CommandFailed: with what the model takes or gives.
    """
    takes = {tensor.name for tensor in info.inputs}
    needs = {tensor.name for tensor in info.inputs if not tensor.optional}
    if not needs <= inputs.keys() <= takes:
        described = ", ".join(
            f"{tensor.name} ({tensor.dtype} {list(tensor.shape)}{', optional' if tensor.optional else ''})"
            for tensor in info.inputs
        )
        raise CommandFailed(
            f"model {info.model!r} takes {described}, got {', '.join(inputs) or 'nothing'}: name each with --input",
            code=ExitCode.USAGE,
        )
    gives = [tensor.name for tensor in info.outputs]
    for name in outputs:
        if name not in gives:
            raise CommandFailed(f"model {info.model!r} gives {', '.join(gives)}, got {name!r}", code=ExitCode.USAGE)


def document(answer: Prediction) -> dict[str, object]:
    """The answer as JSON; the data of very large outputs is left out and null."""
    return {
        "model": answer.model,
        "version": answer.version,
        "route": answer.route or None,
        "fallback": answer.fallback,
        "fallback_reason": answer.fallback_reason or None,
        "queue_s": answer.queue_s,
        "compute_s": answer.compute_s,
        "batch_rows": answer.batch_rows,
        "outputs": arrays_document(answer.outputs),
    }


def arrays_document(arrays: Mapping[str, Array]) -> dict[str, object]:
    """Arrays by name as JSON; the data of very large ones is null."""
    return {
        name: {
            "dtype": dtype_name(array),
            "shape": list(array.shape),
            "data": to_lists(array) if array.size <= _MOST_IN_JSON else None,
        }
        for name, array in arrays.items()
    }


def shown(array: Array) -> str:
    """The values, or for many of them the first few and what they span."""
    if array.dtype.hasobject:
        texts = np.array([repr(bytes(item))[1:] for item in array.flat[:_MOST_SHOWN]], dtype=np.object_)
        more = f" ... {array.size} in all" if array.size > _MOST_SHOWN else ""
        return f"[{', '.join(texts)}]{more}"
    if array.size <= _MOST_SHOWN:
        return np.array2string(array, precision=_PRECISION, separator=", ", max_line_width=10**6).replace("\n", "")
    first = np.array2string(array.reshape(-1)[:4], precision=_PRECISION, separator=", ")[1:-1]
    if array.dtype == np.bool_:
        return f"{first}, ... {np.count_nonzero(array)} of {array.size} true"
    return f"{first}, ... from {array.min():.{_PRECISION}g} to {array.max():.{_PRECISION}g}"


def dtype_name(array: Array) -> str:
    """What numpy calls the type; "bytes" for text."""
    return "bytes" if array.dtype.hasobject else array.dtype.name


def _wanted(outputs: Sequence[str], files: Mapping[str, Path]) -> Sequence[str]:
    """What is asked for is what was named, and what is to be saved beside that; () for everything."""
    return (*outputs, *(name for name in files if name not in outputs)) if outputs else ()


def show(answer: Prediction) -> None:
    """Print it for people."""
    table = plain_table("OUTPUT", "DTYPE", "SHAPE", "VALUES")
    for name, array in answer.outputs.items():
        table.add_row(cell(name), cell(dtype_name(array)), cell(list(array.shape)), cell(shown(array)))
    out = console()
    out.print(table)
    route = f" ({_ROUTES.get(answer.route, answer.route)})" if answer.route else ""
    fallback = f" (fallback: {answer.fallback_reason or 'error'})" if answer.fallback else ""
    by = f"{answer.model} {answer.version}{route}{fallback}"
    out.print(
        cell(
            f"{by}: queue {units.seconds(answer.queue_s)}, compute {units.seconds(answer.compute_s)}, "
            f"batch of {answer.batch_rows}",
            "dim",
        )
    )
