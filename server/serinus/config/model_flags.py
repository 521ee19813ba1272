"""Reads `--model NAME=PATH.onnx`."""

from pathlib import Path

from serinus.config.errors import ConfigError
from serinus.config.models import ModelSpec
from serinus.core.errors import InvalidInput
from serinus.core.version import check_model_name


def parse_model_flag(text: str, *, cwd: Path) -> ModelSpec:
    """The model that a flag names: one ONNX file, version 1, everything else by default.

    Args:
        text: `NAME=PATH.onnx`.
        cwd: Where a relative path starts.

    Raises:
        ConfigError: the text says no such thing, or there is no such file.
    """
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ConfigError([f"--model: expected NAME=PATH.onnx, got {text[:128]!r}"])
    try:
        check_model_name(name)
    except InvalidInput as error:
        raise ConfigError([f"--model: {error.message}"]) from error
    file = cwd / path
    try:
        kind = "a folder" if file.is_dir() else "nothing"
        is_file = file.is_file()
    except OSError as error:
        raise ConfigError([f"--model {name}: the path cannot be followed: {error.strerror}"]) from error
    if not is_file:
        raise ConfigError([f"--model {name}: expected an ONNX file at {str(file)!r}, got {kind} there"])
    return ModelSpec(name=name, versions={1: file})
