"""Arrays between a command line and a model: `name=@file.npy`, `name=@file.json`, `name='[[1, 2]]'`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serinus.cli.output import CommandFailed, ExitCode, fit_for_json

Array = npt.NDArray[Any]

_READABLE = "expected NAME=@FILE.npy, NAME=@FILE.json or NAME=JSON"
_WRITABLE = "expected NAME=@FILE.npy or NAME=@FILE.json"


def parse_inputs(flags: Iterable[str]) -> dict[str, Any]:
    """Each `--input` as an array or as the lists that JSON gives, by input name.

    Raises:
        CommandFailed: a flag says nothing that can be read.
    """
    inputs: dict[str, Any] = {}
    for flag in flags:
        name, equals, text = flag.partition("=")
        if not (name and equals and text):
            raise _usage(f"--input: {_READABLE}, got {flag[:64]!r}")
        if name in inputs:
            raise _usage(f"--input {name}: expected each input once")
        inputs[name] = _read(name, Path(text[1:])) if text.startswith("@") else _parse(f"--input {name}", text)
    return inputs


def parse_saves(flags: Iterable[str]) -> dict[str, Path]:
    """Each `--save` as the file to write, by output name.

    Raises:
        CommandFailed: a flag names no such file.
    """
    files: dict[str, Path] = {}
    for flag in flags:
        name, _, text = flag.partition("=")
        file = Path(text[1:])
        if not name or not text.startswith("@") or file.suffix not in {".npy", ".json"}:
            raise _usage(f"--save: {_WRITABLE}, got {flag[:64]!r}")
        files[name] = file
    return files


def save(name: str, array: Array, file: Path) -> None:
    """Write one output.

    Raises:
        CommandFailed: the file cannot be written, or its format does not hold the array.
    """
    try:
        if file.suffix == ".json":
            file.write_text(json.dumps(to_lists(array), allow_nan=False), encoding="utf-8")
        elif array.dtype.hasobject:
            raise CommandFailed(f"--save {name}: BYTES fit no .npy file, name a .json file", code=ExitCode.USAGE)
        else:
            np.save(file, array, allow_pickle=False)
    except OSError as error:
        raise CommandFailed(f"--save {name}: cannot write {str(file)!r}: {error.strerror}") from error


def to_lists(array: Array) -> Any:
    """The array as JSON has it: bytes as text, with escapes for what is no UTF-8, NaN and infinities as words."""
    if array.dtype.hasobject:
        flat = [item.decode(errors="backslashreplace") if isinstance(item, bytes) else str(item) for item in array.flat]
        array = np.array(flat, dtype=np.object_).reshape(array.shape)
    return fit_for_json(array.tolist())


def _read(name: str, file: Path) -> Any:
    try:
        match file.suffix:
            case ".npy":
                with file.open("rb") as stream:
                    return np.lib.format.read_array(stream, allow_pickle=False)
            case ".json":
                return _parse(f"--input {name}: {file}", file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _usage(f"--input {name}: cannot read {str(file)!r}: {error.strerror}") from error
    except ValueError as error:
        raise _usage(f"--input {name}: {str(file)!r} holds no array of numbers that can be read: {error}") from error
    raise _usage(f"--input {name}: {_READABLE}, got the file {str(file)!r}")


def _parse(place: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _usage(f'{place}: expected JSON such as [[1, 2]] or ["text"]: {error}') from error
    if value is None or isinstance(value, dict):
        raise _usage(f"{place}: expected numbers, truth values, text or lists of them, got {text[:64]!r}")
    return value


def _usage(sentence: str) -> CommandFailed:
    return CommandFailed(sentence, code=ExitCode.USAGE)
